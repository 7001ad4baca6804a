package httproute

import (
	"fmt"
	"net/http"
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
	type request struct{ host, method, target string }
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
		{"Traffic 134: never reached", []Match{{Methods: []string{"GET", "PUT"}}, {Methods: get}}, "1 methods: it can never match: its methods are all taken by routes before it, the last of them 0"},
		{"Traffic 134: never reached for two routes", []Match{{Methods: get}, {Methods: []string{"PUT"}}, {Methods: []string{"PUT", "GET"}}}, "2 methods: it can never match: its methods are all taken by routes before it, the last of them 1"},
		{"a method by mistake", []Match{{Methods: []string{"GTE"}}}, `0 methods: found "GTE": did you mean "GET"?`},
		{"equal hosts of IPv6", []Match{{Host: "[::1]"}, {Host: "[0:0::0001]"}}, "1 : it matches the same requests as 0"},
		{"IPv6 without brackets", []Match{{Host: "::1"}}, `0 host: found "::1", expected an address of IPv6 in brackets, "[::1]"`},
		{"IPv6 with half of them", []Match{{Host: "[::1"}}, `0 host: found "[::1", expected an address of IPv6 in brackets, "[::1]"`},
		{"a zone", []Match{{Host: "[fe80::1%eth0]"}}, `0 host: found "[fe80::1%eth0]", expected a host`},
		{"IPv4 in brackets", []Match{{Host: "[10.0.0.1]"}}, `0 host: found "[10.0.0.1]", expected a host`},
		{"a host beyond ASCII", []Match{{Host: "b\u00fccher.example"}}, "0 host: found \"b\u00fccher.example\", expected a host without a scheme and port, in ASCII"},
		{"a long host", []Match{{Host: strings.Repeat("a.", 128)}}, "0 host: found"},
		{"a star and an address", []Match{{Host: "*.[::1]"}}, `0 host: found "*.[::1]", expected a host, or "*."`},
		{"a dot too many", []Match{{Host: "a.."}}, `0 host: found "a..", expected a host`},
		{"a dot alone", []Match{{Host: "."}}, `0 host: found ".", expected a host`},
		{"a value that no header has", []Match{{Headers: map[string]string{"a": " b"}}}, `0 headers: found " b" as the value of a, which no header has`},
		{"a value of two lines", []Match{{Headers: map[string]string{"a": "b\nc"}}}, `0 headers: found "b\nc" as the value of a, which no header has`},
		{"a header of the connection", []Match{{Headers: map[string]string{"transfer-encoding": "chunked"}}}, `0 headers: found "transfer-encoding", which is of the connection`},
		{"an unescaped bar", []Match{{Path: "/a|b"}}, `0 path: found "/a|b", expected its usual form, "/a%7Cb"`},
		{"an escaped semicolon", []Match{{Path: "/a%3Bb"}}, `0 path: found "/a%3Bb", which servers read in different ways`},
		{"an escaped slash", []Match{{Prefix: "/a%2fb"}}, `0 path_prefix: found "/a%2fb", which servers read in different ways`},
		{"an escaped percent sign", []Match{{Prefix: "/100%25"}}, `0 path_prefix: found "/100%25", which servers read in different ways`},
		{"above the root", []Match{{Prefix: "/../a"}}, `0 path_prefix: found "/../a": the path leads above /`},
		{"a long path", []Match{{Prefix: strings.Repeat("/a", 4097)}}, `0 path_prefix: found "/a/a`},
		{"both kinds of path", []Match{{Path: "/a", Prefix: "/b"}}, `0 path: found "/a" beside path_prefix "/b"`},
		{"no slash", []Match{{Prefix: "a"}}, `0 path_prefix: found "a", expected a path that begins with /`},
		{"a query", []Match{{Path: "/a?b"}}, `0 path: found "/a?b", expected a path without a query`},
		{"dots", []Match{{Path: "/a/../b"}}, `0 path: found "/a/../b", expected its usual form, "/b"`},
		{"an escape", []Match{{Path: "/%61%c3"}}, `0 path: found "/%61%c3", expected its usual form, "/a%C3"`},
		{"two slashes", []Match{{Path: "/a//b"}}, `0 path: found "/a//b", which servers read in different ways`},
		{"an escaped @", []Match{{Path: "/%40"}}, `0 path: found "/%40", expected its usual form, "/@"`},
		{"a space", []Match{{Path: "/a b"}}, `0 path: found "/a b": the path holds the byte 0x20, which must be percent-encoded`},
		{"a URL for a host", []Match{{Host: "http://a"}}, `0 host: found "http://a", expected a host without a scheme and port`},
		{"a port", []Match{{Host: "a:80"}}, `0 host: found "a:80", expected a host without a scheme and port`},
		{"a star within", []Match{{Host: "a.*.b"}}, `0 host: found "a.*.b"`},
		{"a star alone", []Match{{Host: "*"}}, `0 host: found "*", expected a host, or "*." and the rest of one`},
		{"a method in lower case", []Match{{Methods: []string{"get"}}}, `0 methods: found "get"; methods are case-sensitive: did you mean "GET"?`},
		{"Traffic 137: CONNECT", []Match{{Methods: []string{"CONNECT"}}}, `0 methods: found "CONNECT", which no route takes`},
		{"all methods", []Match{{Methods: []string{"*"}}}, `0 methods: found "*"; a route takes all methods where it names none: leave methods out`},
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

// TestFindAllocatesNothing: a request pays for no memory.
func TestFindAllocatesNothing(t *testing.T) {
	built := table(t, Match{Host: "shop.example", Prefix: "/cart"}, Match{Host: "*.shop.example"}, Match{Prefix: "/a", Query: map[string]string{"x y": "1"}, Headers: map[string]string{"Accept": "*/*"}})
	h := headerOf("Accept: */*")
	for _, test := range []struct {
		host, path, query string
		rewrite           Rewrite
	}{
		{"shop.example:8080", "/cart/items/5", "a=b", Rewrite{}},
		{"shop.example", "/cart/%C3%A9%20b/!$&'()*+,=:@[]", "a=b", Rewrite{Strip: "/cart"}},
		{"www.eu.shop.example.", "/", "", Rewrite{Strip: "/cart"}},
		{"[::1]:80", "/a/b", "a=%20&x+y=2%zz&x%20y=%31", Rewrite{Path: "/one"}},
	} {
		if n := testing.AllocsPerRun(100, func() {
			clean, odd, err := Clean(test.path)
			if _, ok := built.Find(test.host, "GET", clean, h, test.query); !ok || err != nil || odd {
				t.Fatal("no route")
			}
			test.rewrite.Apply(clean)
		}); n > 0 {
			t.Errorf("%s: %v allocations", test.path, n)
		}
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
			b.ReportAllocs()
			for b.Loop() {
				clean, _, _ := Clean(path)
				if _, ok := built.Find("shop.example", "GET", clean, nil, ""); !ok {
					b.Fatal("no route")
				}
			}
		})
	}
}

// BenchmarkReadings has what is usual of ambiguous paths, and what costs most.
func BenchmarkReadings(b *testing.B) {
	for name, path := range map[string]string{
		"name":     "/@scope%2Fname/latest",
		"URL":      "/fetch/https%3A%2F%2Fx.example%2Fa%3Fb%3Dc%26d%3B%2Fe",
		"all":      "/" + strings.Repeat("%2F%5C..%3B%00%09%20%3F%23%25", 10),
		"all long": strings.Repeat("/..;a%2F%5C%2525%0A%20|", 300),
		"slashes":  "/" + strings.Repeat("a%2525252525252F", 500),
	} {
		b.Run(name, func(b *testing.B) {
			clean, _, err := Clean(path)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				Readings(clean)
			}
		})
	}
}

// TestMethods pins Traffic 134: what a path has routes for, but for the method.
func TestMethods(t *testing.T) {
	table, problems := New([]Match{
		{Prefix: "/a", Methods: []string{"PUT", "GET"}},
		{Path: "/a/b", Methods: []string{"POST", "GET"}},
		{Host: "x.example", Prefix: "/a", Methods: []string{"PATCH"}},
		{Host: "*.example", Prefix: "/a/b", Methods: []string{"DELETE"}},
		{Path: "/h", Methods: []string{"GET"}, Headers: map[string]string{"k": "v"}},
		{Path: "/h", Methods: []string{"PUT"}, Query: map[string]string{"k": "v"}},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, test := range []struct{ host, path, query, want string }{
		{"", "/a", "", "GET PUT"},
		{"", "/a/c/d", "", "GET PUT"},
		{"", "/ab", "", ""},
		{"", "/a/b", "", "GET POST PUT"},
		{"X.example:80", "/a/b", "", "DELETE GET PATCH POST PUT"},
		{"", "/h", "", ""},
		{"", "/h", "k=v", "PUT"},
	} {
		if got := strings.Join(table.Methods(test.host, test.path, http.Header{}, test.query), " "); got != test.want {
			t.Errorf("%s%s?%s: %q, want %q", test.host, test.path, test.query, got, test.want)
		}
	}
	if got := table.Methods("", "/h", http.Header{"K": {"v"}}, ""); len(got) != 1 || got[0] != "GET" {
		t.Errorf("with its header: %q", got)
	}
}
