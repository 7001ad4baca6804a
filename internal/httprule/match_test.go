package httprule

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newTree makes a tree of routes such as "GET /v1/{name}"; a route's value is
// its text.
func newTree(t testing.TB, options Options, routes ...string) *Tree[string] {
	t.Helper()
	tree := NewTree[string](options)
	for _, r := range routes {
		method, text, _ := strings.Cut(r, " ")
		template, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Add(method, template, r); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestMatch(t *testing.T) {
	bookstore := []string{
		"GET /v1/shelves", "POST /v1/shelves", "GET /v1/{name=shelves/*}", "DELETE /v1/{name=shelves/*}",
		"GET /v1/{name=shelves/*/books/*}", "POST /v1/{name=shelves/*}:merge",
	}
	type want struct {
		route   string // "" for no match
		values  []string
		failure Failure
	}
	tests := []struct {
		name    string
		options Options
		routes  []string
		request string
		want    want
	}{
		{"plain", Options{}, bookstore, "GET /v1/shelves/1/books/2", want{bookstore[4], []string{"shelves/1/books/2"}, None}},
		{"no route", Options{}, bookstore, "GET /v2", want{failure: NotFound}},
		{"other method", Options{}, bookstore, "PUT /v1/shelves", want{failure: WrongMethod}},
		{"empty path", Options{}, bookstore, "GET ", want{failure: NotFound}},
		{"asterisk form", Options{}, bookstore, "OPTIONS *", want{failure: NotFound}},
		{"root", Options{}, []string{"GET /"}, "GET /", want{"GET /", nil, None}},
		{"root is not an empty segment", Options{}, []string{"GET /{a}"}, "GET /", want{failure: NotFound}},
		{"bad escape", Options{}, bookstore, "GET /v1/%zz", want{failure: BadEscape}},
		{"bad escape at the end", Options{}, bookstore, "GET /v1/a%2", want{failure: BadEscape}},

		{"Semantics 1: a single segment decodes all", Options{}, []string{"GET /s/{a}"}, "GET /s/a%2Fb%20c", want{"GET /s/{a}", []string{"a/b c"}, None}},
		{"Semantics 1: decodes once", Options{}, []string{"GET /s/{a}"}, "GET /s/%252F", want{"GET /s/{a}", []string{"%2F"}, None}},
		{"Semantics 1: ** keeps %2F", Options{}, []string{"GET /s/{a=**}"}, "GET /s/a%2Fb%2fc%20d/e", want{"GET /s/{a=**}", []string{"a%2Fb%2fc d/e"}, None}},
		{"Semantics 1: more than one segment keeps %2F", Options{}, []string{"GET /{a=s/*}"}, "GET /s/a%2Fb", want{"GET /{a=s/*}", []string{"s/a%2Fb"}, None}},
		{"Semantics 1: %252F in ** becomes %2F", Options{}, []string{"GET /s/{a=**}"}, "GET /s/%252F", want{"GET /s/{a=**}", []string{"%2F"}, None}},
		{"Semantics 56: ** keeps what is reserved", Options{KeepReserved: true}, []string{"GET /s/{a=**}"}, "GET /s/%2F%23/%20%2523", want{"GET /s/{a=**}", []string{"%2F%23/ %23"}, None}},
		{"Semantics 56: a single segment decodes all", Options{KeepReserved: true}, []string{"GET /s/{a}"}, "GET /s/%23", want{"GET /s/{a}", []string{"#"}, None}},
		{"Semantics 1: an escaped slash does not split", Options{}, []string{"GET /s/{a}/{b}"}, "GET /s/a%2Fb", want{failure: NotFound}},
		{"Semantics 2: + is literal", Options{}, []string{"GET /s/{a}"}, "GET /s/a+b", want{"GET /s/{a}", []string{"a+b"}, None}},

		{"Semantics 3: ** matches nothing", Options{}, []string{"GET /a/**"}, "GET /a", want{"GET /a/**", nil, None}},
		{"Semantics 3: ** of zero segments binds nothing", Options{}, []string{"GET /a/{p=**}"}, "GET /a", want{"GET /a/{p=**}", []string{""}, None}},
		{"Semantics 3: ** at the root", Options{}, []string{"GET /{p=**}"}, "GET /", want{"GET /{p=**}", []string{""}, None}},
		{"Semantics 3: ** matches many", Options{}, []string{"GET /a/{p=**}"}, "GET /a/b/c/d", want{"GET /a/{p=**}", []string{"b/c/d"}, None}},
		{"Semantics 3: ** takes empty segments", Options{}, []string{"GET /a/{p=**}"}, "GET /a//b/", want{"GET /a/{p=**}", []string{"/b/"}, None}},
		{"Semantics 3: * never matches an empty segment", Options{}, []string{"GET /a/*/b"}, "GET /a//b", want{failure: NotFound}},
		{"Semantics 3: literals after **", Options{}, []string{"GET /a/{p=**}/b/c"}, "GET /a/b/c/x/b/c", want{"GET /a/{p=**}/b/c", []string{"b/c/x"}, None}},
		{"Semantics 3: literals after ** of zero segments", Options{}, []string{"GET /a/{p=**}/b/c"}, "GET /a/b/c", want{"GET /a/{p=**}/b/c", []string{""}, None}},
		{"Semantics 3: literals after ** do not overlap", Options{}, []string{"GET /a/b/**/b/c"}, "GET /a/b/c", want{failure: NotFound}},
		{"Semantics 3: ** between literals in a variable", Options{}, []string{"GET /{p=a/**/b}"}, "GET /a/x/y/b", want{"GET /{p=a/**/b}", []string{"a/x/y/b"}, None}},
		{"Semantics 3: the last of many **", Options{}, []string{"GET /a/**", "GET /a/**/c", "GET /a/**/b/c"}, "GET /a/x/b/c", want{"GET /a/**/b/c", nil, None}},

		{"Semantics 4: literal before *", Options{}, []string{"GET /{a}", "GET /x"}, "GET /x", want{"GET /x", nil, None}},
		{"Semantics 4: * before **", Options{}, []string{"GET /a/**/c", "GET /a/*/{b}"}, "GET /a/b/c", want{"GET /a/*/{b}", []string{"c"}, None}},
		{"Semantics 4: backtracking", Options{}, []string{"GET /a/b/c", "GET /{x}/b/d"}, "GET /a/b/d", want{"GET /{x}/b/d", []string{"a"}, None}},
		{"Semantics 4: the method is part of the match", Options{}, []string{"POST /ov/fixed", "GET /ov/{name}"}, "GET /ov/fixed", want{"GET /ov/{name}", []string{"fixed"}, None}},
		{"Semantics 4: and of ** with a suffix", Options{}, []string{"POST /a/**/b", "GET /a/{p=**}"}, "GET /a/x/b", want{"GET /a/{p=**}", []string{"x/b"}, None}},
		{"Semantics 4: 405 after the whole search", Options{}, []string{"POST /ov/fixed", "GET /ov/{name}"}, "PUT /ov/fixed", want{failure: WrongMethod}},

		{"Semantics 5: verb", Options{}, bookstore, "POST /v1/shelves/1:merge", want{bookstore[5], []string{"shelves/1"}, None}},
		{"Semantics 5: the last colon", Options{}, []string{"GET /verb/{name}:go"}, "GET /verb/a:b:go", want{"GET /verb/{name}:go", []string{"a:b"}, None}},
		{"Semantics 5: undeclared verb is text", Options{}, []string{"GET /verb/{name}:go", "GET /verb/{name}"}, "GET /verb/a:b", want{"GET /verb/{name}", []string{"a:b"}, None}},
		{"Semantics 5: verb of another template is text", Options{}, []string{"GET /x:go", "GET /verb/{name}"}, "GET /verb/a:go", want{"GET /verb/{name}", []string{"a:go"}, None}},
		{"Semantics 5: a verb with another method is no text", Options{}, []string{"POST /verb/{name}:go", "GET /verb/{name}"}, "GET /verb/a:go", want{failure: WrongMethod}},
		{"Semantics 5: an escaped colon makes no verb", Options{}, []string{"GET /verb/{name}:go", "GET /verb/{name}"}, "GET /verb/a%3Ago", want{"GET /verb/{name}", []string{"a:go"}, None}},
		{"Semantics 5: a verb may be escaped", Options{}, []string{"GET /verb/{name}:go"}, "GET /verb/a:%67o", want{"GET /verb/{name}:go", []string{"a"}, None}},
		{"Semantics 5: after **", Options{}, []string{"GET /a/{p=**}:go"}, "GET /a:go", want{"GET /a/{p=**}:go", []string{""}, None}},
		{"Semantics 5: after ** at the root", Options{}, []string{"GET /{p=**}:go"}, "GET /:go", want{"GET /{p=**}:go", []string{""}, None}},
		{"Semantics 5: not before a slash", Options{}, []string{"GET /{p=**}:go", "GET /{a}/b"}, "GET /x:go/b", want{"GET /{a}/b", []string{"x:go"}, None}},
		{"Semantics 5: no empty segment before it", Options{}, []string{"GET /a/{b}:go"}, "GET /a/:go", want{failure: NotFound}},

		{"Semantics 6: constant", Options{}, []string{"GET /v1/{name=operations}"}, "GET /v1/operations", want{"GET /v1/{name=operations}", []string{"operations"}, None}},
		{"Semantics 6: constant, escaped by the client", Options{}, []string{"GET /v1/{name=operations}"}, "GET /v1/oper%61tions", want{"GET /v1/{name=operations}", []string{"operations"}, None}},
		{"Semantics 6: constants among others", Options{}, []string{"GET /{a}/{b=x/y}/{c=**}/{d=z}"}, "GET /1/x/y/2/3/z", want{"GET /{a}/{b=x/y}/{c=**}/{d=z}", []string{"1", "x/y", "2/3", "z"}, None}},
		{"Semantics 6: literal, escaped in the template", Options{}, []string{"GET /%61%2fb"}, "GET /a%2Fb", want{"GET /%61%2fb", nil, None}},
		{"Semantics 6: literal in UTF-8", Options{}, []string{"GET /ü"}, "GET /%c3%BC", want{"GET /ü", nil, None}},
		{"Semantics 6: case counts", Options{}, []string{"GET /a"}, "GET /A", want{failure: NotFound}},

		{"Semantics 7: trailing slash", Options{}, bookstore, "GET /v1/shelves/", want{failure: NotFound}},
		{"Semantics 7: trailing slash accepted", Options{AcceptTrailingSlash: true}, bookstore, "GET /v1/shelves/1/", want{bookstore[2], []string{"shelves/1"}, None}},
		{"Semantics 7: with a verb", Options{AcceptTrailingSlash: true}, bookstore, "POST /v1/shelves/1:merge/", want{bookstore[5], []string{"shelves/1"}, None}},
		{"Semantics 7: one slash only", Options{AcceptTrailingSlash: true}, bookstore, "GET /v1/shelves//", want{failure: NotFound}},
		{"Semantics 7: other method", Options{AcceptTrailingSlash: true}, bookstore, "PUT /v1/shelves/", want{failure: WrongMethod}},
		{"Semantics 7: ** has it first", Options{AcceptTrailingSlash: true}, []string{"GET /{p=**}", "GET /x"}, "GET /x/", want{"GET /{p=**}", []string{"x/"}, None}},
		{"Semantics 7: the root", Options{AcceptTrailingSlash: true}, []string{"GET /"}, "GET /", want{"GET /", nil, None}},

		{"Semantics 11: HEAD on GET", Options{}, bookstore, "HEAD /v1/shelves/1", want{bookstore[2], []string{"shelves/1"}, None}},
		{"Semantics 11: HEAD of its own", Options{}, []string{"GET /a", "HEAD /{b}"}, "HEAD /a", want{"HEAD /{b}", []string{"a"}, None}},
		{"Semantics 11: any method", Options{}, []string{"* /a", "GET /a"}, "BREW /a", want{"* /a", nil, None}},
		{"Semantics 11: a method before any", Options{}, []string{"* /a", "GET /a"}, "GET /a", want{"GET /a", nil, None}},
		{"Semantics 11: HEAD on any before GET", Options{}, []string{"* /a", "GET /a"}, "HEAD /a", want{"* /a", nil, None}},
		{"Semantics 11: HEAD with a verb", Options{}, []string{"GET /{a}:go", "HEAD /{a}"}, "HEAD /x:go", want{"GET /{a}:go", []string{"x"}, None}},
		{"Semantics 11: any token", Options{}, []string{"M-SEARCH /a"}, "M-SEARCH /a", want{"M-SEARCH /a", nil, None}},
		{"Semantics 11: no HEAD without GET", Options{}, []string{"POST /a"}, "HEAD /a", want{failure: WrongMethod}},
	}
	var m Match // one for all: what is left from the last match must not matter
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := newTree(t, test.options, test.routes...)
			method, path, _ := strings.Cut(test.request, " ")
			value, found := tree.Match(method, path, &m)
			if value != test.want.route || found != (test.want.route != "") || m.Failure != test.want.failure {
				t.Fatalf("got %q, %v, failure %d", value, found, m.Failure)
			}
			if !found {
				if m.Template != nil || len(m.Values) != 0 {
					t.Errorf("left behind: %v %v", m.Template, m.Values)
				}
				return
			}
			if _, text, _ := strings.Cut(value, " "); m.Template.String() != text {
				t.Errorf("template %q", m.Template)
			}
			if strings.Join(m.Values, "|") != strings.Join(test.want.values, "|") || len(m.Values) != len(test.want.values) {
				t.Errorf("values %q, want %q", m.Values, test.want.values)
			}
		})
	}
}

func TestMatchReset(t *testing.T) {
	tree := newTree(t, Options{}, "GET /{a}/{b=x%20y}/{c}")
	var m Match
	for range 2 {
		if _, ok := tree.Match("GET", "/1/x%20y/%33", &m); !ok || strings.Join(m.Values, "|") != "1|x y|3" {
			t.Fatalf("found %v, values %q", ok, m.Values)
		}
		values := m.Values
		m.Reset()
		if m.Template != nil || len(m.Values) != 0 || strings.Join(values, "") != "" {
			t.Errorf("left behind: %v %q", m.Template, values)
		}
	}
}

func TestMatchFunc(t *testing.T) {
	tree := newTree(t, Options{}, "POST /chat/{room}", "GET /chat/lobby")
	var m Match
	value, found := tree.MatchFunc("/chat/lobby", &m, func(method, _ string) bool { return method == "POST" })
	if !found || value != "POST /chat/{room}" || m.Values[0] != "lobby" {
		t.Errorf("got %q %v %q", value, found, m.Values)
	}
	if _, found = tree.MatchFunc("/chat/lobby", &m, func(string, string) bool { return false }); found || m.Failure != WrongMethod {
		t.Errorf("found %v, failure %d", found, m.Failure)
	}
}

// Semantics 4 and 11: Allow is decided after the whole search failed.
func TestAllowed(t *testing.T) {
	tests := []struct {
		path    string
		routes  []string
		want    []string
		options Options
	}{
		{path: "/ov/fixed", routes: []string{"POST /ov/fixed", "GET /ov/{name}"}, want: []string{"GET", "HEAD", "OPTIONS", "POST"}},
		{path: "/a", routes: []string{"DELETE /a", "DELETE /{b}"}, want: []string{"DELETE", "OPTIONS"}},
		{path: "/a", routes: []string{"* /a"}, want: []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}},
		{path: "/a:go", routes: []string{"PUT /{a}:go", "GET /{a}"}, want: []string{"OPTIONS", "PUT"}},
		{path: "/a/", routes: []string{"PUT /a"}, want: nil},
		{path: "/a/", routes: []string{"PUT /a"}, want: []string{"OPTIONS", "PUT"}, options: Options{AcceptTrailingSlash: true}},
		{path: "/%", routes: []string{"PUT /{a}"}, want: nil},
		{path: "/b", routes: []string{"PUT /a"}, want: nil},
	}
	for _, test := range tests {
		tree := newTree(t, test.options, test.routes...)
		if d := cmp.Diff(test.want, tree.Allowed(test.path)); d != "" {
			t.Errorf("%s of %q: %s", test.path, test.routes, d)
		}
	}
}

// Semantics 9: a duplicate route is an error that names both.
func TestAddConflict(t *testing.T) {
	tests := []struct {
		first, second string
		conflict      bool
	}{
		{"GET /v1/{a}", "GET /v1/{b}", true},
		{"GET /v1/{a=x/*}", "GET /v1/x/{b}", true},
		{"GET /a/**/b", "GET /{x=a/**}/b", true},
		{"GET /%61", "GET /a", true},
		{"GET /a:go", "GET /a:%67o", true},
		{"* /a", "* /a", true},
		{"* /a", "GET /a", false},
		{"GET /a", "POST /a", false},
		{"GET /a/*", "GET /a/**", false},
		{"GET /a", "GET /a:go", false},
	}
	for _, test := range tests {
		tree := newTree(t, Options{}, test.first)
		method, text, _ := strings.Cut(test.second, " ")
		template, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		err = tree.Add(method, template, test.second)
		var conflict *ConflictError[string]
		if errors.As(err, &conflict) != test.conflict {
			t.Errorf("%s, %s: got %v", test.first, test.second, err)
			continue
		}
		if test.conflict && (conflict.EarlierValue != test.first || conflict.Value != test.second ||
			err.Error() != test.second+" matches the same paths as "+test.first) {
			t.Errorf("%s, %s: %v", test.first, test.second, err)
		}
	}
}

// Semantics 8: no recursion and no stall on slashes, and no exponential search.
func TestMatchBounds(t *testing.T) {
	var routes []string
	for i := range 1 << 8 { // every pattern of eight literals and asterisks
		var b strings.Builder
		for bit := range 8 {
			b.WriteString([]string{"/a", "/*"}[i>>bit&1])
		}
		routes = append(routes, "GET "+b.String()+"/**/end")
	}
	tree := newTree(t, Options{}, append(routes, "GET /{p=**}/a:x", "GET /b/{p=**}")...)
	tests := []struct {
		path  string
		found bool
	}{
		{"/b" + strings.Repeat("/", 64<<10), true},
		{strings.Repeat("/", 64<<10), false},
		{strings.Repeat("/a", 64<<10), false},
		{strings.Repeat("/a", 64<<10) + "/end", true},
		{strings.Repeat("/a", 64<<10) + ":x", true},
		{"/" + strings.Repeat("a", 64<<10), false},
		{"/" + strings.Repeat(":", 64<<10), false},
		{strings.Repeat("/%61", 64<<10) + "/end", true},
	}
	var m Match
	for _, test := range tests {
		if _, found := tree.Match("GET", test.path, &m); found != test.found {
			t.Errorf("%.20s…: found %v", test.path, found)
		}
	}
}

// Semantics 8: matching allocates only for values that are decoded.
func TestMatchAllocations(t *testing.T) {
	tree := newTree(t, Options{}, "GET /v1/{name=shelves/*/books/*}", "POST /v1/{a=**}/b:go", "GET /x/{a}/{b}")
	var m Match
	for path, want := range map[string]float64{
		"/v1/shelves/1/books/2":   0,
		"/%761/shelves/1/books/2": 0, // the escape is outside the value
		"/v1/shelves":             0,
		"/x/a/b%20c":              1,
		"/x/a%20/b%20c":           2,
		"/v1/c/d/b:go":            0,
	} {
		got := testing.AllocsPerRun(100, func() { tree.Match("GET", path, &m) })
		if got != want {
			t.Errorf("%s: %v allocations, want %v", path, got, want)
		}
	}
}
