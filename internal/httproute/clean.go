// Package httproute finds the plain HTTP route of a request, and rewrites its path. It has
// the one model of a path that matching, policies and backends share:
//
//	clean, odd, err := httproute.Clean("/a/%7euser/./b")   // "/a/~user/b"
//	table, problems := httproute.New(matches)
//	i, ok := table.Find(host, method, clean, header, rawQuery)
//
// A path that is odd may be read otherwise by laxer servers; Readings has what they make of
// it. The package knows neither upstreams nor policies.
package httproute

import (
	"fmt"
	"net/http"
	"strings"
)

// MaxTarget bounds the target of a request, in bytes.
const MaxTarget = 8 << 10

// PathError is why a path cannot be one.
type PathError struct {
	// Status is the HTTP status of the refusal.
	Status int
	// Message says what was found.
	Message string
}

// Error implements error.
func (e *PathError) Error() string { return e.Message }

func bad(format string, args ...any) *PathError {
	return &PathError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// What a byte of a path is.
const (
	plain      = iota // it stands for itself
	delimiter         // "/"
	percent           // it begins an escape
	strange           // servers differ in what they make of it
	impossible        // it cannot be in a path
)

var classes = func() (c [256]uint8) {
	for b := range c {
		switch {
		case b == '/':
			c[b] = delimiter
		case b == '%':
			c[b] = percent
		case b == ';' || b == '\\' || isUnsafe(byte(b)):
			c[b] = strange
		case b <= ' ' || b >= 0x7f || b == '#' || b == '?':
			c[b] = impossible
		}
	}
	return c
}()

// Clean gives a path of a request its one form (RFC 3986, 6.2.2): escapes of characters that
// need none are decoded, the others are in upper case, and dot segments are resolved. odd is
// set where other servers may read the result otherwise. A path that has this form already
// comes back as it is.
func Clean(path string) (clean string, odd bool, err *PathError) {
	if len(path) > MaxTarget {
		return "", false, &PathError{http.StatusRequestURITooLong, fmt.Sprintf("the path has %d bytes; at most %d are taken", len(path), MaxTarget)}
	}
	if path == "" || path[0] != '/' {
		return "", false, bad("the path does not begin with /")
	}
	segment, unusual := 1, false // where the current one begins; whether isOdd is to say
	for i := 1; i < len(path); i++ {
		switch classes[path[i]] {
		case plain:
			continue
		case delimiter:
			if isDots(path[segment:i]) {
				return cleanSlowly(path)
			}
			odd = odd || i == segment // an empty one
			segment = i + 1
		case strange:
			odd = true
		case percent:
			if !isCleanEscape(path[i:]) {
				return cleanSlowly(path)
			}
			unusual = true
			i += 2
		default:
			return cleanSlowly(path)
		}
	}
	if isDots(path[segment:]) {
		return cleanSlowly(path)
	}
	return path, odd || unusual && isOdd(path), nil
}

// isCleanEscape reports whether a path begins with an escape that stays as it is.
func isCleanEscape(path string) bool {
	if !isEscape(path) || upper(path[1]) != path[1] || upper(path[2]) != path[2] {
		return false
	}
	return !isUnreserved(unescape(path))
}

// isEscape reports whether a path begins with an escape, and unescape is its byte.
func isEscape(path string) bool {
	return len(path) > 2 && path[0] == '%' && isHex(path[1]) && isHex(path[2])
}

func unescape(path string) byte { return unhex(path[1])<<4 | unhex(path[2]) }

func isDots(segment string) bool { return segment == "." || segment == ".." }

func cleanSlowly(path string) (clean string, odd bool, err *PathError) {
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch classes[c] {
		case impossible:
			return "", false, bad("the path holds the byte 0x%02X, which must be percent-encoded", c)
		case percent:
			if !isEscape(path[i:]) {
				return "", false, bad("the path holds a %% that is not followed by two hexadecimal digits")
			}
			if decoded := unescape(path[i:]); isUnreserved(decoded) {
				b = append(b, decoded)
			} else {
				b = append(b, '%', upper(path[i+1]), upper(path[i+2]))
			}
			i += 2
		default:
			b = append(b, c)
		}
	}
	clean, above := resolve(string(b))
	if above {
		return "", false, bad("the path leads above /")
	}
	return clean, isOdd(clean), nil
}

// resolve resolves dot segments (RFC 3986, 5.2.4). above is set where they lead above the
// root, where they stay then.
func resolve(path string) (resolved string, above bool) {
	if !strings.Contains(path, "/.") {
		return path, false
	}
	b := make([]byte, 0, len(path))
	for rest := path; rest != ""; {
		segment := rest // with its slash
		if i := strings.IndexByte(rest[1:], '/'); i >= 0 {
			segment, rest = rest[:i+1], rest[i+1:]
		} else {
			rest = ""
		}
		switch segment {
		case "/.":
		case "/..":
			i := len(b) - 1
			for i >= 0 && b[i] != '/' {
				i--
			}
			above = above || i < 0
			b = b[:max(i, 0)]
		default:
			b = append(b, segment...)
			continue
		}
		if rest == "" {
			b = append(b, '/') // what it names is a folder
		}
	}
	return string(b), above
}

// isOdd reports whether servers differ in what they make of a clean path. Where it does not,
// the path has no readings.
func isOdd(path string) bool {
	for i := 0; i < len(path); i++ {
		switch classes[path[i]] {
		case strange:
			return true
		case delimiter:
			if i > 0 && path[i-1] == '/' {
				return true
			}
		case percent:
			if isOddEscape(path, i) {
				return true
			}
			i += 2
		}
	}
	return false
}

// isOddEscape reports whether some servers take the escape at i for what it stands for, or
// for nothing.
func isOddEscape(path string, i int) bool {
	next := i + 3
	switch c := unescape(path[i:]); {
	case c < ' ', c == 0x7f, isSubDelimiter(c), strings.IndexByte(`%/\?#[]`, c) >= 0:
		return true
	case c == ' ': // at the edge of a segment it may be trimmed
		return path[i-1] == '/' || next == len(path) || path[next] == '/'
	case c == 0xe0, c == 0xf0: // UTF-8 that is too long, perhaps
		rest := path[next:]
		return strings.HasPrefix(rest, "%80") || strings.HasPrefix(rest, "%81")
	default:
		return c == 0xc0 || c == 0xc1
	}
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// isSubDelimiter reports whether a character may stand in a path as it is, and servers take
// its escape for the same.
func isSubDelimiter(c byte) bool {
	switch c {
	case '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@':
		return true
	}
	return false
}

// isUnsafe reports whether a character must be escaped in a path, and clients do not.
func isUnsafe(c byte) bool {
	switch c {
	case '"', '<', '>', '^', '`', '{', '|', '}':
		return true
	}
	return false
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// unhex is the value of a hexadecimal digit.
func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

func upper(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 'A'
	}
	return c
}
