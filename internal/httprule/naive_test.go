package httprule

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// naiveRoute is a route as the naive matcher sees it.
type naiveRoute struct {
	method   string
	template *Template
}

// naiveMatch is Match as the rules read, with no thought of cost: it lists all
// routes that match, sorts them, and binds by trying every split.
func naiveMatch(routes []naiveRoute, method, path string) (route naiveRoute, values []string, failure Failure) {
	if !strings.HasPrefix(path, "/") {
		return route, nil, NotFound
	}
	if _, err := url.PathUnescape(path); err != nil {
		return route, nil, BadEscape
	}
	rest, verb := path, ""
	if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') && i < len(path)-1 {
		rest = path[:i]
		verb, _ = url.PathUnescape(path[i+1:])
	}
	if verb != "" {
		if route, values, failure = naiveBest(routes, method, rest, verb); failure != NotFound {
			return route, values, failure
		}
	}
	return naiveBest(routes, method, path, "")
}

func naiveBest(routes []naiveRoute, method, path, verb string) (naiveRoute, []string, Failure) {
	var segments []string
	if path != "/" {
		segments = strings.Split(path[1:], "/")
	}
	var all []naiveRoute
	for _, r := range routes {
		if r.template.Verb == verb && naiveSplit(r.template.Segments, segments) != nil {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return naiveRoute{}, nil, NotFound
	}
	slices.SortStableFunc(all, func(a, b naiveRoute) int { return naiveCompare(a.template, b.template) })
	tries := [][]string{{method, AnyMethod}}
	if method == "HEAD" {
		tries = append(tries, []string{"GET"})
	}
	for _, methods := range tries {
		for i, r := range all {
			if !slices.Contains(methods, r.method) {
				continue
			}
			for _, other := range all[i+1:] { // the same template with the very method
				if other.method == methods[0] && naiveCompare(other.template, r.template) == 0 {
					r = other
				}
			}
			return r, naiveValues(r.template, segments), None
		}
	}
	return naiveRoute{}, nil, WrongMethod
}

// naiveSplit gives how many segments of the path each segment of the template
// takes, or nil.
func naiveSplit(template []Segment, path []string) []int {
	if len(template) == 0 {
		if len(path) == 0 {
			return []int{}
		}
		return nil
	}
	low, high := 1, 1
	if template[0].Kind == Deep {
		low, high = 0, len(path)
	}
	for n := low; n <= high && n <= len(path); n++ {
		switch template[0].Kind {
		case Literal:
			if text, _ := url.PathUnescape(path[0]); text != template[0].Text {
				continue
			}
		case Single:
			if path[0] == "" {
				continue
			}
		}
		if rest := naiveSplit(template[1:], path[n:]); rest != nil {
			return append([]int{n}, rest...)
		}
	}
	return nil
}

// naiveCompare orders two templates that match one path, the more specific
// first: kind by kind, and behind "**" the longer run of literals first.
func naiveCompare(a, b *Template) int {
	for i := 0; ; i++ {
		switch endA, endB := i == len(a.Segments), i == len(b.Segments); {
		case endA && endB:
			return 0
		case endA:
			return -1
		case endB:
			return 1
		}
		if d := int(a.Segments[i].Kind) - int(b.Segments[i].Kind); d != 0 {
			return d
		}
		if a.Segments[i].Kind == Deep {
			return len(b.Segments) - len(a.Segments)
		}
	}
}

func naiveValues(t *Template, path []string) []string {
	takes := naiveSplit(t.Segments, path)
	var values []string
	for _, v := range t.Variables {
		begin, end := 0, 0
		for i, n := range takes {
			if i < v.First {
				begin += n
			}
			if i <= v.Last {
				end += n
			}
		}
		text := strings.Join(path[begin:end], "/")
		if v.Multi {
			text = strings.NewReplacer("%2F", "%252F", "%2f", "%252f").Replace(text)
		}
		text, _ = url.PathUnescape(text)
		values = append(values, text)
	}
	return values
}

// FuzzMatch compares the tree with the naive matcher. The input is routes, one
// a line ("GET /a/{b}"), and a request.
func FuzzMatch(f *testing.F) {
	all := "GET /v1/shelves\nPOST /v1/shelves\nGET /v1/{name=shelves/*}\n* /v1/{name=shelves/*/books/*}\nPOST /v1/{name=shelves/*}:merge"
	f.Add(all, "GET", "/v1/shelves/1/books/2")
	f.Add(all, "HEAD", "/v1/shelves/1:merge")
	f.Add("POST /ov/fixed\nGET /ov/{name}", "GET", "/ov/fixed")
	f.Add("GET /a/**/b/c\nGET /a/**/c\nGET /a/{p=**}\nGET /a/*\nPUT /**:go", "PUT", "/a/b/c:go")
	f.Add("GET /a/{p=**}/{q=x/y}\nGET /%61/*/*", "GET", "/%61/c%2Fd/x/y")
	f.Add("GET /{p=**}", "GET", "/")
	f.Add("GET /\nHEAD /*", "HEAD", "/")
	f.Add("GET /{a}/b\nGET /a/{b}\nGET /a/b/**", "GET", "/a/b//")
	f.Fuzz(func(t *testing.T, lines, method, path string) {
		if strings.Count(path, "/") > 12 || strings.Count(lines, "\n") > 20 {
			return // the naive matcher is slow
		}
		tree := NewTree[naiveRoute](Options{})
		var routes []naiveRoute
		for line := range strings.Lines(lines) {
			routeMethod, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			template, err := Parse(text)
			if err != nil {
				continue
			}
			r := naiveRoute{routeMethod, template}
			if tree.Add(routeMethod, template, r) == nil {
				routes = append(routes, r)
			}
		}
		wantRoute, wantValues, wantFailure := naiveMatch(routes, method, path)
		var m Match
		route, found := tree.Match(method, path, &m)
		if found != (wantFailure == None) || m.Failure != wantFailure || route != wantRoute {
			t.Fatalf("%s %s: got %s %v failure %d, want %s %v failure %d", method, path,
				route.method, route.template, m.Failure, wantRoute.method, wantRoute.template, wantFailure)
		}
		if !slices.Equal(m.Values, wantValues) {
			t.Fatalf("%s %s: values %q, want %q", method, path, m.Values, wantValues)
		}
		if allowed := tree.Allowed(path); (allowed == nil) != (wantFailure == NotFound || wantFailure == BadEscape) {
			t.Fatalf("%s: allowed %q with failure %d", path, allowed, wantFailure)
		}
	})
}
