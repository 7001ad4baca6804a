package httproute

import (
	"net/http"
	"net/url"
	"strings"
)

// Table finds the route of a request. It is immutable.
type Table struct {
	hosts     map[string]*paths // by the host in lower case
	wildcards map[string]*paths // by what follows the "*", such as ".example.com"
	any       *paths            // of routes for all hosts
}

// paths are the routes of one host.
type paths struct {
	exact    map[string][]*entry
	prefixes map[string][]*entry // without their trailing slash; "" is that of all paths
	deepest  int                 // how many segments the longest prefix has
}

// entry is one route. Those of one path stand in the order in which they are asked.
type entry struct {
	index   int
	methods []string // empty: all
	headers []pair   // by canonical names
	query   []pair
}

type pair struct{ name, value string }

// Find returns the index of the route of a request whose path is clean (Traffic 134); false
// where there is none.
func (t *Table) Find(host, method, path string, header http.Header, rawQuery string) (int, bool) {
	r := request{method, path, header, rawQuery}
	if len(t.hosts)+len(t.wildcards) > 0 {
		host = bareHost(host)
		if i, ok := t.hosts[host].find(&r); ok {
			return i, true
		}
		for rest := host; len(t.wildcards) > 0; {
			dot := strings.IndexByte(rest, '.')
			if dot < 0 {
				break
			}
			if i, ok := t.wildcards[rest[dot:]].find(&r); ok && dot > 0 {
				return i, true
			}
			rest = rest[dot+1:]
		}
	}
	return t.any.find(&r)
}

type request struct {
	method, path string
	header       http.Header
	rawQuery     string
}

// find asks the exact path, then the prefixes, the longest first. p may be nil.
func (p *paths) find(r *request) (int, bool) {
	if p == nil {
		return 0, false
	}
	if i, ok := first(p.exact[r.path], r); ok {
		return i, true
	}
	if len(p.prefixes) == 0 {
		return 0, false
	}
	for prefix := r.head(p.deepest); ; {
		if i, ok := first(p.prefixes[prefix], r); ok {
			return i, true
		}
		if prefix == "" {
			return 0, false
		}
		prefix = prefix[:strings.LastIndexByte(prefix, '/')]
	}
}

// head is the path's first segments, so many at most, without a trailing slash.
func (r *request) head(segments int) string {
	end := 0 // of the segments so far
	for ; segments > 0 && end < len(r.path); segments-- {
		next := strings.IndexByte(r.path[end+1:], '/')
		if next < 0 {
			end = len(r.path)
			break
		}
		end += 1 + next
	}
	return strings.TrimSuffix(r.path[:end], "/")
}

func first(entries []*entry, r *request) (int, bool) {
	for _, e := range entries {
		if e.matches(r) {
			return e.index, true
		}
	}
	return 0, false
}

func (e *entry) matches(r *request) bool {
	if len(e.methods) > 0 && !contains(e.methods, r.method) {
		return false
	}
	for i := range e.headers {
		if values := r.header[e.headers[i].name]; len(values) == 0 || values[0] != e.headers[i].value {
			return false
		}
	}
	for i := range e.query {
		if value, ok := firstOf(r.rawQuery, e.query[i].name); !ok || value != e.query[i].value {
			return false
		}
	}
	return true
}

func contains(methods []string, method string) bool {
	for _, m := range methods {
		if m == method {
			return true
		}
	}
	return false
}

// firstOf returns the first value of a parameter of a query, which is read as net/url does.
func firstOf(rawQuery, name string) (string, bool) {
	for rawQuery != "" {
		var part string
		part, rawQuery, _ = strings.Cut(rawQuery, "&")
		if part == "" || strings.IndexByte(part, ';') >= 0 {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		if key, ok := unescaped(key); !ok || key != name {
			continue
		}
		if value, ok := unescaped(value); ok {
			return value, true
		}
	}
	return "", false
}

func unescaped(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	s, err := url.QueryUnescape(s)
	return s, err == nil
}

// bareHost is a host without its port and a dot at its end, in lower case.
func bareHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
