package httproute

import (
	"net/http"
	"testing"
)

// TestRewrite pins Traffic 138, with Gateway API's table for a prefix that is replaced.
func TestRewrite(t *testing.T) {
	for _, test := range []struct {
		rewrite    Rewrite
		path, want string
	}{
		{Rewrite{}, "/a/b", "/a/b"},
		{Rewrite{Path: "/one"}, "/a/b", "/one"},
		{Rewrite{Strip: "/foo", Add: "/xyz"}, "/foo/bar", "/xyz/bar"},
		{Rewrite{Strip: "/foo", Add: "/xyz/"}, "/foo/bar", "/xyz/bar"},
		{Rewrite{Strip: "/foo/", Add: "/xyz"}, "/foo/bar", "/xyz/bar"},
		{Rewrite{Strip: "/foo/", Add: "/xyz/"}, "/foo/bar", "/xyz/bar"},
		{Rewrite{Strip: "/foo", Add: "/xyz"}, "/foo", "/xyz"},
		{Rewrite{Strip: "/foo", Add: "/xyz"}, "/foo/", "/xyz/"},
		{Rewrite{Strip: "/foo"}, "/foo/bar", "/bar"},
		{Rewrite{Strip: "/foo"}, "/foo/", "/"},
		{Rewrite{Strip: "/foo"}, "/foo", "/"},
		{Rewrite{Strip: "/foo", Add: "/"}, "/foo/", "/"},
		{Rewrite{Strip: "/foo", Add: "/"}, "/foo", "/"},
		{Rewrite{Strip: "/foo"}, "/foobar", "/foobar"},
		{Rewrite{Strip: "/foo", Add: "/x"}, "/other", "/other"},
		{Rewrite{Add: "/v1"}, "/a", "/v1/a"},
		{Rewrite{Add: "/v1"}, "/", "/v1/"},
		{Rewrite{Strip: "/"}, "/a", "/a"},
		{Rewrite{Strip: "/foo"}, "/foo//evil.example/x", "/evil.example/x"}, // no host
		{Rewrite{Strip: "/a%20b"}, "/a%20b/c%2Fd", "/c%2Fd"},
	} {
		if got := test.rewrite.Apply(test.path); got != test.want {
			t.Errorf("Traffic 138: %+v makes %q of %q, want %q", test.rewrite, got, test.path, test.want)
		}
	}
}

func TestMapBack(t *testing.T) {
	legacy := Rewrite{Strip: "/legacy"}
	app := Rewrite{Strip: "/shop", Add: "/app"}
	for _, test := range []struct {
		rewrite          Rewrite
		name, from, want string
	}{
		{legacy, "Location", "/login", "/legacy/login"},
		{legacy, "Location", "/login?next=/a#b", "/legacy/login?next=/a#b"},
		{legacy, "Location", "/", "/legacy/"},
		{legacy, "Location", "http://10.0.0.5:3000/login", "https://shop.example/legacy/login"},
		{legacy, "Location", "http://10.0.0.5:3000", "https://shop.example/legacy/"},
		{legacy, "Location", "http://10.0.0.5:3000?a", "https://shop.example/legacy/?a"},
		{legacy, "Location", "HTTP://internal/login", "https://shop.example/legacy/login"},
		{legacy, "Location", "http://internal:80/login", "https://shop.example/legacy/login"},
		{legacy, "Location", "http://internal:81/login", "http://internal:81/login"},
		{legacy, "Location", "https://other.example/login", "https://other.example/login"},
		{legacy, "Location", "//other.example/login", "//other.example/login"},
		{legacy, "Location", "next", "next"},
		{legacy, "Location", "mailto:a@b", "mailto:a@b"},
		{legacy, "Location", "http://user@10.0.0.5:3000/", "http://user@10.0.0.5:3000/"},
		{legacy, "Content-Location", "/a", "/legacy/a"},
		{legacy, "Refresh", "5; url=/a", "5; url=/legacy/a"},
		{legacy, "Refresh", `0;URL='http://internal/a'`, `0;URL='https://shop.example/legacy/a'`},
		{legacy, "Refresh", "5", "5"},
		{legacy, "Set-Cookie", "a=b; Path=/", "a=b; Path=/legacy"},
		{legacy, "Set-Cookie", "a=/; path=/x; Secure", "a=/; Path=/legacy/x; Secure"},
		{legacy, "Set-Cookie", "path=/x", "path=/x"},
		{legacy, "Set-Cookie", "a=b; Domain=internal; HttpOnly", "a=b; HttpOnly"},
		{legacy, "Set-Cookie", "a=b; Domain=shop.example", "a=b; Domain=shop.example"},
		{legacy, "Set-Cookie", "a=b; Domain=.example", "a=b; Domain=.example"},
		{legacy, "Set-Cookie", "a=b;  Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=b;  Expires=Thu, 01 Jan 1970 00:00:00 GMT"},
		{app, "Location", "/app/login", "/shop/login"},
		{app, "Location", "/app", "/shop"},
		{app, "Location", "/other", "/other"},
		{app, "Location", "http://internal/other", "http://internal/other"},
		{app, "Location", "http://internal/app/x", "https://shop.example/shop/x"},
		{app, "Set-Cookie", "a=b; Path=/app/", "a=b; Path=/shop/"},
		{app, "Set-Cookie", "a=b; Path=/else", "a=b; Path=/else"},
		{Rewrite{Path: "/one"}, "Location", "/two", "/two"},
		{Rewrite{Path: "/one"}, "Location", "http://internal/two", "https://shop.example/two"},
		{Rewrite{}, "Location", "http://internal/two", "https://shop.example/two"},
	} {
		h := http.Header{test.name: {test.from}}
		test.rewrite.MapBack(h, Seen{Server: "10.0.0.5:3000", Sent: "internal", Scheme: "https", Host: "shop.example"})
		if got := h.Get(test.name); got != test.want {
			t.Errorf("Traffic 156, 157: %+v makes %q of %s: %q, want %q", test.rewrite, got, test.name, test.from, test.want)
		}
	}
	h := http.Header{"Set-Cookie": {"a=b; Path=/", "c=d", "e=f; Domain=internal"}}
	legacy.MapBack(h, Seen{Server: "10.0.0.5:3000", Sent: "internal", Scheme: "http", Host: "x"})
	if got := h["Set-Cookie"]; len(got) != 3 || got[0] != "a=b; Path=/legacy" || got[1] != "c=d" || got[2] != "e=f" {
		t.Errorf("several cookies become %q", got)
	}
}

// FuzzRewrite: what a server gets begins with one slash, is clean, and is found back.
func FuzzRewrite(f *testing.F) {
	f.Add("/foo", "/xyz", "/foo/bar")
	f.Add("/foo", "", "/foo//evil.example")
	f.Add("", "/v1/", "/a;b/..%2f")
	f.Fuzz(func(t *testing.T, strip, add, path string) {
		clean, _, err := Clean(path)
		if err != nil || strip != "" && Check(strip) != "" || add != "" && Check(add) != "" {
			return
		}
		r := Rewrite{Strip: strip, Add: add}
		sent := r.Apply(clean)
		if again, _, err := Clean(sent); err != nil || again != sent {
			t.Fatalf("%+v makes %q of %q, whose usual form is %q, %v", r, sent, clean, again, err)
		}
		if sent != clean && len(sent) > 1 && sent[1] == '/' && add == "" {
			t.Fatalf("%+v makes %q of %q", r, sent, clean)
		}
	})
}

// FuzzMapBack: nothing of a cookie but its Path and Domain changes, and nothing is added to
// a header's lines.
func FuzzMapBack(f *testing.F) {
	f.Add("a=b; Path=/; Domain=internal", "http://internal/x", "5; url=/x")
	f.Fuzz(func(t *testing.T, cookie, location, refresh string) {
		r := Rewrite{Strip: "/legacy"}
		h := http.Header{"Set-Cookie": {cookie}, "Location": {location}, "Refresh": {refresh}}
		r.MapBack(h, Seen{Server: "10.0.0.5:3000", Sent: "internal", Scheme: "https", Host: "shop.example"})
		first := func(s string) string {
			for i := range len(s) {
				if s[i] == ';' {
					return s[:i]
				}
			}
			return s
		}
		if got := h["Set-Cookie"][0]; first(got) != first(cookie) {
			t.Fatalf("the cookie %q becomes %q", cookie, got)
		}
	})
}
