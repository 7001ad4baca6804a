package httproute

import (
	"slices"
	"strings"
)

const (
	// maxReadings bounds what is made of one path, and maxRead the bytes of all of it.
	maxReadings = 128
	maxRead     = 64 << 10
)

// Readings lists what servers may read a clean path as, other than as it stands: with its
// escapes decoded, twice and more often too, with encoded slashes and backslashes as slashes,
// with slashes merged, or what follows two of them at the front taken for a host, cut at a
// semicolon, in each segment or for good, at a NUL, a question mark or #, without control
// characters and without spaces at the edges of segments; with dot segments resolved after
// each of it, and with any of it done after any other. ok is false where there are too many
// to say.
func Readings(path string) (readings []string, ok bool) {
	all, read := []string{path}, 0
	for i := 0; i < len(all); i++ {
		has := traitsOf(all[i])
		for _, reader := range readers {
			if has&reader.needs != reader.needs {
				continue
			}
			after := reader.read(all[i])
			if after == "" || after[0] != '/' {
				after = "/" + after
			}
			if slices.Contains(all, after) {
				continue
			}
			all = append(all, after)
			if read += len(after); len(all) > maxReadings || read > maxRead {
				return nil, false
			}
		}
	}
	for _, reading := range all {
		if reading = escaped(reading); reading != path && !slices.Contains(readings, reading) {
			readings = append(readings, reading)
		}
	}
	return readings, true
}

// readers are what laxer servers do to a path, in no order: each may find what any other has
// made. What some servers do and others do not is separate here: one that takes backslashes
// for slashes, and not their escapes, resolves other dot segments than one that takes both.
var readers = [...]struct {
	needs uint16
	read  func(string) string
}{
	{hasEscape, decode},
	{hasEscape, slashes},
	{hasEscape, escapedBackslashes},
	{hasBackslash, backslashes},
	{hasOverlong, overlongs},
	{hasSemicolon, withoutParameters},
	{hasSemicolon, func(path string) string { return until(path, ";") }},
	{hasQuestion, func(path string) string { return until(path, "?") }},
	{hasFragment, func(path string) string { return until(path, "#") }},
	{hasNUL, func(path string) string { return until(path, "\x00") }},
	{hasLineBreak, withoutLineBreaks},
	{hasControl, withoutControls},
	{hasSpace, trim},
	{hasTwoSlashes, merge},
	{hasTwoSlashes, withoutAuthority},
	{hasDot, clamp},
}

// What a path has that a reader looks for.
const (
	hasEscape = 1 << iota
	hasBackslash
	hasOverlong
	hasSemicolon
	hasQuestion
	hasFragment
	hasNUL
	hasLineBreak
	hasControl
	hasSpace
	hasDot
	hasTwoSlashes
)

var traits = func() (t [256]uint16) {
	for b := range byte(' ') {
		t[b] = hasControl | hasSpace
	}
	t[0] |= hasNUL
	t['\t'] |= hasLineBreak
	t['\r'] |= hasLineBreak
	t['\n'] |= hasLineBreak
	t[0x7f] = hasControl
	t[' '] = hasSpace
	t['%'] = hasEscape
	t['\\'] = hasBackslash
	t[';'] = hasSemicolon
	t['?'] = hasQuestion
	t['#'] = hasFragment
	t['.'] = hasDot
	for _, b := range "\u00c0\u00c1\u00e0\u00f0" {
		t[b] = hasOverlong
	}
	return t
}()

func traitsOf(path string) (has uint16) {
	for i := range len(path) {
		has |= traits[path[i]]
	}
	if strings.Contains(path, "//") {
		has |= hasTwoSlashes
	}
	return has
}

// escaped escapes what cannot stand in a path, as Clean leaves it.
func escaped(path string) string {
	const digits = "0123456789ABCDEF"
	var b []byte
	for i := 0; i < len(path); i++ {
		if class := classes[path[i]]; class != impossible && !isUnsafe(path[i]) {
			if b != nil {
				b = append(b, path[i])
			}
			continue
		}
		if b == nil {
			b = append(make([]byte, 0, len(path)+8), path[:i]...)
		}
		b = append(b, '%', digits[path[i]>>4], digits[path[i]&15])
	}
	if b == nil {
		return path
	}
	return string(b)
}

// decode decodes all escapes but those of slashes, which are left to slashes: many servers
// decode each segment for itself.
func decode(path string) string {
	return unescapeIf(path, func(c byte) bool { return c != '/' })
}

// slashes decodes the escapes of slashes alone.
func slashes(path string) string {
	return unescapeIf(path, func(c byte) bool { return c == '/' })
}

// escapedBackslashes decodes the escapes of backslashes alone.
func escapedBackslashes(path string) string {
	return unescapeIf(path, func(c byte) bool { return c == '\\' })
}

func unescapeIf(path string, is func(byte) bool) string {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if isEscape(path[i:]) && is(unescape(path[i:])) {
			b = append(b, unescape(path[i:]))
			i += 2
			continue
		}
		b = append(b, path[i])
	}
	return string(b)
}

// backslashes takes backslashes for slashes.
func backslashes(path string) string { return strings.ReplaceAll(path, `\`, "/") }

// overlongs decodes characters of ASCII that have too many bytes in UTF-8, such as C0 AF,
// which some decoders take for a slash.
func overlongs(path string) string {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if n := overlong(path[i:]); n > 0 {
			i += n - 1
			b = append(b, path[i-1]<<6|path[i]&0x3f)
			continue
		}
		b = append(b, path[i])
	}
	return string(b)
}

// overlong is the length of such a character at the front; 0 where there is none.
func overlong(path string) int {
	n := 0
	switch {
	case path[0] == 0xc0 || path[0] == 0xc1:
		n = 2
	case strings.HasPrefix(path, "\xe0\x80"), strings.HasPrefix(path, "\xe0\x81"):
		n = 3
	case strings.HasPrefix(path, "\xf0\x80\x80"), strings.HasPrefix(path, "\xf0\x80\x81"):
		n = 4
	}
	if n == 0 || len(path) < n || path[n-1]&0xc0 != 0x80 {
		return 0
	}
	return n
}

// until cuts the path at a character.
func until(path, end string) string {
	path, _, _ = strings.Cut(path, end)
	return path
}

// withoutParameters cuts each segment at its semicolon.
func withoutParameters(path string) string {
	return eachSegment(path, func(segment string) string { return until(segment, ";") })
}

// trim trims the segments.
func trim(path string) string {
	return eachSegment(path, func(segment string) string {
		return strings.TrimFunc(segment, func(r rune) bool { return r <= ' ' })
	})
}

func eachSegment(path string, change func(string) string) string {
	b := make([]byte, 0, len(path))
	for segment := range strings.SplitSeq(path[1:], "/") {
		b = append(append(b, '/'), change(segment)...)
	}
	return string(b)
}

// withoutLineBreaks drops what the parsers of browsers drop.
func withoutLineBreaks(path string) string { return without(path, hasLineBreak) }

// withoutControls drops all control characters.
func withoutControls(path string) string { return without(path, hasControl) }

func without(path string, trait uint16) string {
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if traits[path[i]]&trait == 0 {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// merge makes one slash of several.
func merge(path string) string {
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// withoutAuthority takes what follows two slashes at the front for a host, as a parser of
// URLs does (RFC 3986, 4.2).
func withoutAuthority(path string) string {
	if !strings.HasPrefix(path, "//") {
		return path
	}
	host := strings.TrimLeft(path, "/")
	if i := strings.IndexByte(host, '/'); i >= 0 {
		return host[i:]
	}
	return "/"
}

// clamp resolves dot segments, and stays at the root.
func clamp(path string) string {
	resolved, _ := resolve(path)
	return resolved
}

// Readings lists what servers may read as other paths of clients, where they get a clean path
// of one as r leaves it. ok is false too where they may read what r does not lead to.
func (r *Rewrite) Readings(path string) (readings []string, ok bool) {
	readings, ok = Readings(path)
	sent := r.Apply(path)
	if !ok || r.Path != "" || sent == path {
		return readings, ok
	}
	after, ok := Readings(sent)
	for _, reading := range after {
		back, reached := r.Back(reading)
		if ok = ok && reached; !ok {
			return nil, false
		}
		if back != path && !slices.Contains(readings, back) {
			readings = append(readings, back)
		}
	}
	return readings, ok
}
