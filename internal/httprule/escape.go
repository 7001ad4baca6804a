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

// wellEscaped tells whether every % of s begins an escape.
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

// decode replaces the escapes of s, which are well formed, once. With
// keepSlash an escaped slash stays as it was written. Without escapes the
// answer is s itself.
func decode(s string, keepSlash bool) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return string(appendDecoded(make([]byte, 0, len(s)), s, keepSlash))
}

func appendDecoded(b []byte, s string, keepSlash bool) []byte {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return append(b, s...)
		}
		b = append(b, s[:i]...)
		if c, _ := unescape(s, i); c == '/' && keepSlash {
			b = append(b, s[i:i+3]...)
		} else {
			b = append(b, c)
		}
		s = s[i+3:]
	}
}
