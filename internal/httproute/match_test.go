package httproute

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// table makes the table of matches that have no problem.
func table(t testing.TB, matches ...Match) *Table {
	t.Helper()
	found, problems := New(matches)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return found
}

func headerOf(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// TestFind pins Traffic 132 to 134 by the cases of Gateway API's conformance tests for
// HTTPRoute, among others.
func TestFind(t *testing.T) {
	type request struct {
		host, method, target string
		header               http.Header
	}
	for _, test := range []struct {
		name    string
		matches []Match
		want    map[string]int // by "[HOST] [METHOD] TARGET [NAME: VALUE]..."; -1 for none
	}{
		{"Traffic 133: prefixes are of whole segments", []Match{{Prefix: "/abc"}, {Prefix: "/xyz/"}}, map[string]int{
			"/abc": 0, "/abc/": 0, "/abc/d": 0, "/abcd": -1, "/ab": -1, "/": -1, "/xyz": 1, "/xyz/": 1, "/xyz/a": 1, "/xyza": -1, "/ABC": -1, "/abc?x=/abcd": 0,
		}},
		{"Traffic 133: all paths", []Match{{}}, map[string]int{"/": 0, "/a": 0, "/a/b/c/": 0}},
		{"Traffic 134: exact before prefix, longer before shorter", []Match{
			{Prefix: "/"}, {Prefix: "/one"}, {Path: "/one"}, {Prefix: "/one/two"}, {Path: "/one/two"}, {Path: "/one/"},
		}, map[string]int{
			"/": 0, "/two": 0, "/one": 2, "/one/": 5, "/one/x": 1, "/one/two": 4, "/one/two/": 3, "/one/two/three": 3, "/one/twothree": 1,
		}},
		{"Traffic 134: hosts", []Match{
			{}, {Host: "example.com"}, {Host: "*.example.com"}, {Host: "very.specific.example.com"}, {Host: "*.wild.example.com", Prefix: "/deep"}, {Host: "*.com", Prefix: "/com"},
		}, map[string]int{
			"example.com /": 1, "example.com /com": 1, "EXAMPLE.com:8080 /": 1, "example.com. /": 1, "a.example.com /": 2, "a.b.example.com /": 2, "very.specific.example.com /x": 3,
			"a.wild.example.com /deep": 4, "a.wild.example.com /": 2, "wild.example.com /deep": 2, "other.com /com": 5, "other.com /": 0, "com /com": 0, "org /": 0, "[::1]:80 /": 0, "xexample.com /": 0,
		}},
		{"Traffic 134: a host whose routes do not match leaves it to others", []Match{{Prefix: "/a"}, {Host: "example.com", Prefix: "/b"}}, map[string]int{
			"example.com /a": 0, "example.com /b": 1, "other.com /b": -1,
		}},
		{"Traffic 132: methods", []Match{{Prefix: "/", Methods: []string{"GET", "HEAD"}}, {Prefix: "/path1", Methods: []string{"GET"}}, {Prefix: "/path1"}}, map[string]int{
			"GET /": 0, "HEAD /": 0, "POST /": -1, "GET /path1": 1, "PATCH /path1": 2, "get /path1": 2,
		}},
		{"Traffic 134: method before headers", []Match{
			{Methods: []string{"PATCH"}}, {Headers: map[string]string{"version": "four"}}, {Methods: []string{"POST"}, Headers: map[string]string{"Version": "four"}},
		}, map[string]int{"PATCH / version: four": 0, "GET / version: four": 1, "POST / version: four": 2, "GET /": -1}},
		{"Traffic 132: headers", []Match{
			{Headers: map[string]string{"version": "one"}}, {Headers: map[string]string{"version": "two"}}, {Headers: map[string]string{"version": "two", "color": "orange"}}, {Headers: map[string]string{"color": "blue"}},
		}, map[string]int{
			"/ version: one": 0, "/ Version: two": 1, "/ version: two color: orange": 2, "/ color: blue": 3, "/ color: orange": -1, "/ version: two version: one": 1, "/ version: ONE": -1, "/": -1,
		}},
		{"Traffic 132: query", []Match{
			{Query: map[string]string{"animal": "whale"}}, {Query: map[string]string{"animal": "dolphin"}}, {Query: map[string]string{"animal": "dolphin", "color": "blue"}}, {Query: map[string]string{"ANIMAL": "Whale"}}, {Query: map[string]string{"a b": "c+d&"}},
		}, map[string]int{
			"/?animal=whale": 0, "/?animal=dolphin": 1, "/?animal=dolphin&color=blue": 2, "/?color=blue&animal=dolphin": 2, "/?animal=dolphin&color=yellow": 1, "/?ANIMAL=Whale": 3, "/?animal=Whale": -1,
			"/?animal=whale&animal=dolphin": 0, "/?animal=x&animal=whale": -1, "/?%61nimal=wh%61le": 0, "/?a+b=c%2Bd%26": 4, "/?animal": -1, "/": -1, "/?x=%zz&animal=whale": 0, "/?animal=whale;x": -1,
		}},
		{"Traffic 134: headers before query, then the order", []Match{
			{Query: map[string]string{"a": "1", "b": "2"}}, {Headers: map[string]string{"x": "1"}}, {Headers: map[string]string{"y": "1"}},
		}, map[string]int{"/?a=1&b=2 x: 1": 1, "/?a=1&b=2": 0, "/ x: 1 y: 1": 1, "/ y: 1": 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := table(t, test.matches...)
			for text, want := range test.want {
				r := request{host: "localhost", method: "GET"}
				var lines []string
				fields := strings.Fields(text)
				for i := 0; i < len(fields); i++ {
					switch f := fields[i]; {
					case f[0] == '/':
						r.target = f
					case r.target == "" && (strings.Contains(f, ".") || strings.Contains(f, "[") || f == "com" || f == "org"):
						r.host = f
					case r.target == "":
						r.method = f
					default:
						i++
						lines = append(lines, f+" "+fields[i])
					}
				}
				path, query, _ := strings.Cut(r.target, "?")
				got, ok := found.Find(r.host, r.method, path, headerOf(lines...), query)
				if !ok {
					got = -1
				}
				if got != want {
					t.Errorf("%s: route %d, want %d", text, got, want)
				}
			}
		})
	}
}

func TestProblems(t *testing.T) {
	get := []string{"GET"}
	for _, test := range []struct {
		name    string
		matches []Match
		want    string // of the first problem
	}{
		{"Traffic 134: equal routes", []Match{{Host: "a.b"}, {Host: "A.B.", Prefix: "/"}}, "1 : it matches the same requests as 0"},
		{"Traffic 134: equal but for the order of methods", []Match{{Methods: []string{"GET", "PUT"}}, {Methods: []string{"PUT", "GET"}}}, "1 : it matches the same requests as 0"},
		{"Traffic 134: equal prefixes", []Match{{Prefix: "/a"}, {Prefix: "/a/"}}, "1 : it matches the same requests as 0"},
		{"Traffic 134: never reached", []Match{{Methods: []string{"GET", "PUT"}}, {Methods: get}}, "1 methods: it can never match: its methods are all taken by 0"},
		{"both kinds of path", []Match{{Path: "/a", Prefix: "/b"}}, `0 path: found "/a" beside path_prefix "/b"`},
		{"no slash", []Match{{Prefix: "a"}}, `0 path_prefix: found "a", expected a path that begins with /`},
		{"a query", []Match{{Path: "/a?b"}}, `0 path: found "/a?b", expected a path without a query`},
		{"dots", []Match{{Path: "/a/../b"}}, `0 path: found "/a/../b", expected its usual form, "/b"`},
		{"an escape", []Match{{Path: "/%61%c3"}}, `0 path: found "/%61%c3", expected its usual form, "/a%C3"`},
		{"two slashes", []Match{{Path: "/a//b"}}, `0 path: found "/a//b", which servers read in different ways`},
		{"an escaped @", []Match{{Path: "/%40"}}, `0 path: found "/%40", which servers read in different ways`},
		{"a space", []Match{{Path: "/a b"}}, `0 path: found "/a b": the path holds the byte 0x20, which must be percent-encoded`},
		{"a URL for a host", []Match{{Host: "http://a"}}, `0 host: found "http://a", expected a host without a scheme and port`},
		{"a port", []Match{{Host: "a:80"}}, `0 host: found "a:80", expected a host without a scheme and port`},
		{"a star within", []Match{{Host: "a.*.b"}}, `0 host: found "a.*.b"`},
		{"a star alone", []Match{{Host: "*"}}, `0 host: found "*", expected a host, or "*." and the rest of one`},
		{"a method in lower case", []Match{{Methods: []string{"get"}}}, `0 methods: found "get"; methods are case-sensitive: did you mean "GET"?`},
		{"Traffic 137: CONNECT", []Match{{Methods: []string{"CONNECT"}}}, `0 methods: found "CONNECT", which no route takes`},
		{"a method twice", []Match{{Methods: []string{"GET", "GET"}}}, `0 methods: found "GET" twice`},
		{"no header", []Match{{Headers: map[string]string{"a b": ""}}}, `0 headers: found "a b", which is no name of a header`},
		{"Host", []Match{{Headers: map[string]string{"host": ""}}}, `0 headers: found "host"; expected match.host`},
		{"two spellings", []Match{{Headers: map[string]string{"a": "", "A": ""}}}, `0 headers: found "a" in two spellings`},
		{"no parameter", []Match{{Query: map[string]string{"": ""}}}, `0 query: found no name`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := New(test.matches)
			if len(problems) != 1 {
				t.Fatalf("%d problems: %v", len(problems), problems)
			}
			p := problems[0]
			got := fmt.Sprintf("%d %s: %s", p.Index, p.Field, p.Message)
			if p.Other >= 0 {
				got += fmt.Sprintf(" %d", p.Other)
			}
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

// reference is the whole of Traffic 132 to 134 by comparing each route with each other one.
func reference(matches []Match, host, method, path string, h http.Header, query url.Values) int {
	best, rank := -1, ""
	for i, m := range matches {
		host := strings.ToLower(host)
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

// TestFindAsReference compares Find with comparing all routes, for random tables.
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
			m := Match{Host: pick("", "", "x.test", "*.x.test", "*.test", "y.x.test")}
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
			host, method, p := pick("x.test", "y.x.test", "z.y.x.test", "test", "else"), pick("GET", "POST", "PUT"), "/"+path()
			h, raw := headerOf("A: "+pick("1", "2")), pick("", "q=1", "q=2&r=1", "q=1&q=2")
			query, _ := url.ParseQuery(raw)
			got, ok := built.Find(host, method, p, h, raw)
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

// TestFindAllocatesNothing: a request pays for no memory.
func TestFindAllocatesNothing(t *testing.T) {
	built := table(t, Match{Host: "shop.example", Prefix: "/cart"}, Match{Prefix: "/"}, Match{Prefix: "/a", Query: map[string]string{"x": "1"}})
	h := headerOf("Accept: */*")
	if n := testing.AllocsPerRun(100, func() {
		clean, _, err := Clean("/cart/items/5")
		if _, ok := built.Find("shop.example:8080", "GET", clean, h, "a=b"); !ok || err != nil {
			t.Fatal("no route")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, routes := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(routes), func(b *testing.B) {
			matches := []Match{{Prefix: "/"}}
			for i := range routes {
				matches = append(matches, Match{Prefix: fmt.Sprintf("/service-%d/api", i)})
			}
			built := table(b, matches...)
			path := fmt.Sprintf("/service-%d/api/items/5", routes/2)
			for b.Loop() {
				clean, _, _ := Clean(path)
				if _, ok := built.Find("shop.example", "GET", clean, nil, ""); !ok {
					b.Fatal("no route")
				}
			}
		})
	}
}
