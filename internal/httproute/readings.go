package httproute

import (
	"slices"
	"strings"
)

// maxReadings bounds what is made of one path.
const maxReadings = 64

// readers are what laxer servers do to a path, in an order in which one may find what the
// one before has made.
var readers = []func(string) string{
	decodeAgain,
	decodeAgain,
	slashes,
	untilNUL,
	withoutControls,
	withoutParameters,
	untilSemicolon,
	clamp,
	merge,
	clamp,
}

// Readings lists what servers may read a clean path as, other than as it stands: with
// slashes merged, with encoded slashes and backslashes as slashes, cut at a semicolon or a
// NUL, without control characters, decoded once more, and with several of it. ok is false
// where there are too many to say.
func Readings(path string) (readings []string, ok bool) {
	all := []string{path}
	for _, read := range readers {
		for _, before := range all[:len(all):len(all)] {
			if after := read(before); !slices.Contains(all, after) {
				all = append(all, after)
			}
		}
		if len(all) > maxReadings {
			return nil, false
		}
	}
	for _, reading := range all {
		if reading = escaped(reading); reading != path && !slices.Contains(readings, reading) {
			readings = append(readings, reading)
		}
	}
	return readings, true
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

// decodeAgain decodes all escapes.
func decodeAgain(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			b = append(b, unhex(path[i+1])<<4|unhex(path[i+2]))
			i += 2
			continue
		}
		b = append(b, path[i])
	}
	return string(b)
}

var anySlash = strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", "/", "%5c", "/", `\`, "/")

// slashes takes whatever looks like a slash for one.
func slashes(path string) string { return anySlash.Replace(path) }

// untilNUL cuts the path where a string of C ends.
func untilNUL(path string) string {
	for _, end := range [...]string{"\x00", "%00"} {
		path, _, _ = strings.Cut(path, end)
	}
	return path
}

// withoutControls drops control characters, as browsers' parsers drop tabs and ends of lines.
func withoutControls(path string) string {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c, n := path[i], 1
		if c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
			c, n = unhex(path[i+1])<<4|unhex(path[i+2]), 3
		}
		if c >= ' ' && c != 0x7f {
			b = append(b, path[i:i+n]...)
		}
		i += n - 1
	}
	return string(b)
}

// withoutParameters cuts each segment at its semicolon.
func withoutParameters(path string) string {
	if !strings.Contains(path, ";") && !strings.Contains(path, "%3B") {
		return path
	}
	segments := strings.Split(strings.ReplaceAll(path, "%3B", ";"), "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

// untilSemicolon cuts the path at the first semicolon.
func untilSemicolon(path string) string {
	for _, end := range [...]string{";", "%3B"} {
		path, _, _ = strings.Cut(path, end)
	}
	return path
}

// clamp resolves dot segments, and stays at the root.
func clamp(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	resolved, _ := resolve(path)
	return resolved
}

// merge makes one slash of several.
func merge(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || len(b) == 0 || b[len(b)-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}
