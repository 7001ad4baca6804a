package field

import "strings"

// CookieValue finds a cookie in the values of the header Cookie, without taking memory
// for the others. Two of one name are as good as a bad one: somebody may have planted the
// second.
func CookieValue(lines []string, name string) (value string, ok bool) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			key, val, is := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !is || key != name {
				continue
			}
			if ok {
				return "", true
			}
			value, ok = strings.Trim(val, `"`), true
		}
	}
	return value, ok
}
