package auth

import (
	"net/http"
	"strings"
	"testing"
	"unicode"
)

func FuzzCookieValue(f *testing.F) {
	f.Add("a=b; c=d", "c")
	f.Add(`x="y";x=z`, "x")
	f.Fuzz(func(t *testing.T, line, name string) {
		h := http.Header{"Cookie": {line}}
		value, ok := CookieValue(h, name)
		if !ok && value != "" {
			t.Errorf("%q without a cookie", value)
		}
		// The standard library is stricter: what it finds once, we find too. Control
		// characters do not come through HTTP. To it "x" is a cookie without a value,
		// too, which is nothing to us.
		if strings.ContainsFunc(line, unicode.IsControl) {
			return
		}
		if all := (&http.Request{Header: h}).CookiesNamed(name); len(all) == 1 && all[0].Value != "" && name != "" && strings.Count(line, name+"=") == 1 {
			if !ok || value != all[0].Value {
				t.Errorf("found %q, %v, want %q", value, ok, all[0].Value)
			}
		}
	})
}
