// Package entitytag compares the entity tags of conditional requests (RFC 9110 8.8.3
// and 13.1.2):
//
//	if entitytag.Listed(header["If-None-Match"], tag) {
//		// 304
//	}
package entitytag

import "strings"

// maxList bounds how much of If-None-Match is read. Of a longer field nothing matches, so
// that the whole answer is given, which is always right.
const maxList = 8 << 10

// Valid reports whether tag is one entity tag, strong or weak.
func Valid(tag string) bool {
	one, rest, ok := next(tag)
	return ok && rest == "" && len(one)+2 >= len(tag)
}

// Listed reports whether If-None-Match names the tag, by the weak comparison, or any tag
// by "*". lines are those of the field. What is no list of entity tags names none. The
// tag "" is that of an answer without one, which only "*" names.
func Listed(lines []string, tag string) bool {
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if size > maxList {
		return false
	}
	opaque := strings.TrimPrefix(tag, "W/")
	found := false
	for _, line := range lines {
		if strings.Trim(line, " \t") == "*" {
			return len(lines) == 1
		}
		for line = strings.TrimLeft(line, " \t,"); line != ""; line = strings.TrimLeft(line, " \t,") {
			one, rest, ok := next(line)
			if !ok || rest != "" && !strings.HasPrefix(strings.TrimLeft(rest, " \t"), ",") {
				return false
			}
			found = found || one == opaque
			line = rest
		}
	}
	return found
}

// next splits an entity tag off, without its mark of weakness.
func next(s string) (opaque, rest string, ok bool) {
	s = strings.TrimPrefix(s, "W/")
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch b := s[i]; {
		case b == '"':
			return s[:i+1], s[i+1:], true
		case b <= ' ' || b == 0x7f:
			return "", "", false
		}
	}
	return "", "", false
}
