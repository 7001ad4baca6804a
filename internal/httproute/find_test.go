package httproute

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// reference is the whole of Traffic 132 to 134 by comparing each route with each other one.
func reference(matches []Match, host, method, path string, h http.Header, query url.Values) int {
	best, rank := -1, ""
	for i, m := range matches {
		var r strings.Builder
		switch suffix, wild := strings.CutPrefix(m.Host, "*"); {
		case m.Host == "":
			r.WriteString("0 000")
		case wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix):
			fmt.Fprintf(&r, "1 %03d", len(suffix))
		case !wild && m.Host == host:
			r.WriteString("2 000")
		default:
			continue
		}
		prefix := strings.TrimSuffix(m.Prefix, "/")
		switch {
		case m.Path != "" && m.Path == path:
			r.WriteString("1 000")
		case m.Path == "" && (path == prefix || strings.HasPrefix(path, prefix+"/")):
			fmt.Fprintf(&r, "0 %03d", len(prefix))
		default:
			continue
		}
		matches := len(m.Methods) == 0
		for _, one := range m.Methods {
			matches = matches || one == method
		}
		for name, value := range m.Headers {
			values := h.Values(name)
			matches = matches && len(values) > 0 && values[0] == value
		}
		for name, value := range m.Query {
			matches = matches && query.Has(name) && query.Get(name) == value
		}
		if !matches {
			continue
		}
		fmt.Fprintf(&r, "%d %d %d", min(1, len(m.Methods)), len(m.Headers), len(m.Query))
		if r.String() > rank {
			best, rank = i, r.String()
		}
	}
	return best
}

// TestFindAsReference pins Traffic 134: it compares Find with comparing all routes, for random tables.
func TestFindAsReference(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 4))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	path := func() string {
		var b strings.Builder
		for range random.IntN(4) {
			b.WriteString("/" + pick("a", "b", "ab", ""))
		}
		return b.String()
	}
	found := 0
	for range 500 {
		var matches []Match
		for range 1 + random.IntN(12) {
			m := Match{Host: pick("", "", "x.test", "*.x.test", "*.test", "y.x.test", "[::1]")}
			if p := path(); random.IntN(2) == 0 {
				m.Path = p
			} else {
				m.Prefix = p
			}
			if random.IntN(3) == 0 {
				m.Methods = []string{pick("GET", "POST")}
			}
			if random.IntN(3) == 0 {
				m.Headers = map[string]string{pick("a", "b"): pick("1", "2")}
			}
			if random.IntN(3) == 0 {
				m.Query = map[string]string{pick("q", "r"): pick("1", "2")}
			}
			if _, problems := New(append(matches[:len(matches):len(matches)], m)); len(problems) == 0 {
				matches = append(matches, m)
			}
		}
		built := table(t, matches...)
		for range 200 {
			host, method, p := pick("x.test", "y.x.test", "z.y.x.test", "test", "else", "[::1]"), pick("GET", "POST", "PUT"), "/"+path()
			h, raw := headerOf("A: "+pick("1", "2"), "A: 2"), pick("", "q=1", "q=2&r=1", "q=1&q=2", "%71=%31", "q=%zz&q=1", "q;=1&q=2", "&=&q+=1&q=+&q=1", "%=1&q=1%", "q=12", "Q=1&q=%321")
			query, _ := url.ParseQuery(raw)
			sent := pick(host, strings.ToUpper(host), host+":8080", host+":")
			if host[0] != '[' {
				sent = pick(sent, host+".", host+".:80")
			}
			got, ok := built.Find(sent, method, p, h, raw)
			if !ok {
				got = -1
			} else {
				found++
			}
			if want := reference(matches, host, method, p, h, query); got != want {
				t.Fatalf("%s %s%s?%s %v: route %d, want %d of %+v", method, host, p, raw, h, got, want, matches)
			}
		}
	}
	if found < 10_000 {
		t.Errorf("only %d requests had a route", found)
	}
}

// FuzzFind compares Find with the reference for what a client may send.
func FuzzFind(f *testing.F) {
	f.Add("shop.example", "/cart/1", "a", "q=1")
	f.Add("A.SHOP.example.:80", "/cart", "b", "q=2&%71=1;&q+r=%31")
	f.Add("[::1]:8080", "//", "", "q=%zz&q=1")
	f.Add("..", "/a%2Fb", "", "&&=")
	matches := []Match{
		{}, {Prefix: "/cart"}, {Path: "/cart"}, {Prefix: "/cart/1", Methods: []string{"GET"}}, {Host: "shop.example", Prefix: "/cart"},
		{Host: "*.shop.example"}, {Host: "*.example", Query: map[string]string{"q": "1"}}, {Host: "[::1]"}, {Query: map[string]string{"q r": "1", "q": ""}},
		{Headers: map[string]string{"x": "a"}}, {Headers: map[string]string{"x": ""}, Query: map[string]string{"q": "1"}}, {Prefix: "/a%20b", Methods: []string{"POST"}},
	}
	built := table(f, matches...)
	f.Fuzz(func(t *testing.T, host, path, value, rawQuery string) {
		clean, _, err := Clean(path)
		u, parseErr := url.Parse("http://" + host + "/")
		if err != nil || parseErr != nil || u.User != nil || u.Host != host || strings.Contains(host, "%") {
			return
		}
		h := http.Header{"X": {value, "other"}}
		got, ok := built.Find(host, "GET", clean, h, rawQuery)
		if !ok {
			got = -1
		}
		name := strings.TrimSuffix(u.Hostname(), ".")
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		if strings.ToLower(name) != strings.Map(asciiLower, name) || len(name) > 253 {
			return // no host of DNS
		}
		query, _ := url.ParseQuery(rawQuery)
		if want := reference(matches, strings.ToLower(name), "GET", clean, h, query); got != want {
			t.Fatalf("%q %q?%q %q: route %d, want %d", host, clean, rawQuery, value, got, want)
		}
	})
}

func asciiLower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
