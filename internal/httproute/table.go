package httproute

import (
	"net/http"
	"slices"
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
		for dot := 1; len(t.wildcards) > 0 && dot < len(host); dot++ {
			if host[dot] != '.' {
				continue
			}
			if i, ok := t.wildcards[host[dot:]].find(&r); ok {
				return i, true
			}
		}
	}
	return t.any.find(&r)
}

// Methods lists the methods for which routes match a request but for its own, sorted; nil for
// none.
func (t *Table) Methods(host, path string, header http.Header, rawQuery string) []string {
	r := request{"", path, header, rawQuery}
	host = bareHost(host)
	all := t.any.methods(nil, &r)
	all = t.hosts[host].methods(all, &r)
	for dot := 1; dot < len(host); dot++ {
		if host[dot] == '.' {
			all = t.wildcards[host[dot:]].methods(all, &r)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// methods adds those of the routes that match a request but for its method. p may be nil.
func (p *paths) methods(all []string, r *request) []string {
	if p == nil {
		return all
	}
	all = methodsOf(all, p.exact[r.path], r)
	for prefix := r.head(p.deepest); len(p.prefixes) > 0; prefix = prefix[:strings.LastIndexByte(prefix, '/')] {
		if all = methodsOf(all, p.prefixes[prefix], r); prefix == "" {
			break
		}
	}
	return all
}

func methodsOf(all []string, entries []*entry, r *request) []string {
	for _, e := range entries {
		if e.matchesRest(r) {
			all = append(all, e.methods...)
		}
	}
	return all
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
	return (len(e.methods) == 0 || contains(e.methods, r.method)) && e.matchesRest(r)
}

// matchesRest is matches without the method.
func (e *entry) matchesRest(r *request) bool {
	for i := range e.headers {
		if values := r.header[e.headers[i].name]; len(values) == 0 || values[0] != e.headers[i].value {
			return false
		}
	}
	for i := range e.query {
		if !firstIs(r.rawQuery, e.query[i].name, e.query[i].value) {
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

// firstIs reports whether the first value of a parameter of a query, which is read as net/url
// does, is this one.
func firstIs(rawQuery, name, value string) bool {
	for rawQuery != "" {
		var part string
		part, rawQuery, _ = strings.Cut(rawQuery, "&")
		if part == "" || strings.IndexByte(part, ';') >= 0 {
			continue
		}
		key, found, _ := strings.Cut(part, "=")
		if !isQueryOf(key, name) {
			continue
		}
		if isQueryOf(found, value) {
			return true
		}
		if hasOnlyEscapes(found) {
			return false // another value; one with a broken escape is none
		}
	}
	return false
}

// isQueryOf reports whether text is what a part of a query stands for.
func isQueryOf(escaped, text string) bool {
	if len(escaped) < len(text) {
		return false
	}
	n := 0 // bytes of text that are the same
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if !isEscape(escaped[i:]) {
				return false
			}
			c = unescape(escaped[i:])
			i += 2
		}
		if n == len(text) || text[n] != c {
			return false
		}
		n++
	}
	return n == len(text)
}

func hasOnlyEscapes(escaped string) bool {
	for {
		i := strings.IndexByte(escaped, '%')
		if i < 0 {
			return true
		}
		if escaped = escaped[i:]; !isEscape(escaped) {
			return false
		}
		escaped = escaped[3:]
	}
}

// maxHost bounds the hosts that a route may have.
const maxHost = 253

// bareHost is a host without its port and a dot at its end, in lower case; "" for one that no
// route has.
func bareHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	if host = strings.TrimSuffix(host, "."); len(host) > maxHost {
		return ""
	}
	return lower(host)
}

// lower changes the letters of ASCII to lower case: others that have one of them for a lower
// case, such as the sign of Kelvin, make no host.
func lower(host string) string {
	for i := range len(host) {
		if host[i] >= 'A' && host[i] <= 'Z' {
			b := []byte(host)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return host
}
