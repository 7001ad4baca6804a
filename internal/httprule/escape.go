package httprule

import "strings"

// unescape reads the escape %XX that begins at s[i].
func unescape(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	high, ok1 := fromHex(s[i+1])
	low, ok2 := fromHex(s[i+2])
	return high<<4 | low, ok1 && ok2
}

func fromHex(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// wellEscaped reports whether every % of s begins an escape.
func wellEscaped(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return true
		}
		if _, ok := unescape(s, i); !ok {
			return false
		}
		s = s[i+3:]
	}
}

// reserved are the reserved characters of RFC 6570, 2.2.
const reserved = ":/?#[]@!$&'()*+,;="

// kept returns the characters that stay escaped in a value.
func kept(multi, keepReserved bool) string {
	switch {
	case !multi:
		return ""
	case keepReserved:
		return reserved
	}
	return "/"
}

// decode replaces the escapes of s, which are well formed, once. Those of the
// characters in keep stay as they were written. Without escapes the
// answer is s itself.
func decode(s, keep string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return string(appendDecoded(make([]byte, 0, len(s)), s, keep))
}

func appendDecoded(b []byte, s, keep string) []byte {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return append(b, s...)
		}
		b = append(b, s[:i]...)
		if c, _ := unescape(s, i); strings.IndexByte(keep, c) >= 0 {
			b = append(b, s[i:i+3]...)
		} else {
			b = append(b, c)
		}
		s = s[i+3:]
	}
}
