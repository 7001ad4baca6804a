package auth

import (
	"net/http"

	"github.com/transom-gateway/transom/internal/field"
)

// CookieValue finds a cookie as field.CookieValue does.
func CookieValue(h http.Header, name string) (value string, ok bool) {
	return field.CookieValue(h["Cookie"], name)
}

// ValidCookieName reports whether a name is a token of RFC 9110.
func ValidCookieName(name string) bool {
	return name != "" && (&http.Cookie{Name: name, Value: "v"}).Valid() == nil
}
