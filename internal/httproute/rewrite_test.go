package httproute

import (
	"net/http"
	"slices"
	"strings"
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
		{legacy, "Set-Cookie", "a=/; path=/x; Secure", "a=/; path=/legacy/x; Secure"},
		{legacy, "Set-Cookie", "path=/x", "path=/x"},
		{legacy, "Set-Cookie", "a=b; Domain=internal; HttpOnly", "a=b; HttpOnly"},
		{legacy, "Set-Cookie", "a=b; Domain=shop.example", "a=b; Domain=shop.example"},
		{legacy, "Set-Cookie", "a=b; Domain=.example", "a=b; Domain=.example"},
		{legacy, "Set-Cookie", "a=b;  Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=b;  Expires=Thu, 01 Jan 1970 00:00:00 GMT"},
		{legacy, "Location", "//internal/login", "//shop.example/legacy/login"},
		{legacy, "Location", "https://10.0.0.5:3000/login#a?b", "https://shop.example/legacy/login#a?b"},
		{legacy, "Location", `http://internal\@other.example/`, `https://shop.example/legacy/\@other.example/`},
		{legacy, "Location", "http://internal@other.example/", "http://internal@other.example/"},
		{legacy, "Location", "http://internal.other.example/", "http://internal.other.example/"},
		{legacy, "Location", "http:///login", "http:///login"},
		{legacy, "Location", "http:/login", "http:/login"},
		{legacy, "Location", "ftp://internal/login", "ftp://internal/login"},
		{legacy, "Location", "/a/../../login", "/legacy/login"},
		{legacy, "Location", "/%2E%2e/login?..", "/legacy/login?.."},
		{legacy, "Location", "?to=//internal/", "?to=//internal/"},
		{legacy, "Location", "", ""},
		{legacy, "Refresh", "5;/a", "5;/legacy/a"},
		{legacy, "Refresh", "5, url=/a", "5, url=/legacy/a"},
		{legacy, "Refresh", "1.5 /a ", "1.5 /legacy/a "},
		{legacy, "Refresh", "0; url = \"/a\" x", "0; url = \"/legacy/a\" x"},
		{legacy, "Refresh", "0; url='/a", "0; url='/legacy/a"},
		{legacy, "Refresh", "0; url=", "0; url="},
		{legacy, "Refresh", "0; urls/a", "0; urls/a"},
		{legacy, "Refresh", "/a", "/a"},
		{legacy, "Set-Cookie", "__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"},
		{legacy, "Set-Cookie", "__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=/legacy; Secure"},
		{legacy, "Set-Cookie", `a="b; Path=/x`, `a="b; Path=/legacy/x`},
		{legacy, "Set-Cookie", `a=b; Path="/x"`, `a=b; Path="/x"`},
		{legacy, "Set-Cookie", "a=b; Path=", "a=b; Path="},
		{legacy, "Set-Cookie", "a=b;PATH = /x ;;X", "a=b;PATH =/legacy/x;;X"},
		{legacy, "Set-Cookie", "a=b; Domain=10.0.0.5", "a=b"},
		{legacy, "Set-Cookie", "a=b; Domain=0.5", "a=b; Domain=0.5"},
		{app, "Location", `/app/\other.example/`, `/shop/\other.example/`},
		{Rewrite{Add: "/app"}, "Location", "/app//other.example/", "/other.example/"},
		{Rewrite{Add: "/app"}, "Location", `/app/\other.example/`, "/other.example/"},
		{Rewrite{Add: "/app"}, "Location", "/app/\t/other.example/", "/other.example/"},
		{Rewrite{Add: "/app"}, "Location", "/app", "/"},
		{Rewrite{Add: "/app"}, "Location", "/app/../x", "/app/../x"},
		{Rewrite{Add: "/app"}, "Location", "/apple", "/apple"},
		{Rewrite{Add: "/app"}, "Set-Cookie", "a=b; Path=/app", "a=b; Path=/"},
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

// TestMapBackToClientsHost: a server that gets the client's Host may send clients of http to
// https, and would do it for ever if that were mapped back to http.
func TestMapBackToClientsHost(t *testing.T) {
	for _, test := range []struct {
		rewrite            Rewrite
		scheme, from, want string
	}{
		{Rewrite{Strip: "/legacy"}, "http", "https://shop.example/a", "https://shop.example/legacy/a"},
		{Rewrite{Strip: "/legacy"}, "https", "http://shop.example/a", "https://shop.example/legacy/a"},
		{Rewrite{Strip: "/legacy"}, "http", "//SHOP.example/a", "//shop.example/legacy/a"},
		{Rewrite{Strip: "/legacy"}, "http", "https://10.0.0.5:3000/a", "http://shop.example/legacy/a"},
		{Rewrite{}, "http", "https://shop.example/a", "https://shop.example/a"},
		{Rewrite{}, "https", "http://shop.example/a", "http://shop.example/a"},
		{Rewrite{}, "https", "//shop.example/a", "//shop.example/a"},
	} {
		h := http.Header{"Location": {test.from}}
		test.rewrite.MapBack(h, Seen{Server: "10.0.0.5:3000", Sent: "shop.example", Scheme: test.scheme, Host: "shop.example"})
		if got := h.Get("Location"); got != test.want {
			t.Errorf("Traffic 156: %+v makes %q of %q for a client of %s, want %q", test.rewrite, got, test.from, test.scheme, test.want)
		}
	}
}

// FuzzMapBack: what is mapped leads to the client's host, as browsers read it, and nothing of
// a cookie but its Path and Domain changes.
func FuzzMapBack(f *testing.F) {
	f.Add("a=b; Path=/; Domain=internal", "http://internal/x", "5; url=/x")
	rewrites := []Rewrite{{Strip: "/legacy"}, {Strip: "/shop", Add: "/app"}, {Add: "/app"}, {Path: "/one"}, {}}
	f.Fuzz(func(t *testing.T, cookie, location, refresh string) {
		for _, r := range rewrites {
			h := http.Header{"Set-Cookie": {cookie}, "Location": {location}, "Refresh": {refresh}}
			r.MapBack(h, Seen{Server: "10.0.0.5:3000", Sent: "internal", Scheme: "https", Host: "shop.example"})
			if got := h["Location"][0]; got != location && !leadsBack(got) {
				t.Fatalf("%+v makes %q of Location %q", r, got, location)
			}
			if got, want := otherAttributes(h["Set-Cookie"][0]), otherAttributes(cookie); !slices.Equal(got, want) {
				t.Fatalf("%+v: the cookie %q becomes %q", r, cookie, h["Set-Cookie"][0])
			}
			for _, values := range h {
				if len(values) != 1 || len(values[0]) > 3*len(cookie+location+refresh)+100 {
					t.Fatalf("%+v: %q", r, values)
				}
			}
		}
	})
}

// leadsBack reports whether a browser finds the client's host in what was mapped.
func leadsBack(url string) bool {
	url = strings.NewReplacer("\t", "", "\r", "", "\n", "", `\`, "/").Replace(url)
	for _, scheme := range []string{"", "http:", "https:"} {
		if strings.HasPrefix(url, scheme+"//shop.example/") {
			return true
		}
	}
	return strings.HasPrefix(url, "/") && !strings.HasPrefix(url, "//")
}

// otherAttributes are the parts of a cookie that are never mapped.
func otherAttributes(cookie string) []string {
	parts := strings.Split(cookie, ";")
	return append(parts[:1:1], slices.DeleteFunc(parts[1:], func(part string) bool {
		name, _, _ := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		return name == "path" || name == "domain"
	})...)
}
