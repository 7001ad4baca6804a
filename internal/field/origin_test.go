package field

import "testing"

func TestSameHost(t *testing.T) {
	for _, test := range []struct {
		origin, host string
		want         bool
	}{
		{"https://api.example", "api.example", true},
		{"https://api.example", "api.example:443", true},
		{"https://api.example:443", "api.example", true},
		{"https://API.example", "api.Example:443", true},
		{"http://api.example", "api.example:80", true},
		{"http://api.example", "api.example:443", false},
		{"https://api.example", "api.example:80", false},
		{"https://api.example:8443", "api.example:8443", true},
		{"https://api.example:8443", "api.example", false},
		{"https://[2001:db8::443]", "[2001:db8::443]:443", true},
		{"https://[2001:db8::443]", "[2001:db8::443]", true},
		{"https://api.example", "api.example:1443", false},
		{"https://api.example.evil", "api.example", false},
		{"null", "null", false}, {"https://", "", false}, {"", "", false}, {"api.example", "api.example", false},
	} {
		if got := SameHost(test.origin, test.host); got != test.want {
			t.Errorf("Semantics 309: %s of %s is %v, want %v", test.origin, test.host, got, test.want)
		}
	}
}

func TestPort(t *testing.T) {
	for host, want := range map[string][2]string{
		"a:1": {"a", "1"}, "a": {"a", ""}, "[::1]:1": {"[::1]", "1"}, "[::1]": {"[::1]", ""}, "::1": {"::1", ""}, "": {"", ""}, "a:": {"a", ""},
	} {
		if without, port := Port(host); without != want[0] || port != want[1] {
			t.Errorf("%q is %q and %q, want %q", host, without, port, want)
		}
	}
}
