package auth

import (
	"net/http"
	"strings"
)

// CookieValue finds a cookie without taking memory for the others. Two of one
// name are as good as a bad one: somebody may have planted the second.
func CookieValue(h http.Header, name string) (value string, ok bool) {
	for _, line := range h["Cookie"] {
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

// ValidCookieName reports whether a name is a token of RFC 9110.
func ValidCookieName(name string) bool {
	return name != "" && (&http.Cookie{Name: name, Value: "v"}).Valid() == nil
}
