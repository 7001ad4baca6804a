package nearest

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	names := []string{"get", "put", "x", "id", "additional_bindings", "response_body", "httpRules"}
	for text, want := range map[string]string{
		"gett": "get", "upt": "put", "GET": "get", "Put": "put", "gte": "get", "jd": "id", "http_rules": "httpRules",
		"additinal_bindings": "additional_bindings", "aditional_bindingz": "additional_bindings", "response_bdoy": "response_body",
		"get": "", "y": "", "": "", "abc": "", "nothing_like_it": "", "additional": "", strings.Repeat("a", 1000): "",
	} {
		if got := Of(names, text); got != want {
			t.Errorf("nearest to %.20q: %q, want %q", text, got, want)
		}
	}
	if got := Of(names, "nothing", "respons_body"); got != "response_body" {
		t.Errorf("of two texts: %q", got)
	}
	if got := Of([]string{"abcdef", "abcxef"}, "abcyef"); got != "abcdef" {
		t.Errorf("of equal names: %q", got)
	}
	if got := Of([]string{"a.Size", "a.size"}, "a.sise"); got != "a.size" {
		t.Errorf("of names that differ in case: %q", got)
	}
	if got := Of(nil, "a"); got != "" {
		t.Errorf("of none: %q", got)
	}
}

func TestDistance(t *testing.T) {
	var m meter
	for _, d := range []struct {
		a, b        string
		limit, want int
	}{
		{"", "", 3, 0}, {"abc", "acb", 3, 1}, {"abc", "bc", 3, 1}, {"abc", "xyz", 9, 3}, {"abc", "xyz", 2, 2},
		{"a", "abcd", 2, 2}, {"kitten", "sitting", 9, 3}, {"Name", "nAME", 1, 0}, {"ab", "", 3, 2},
	} {
		if got := m.distance(d.a, d.b, d.limit, lower); got != d.want {
			t.Errorf("distance(%q, %q, %d) = %d, want %d", d.a, d.b, d.limit, got, d.want)
		}
	}
}

// FuzzOf holds that no text makes it panic, and that what is meant is one of the
// names.
func FuzzOf(f *testing.F) {
	f.Add("a b c", "b")
	f.Add("field_one fieldTwo \xff", "\xffield")
	f.Fuzz(func(t *testing.T, list, text string) {
		names := strings.Fields(list)
		got := Of(names, text)
		if got == "" {
			return
		}
		for _, name := range names {
			if name == got {
				return
			}
		}
		t.Fatalf("%q is none of %q", got, names)
	})
}
