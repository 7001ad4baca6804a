package field

import "testing"

// TestSameOrigin compares scheme, host and port, as far as they are known (Semantics 309).
func TestSameOrigin(t *testing.T) {
	const neither, cleartext, both = 0, 1, 2
	for _, test := range []struct {
		origin, host string
		want         int
	}{
		{"https://api.example", "api.example", both},
		{"https://api.example", "api.example:443", both},
		{"https://api.example:443", "api.example", both},
		{"https://API.example", "api.Example:443", both},
		{"HTTPS://api.example", "api.example", both},
		{"https://api.example:8443", "api.example:8443", both},
		{"https://[2001:db8::443]", "[2001:db8::443]:443", both},
		{"https://[2001:db8::443]", "[2001:db8::443]", both},
		{"http://api.example", "api.example", cleartext},
		{"http://api.example", "api.example:80", cleartext},
		{"http://api.example:8443", "api.example:8443", cleartext},
		{"http://api.example:443", "api.example:443", cleartext},
		{"http://api.example", "api.example:443", neither},
		{"https://api.example", "api.example:80", neither},
		{"https://api.example:8443", "api.example", neither},
		{"https://api.example", "api.example:1443", neither},
		{"https://api.example.evil", "api.example", neither},
		{"https://user@api.example", "api.example", neither},
		{"https://api.example/", "api.example", neither},
		{"ws://api.example", "api.example", neither},
		{"wss://api.example", "api.example", neither},
		{"file://api.example", "api.example", neither},
		{"chrome-extension://api.example", "api.example", neither},
		{"://api.example", "api.example", neither},
		{"null", "null", neither}, {"https://", "", neither}, {"", "", neither}, {"api.example", "api.example", neither},
	} {
		for _, secure := range []bool{false, true} {
			want := test.want == both || test.want == cleartext && !secure
			if got := SameOrigin(test.origin, test.host, secure); got != want {
				t.Errorf("%s of %s by TLS (%v) is %v, want %v", test.origin, test.host, secure, got, want)
			}
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
