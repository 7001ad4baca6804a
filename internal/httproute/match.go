package httproute

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/nearest"
)

// Match says which requests are a route's. All of it must hold (Traffic 132).
type Match struct {
	// Host is a host without a port, "*.example.com" for all below one, or empty for all.
	Host string
	// Path is the whole path. Prefix is one of whole segments, in its place; empty for all
	// paths, as "/".
	Path, Prefix string
	// Methods are those of HTTP; empty for all.
	Methods []string
	// Headers and Query are names and exact values, of which the first one counts.
	Headers, Query map[string]string
}

// Problem is something wrong with one of the matches.
type Problem struct {
	// Index is that of the match, Field the one of its fields in transom.v1.HttpMatch.
	Index int
	Field string
	// Other is the index of the match that it conflicts with, -1 for none.
	Other   int
	Message string
	// Warning: the table can be used all the same.
	Warning bool
}

// New makes the table of the routes with these matches. With problems that are no warnings it
// must not be used.
func New(matches []Match) (*Table, []Problem) {
	b := builder{Table: Table{hosts: map[string]*paths{}, wildcards: map[string]*paths{}}, matches: matches}
	for i := range matches {
		b.add(i)
	}
	for _, p := range b.all {
		for _, entries := range p.exact {
			b.order(entries)
		}
		for _, entries := range p.prefixes {
			b.order(entries)
		}
	}
	slices.SortStableFunc(b.problems, func(a, c Problem) int { return cmp.Compare(a.Index, c.Index) })
	return &b.Table, b.problems
}

type builder struct {
	Table
	matches  []Match
	all      []*paths
	problems []Problem
	refused  bool // the match that is being added
}

func (b *builder) refuse(index int, field, format string, args ...any) {
	b.refused = true
	b.problems = append(b.problems, Problem{Index: index, Field: field, Other: -1, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) warn(index, other int, field, format string, args ...any) {
	b.problems = append(b.problems, Problem{Index: index, Field: field, Other: other, Warning: true, Message: fmt.Sprintf(format, args...)})
}

// add adds one match.
func (b *builder) add(i int) {
	m := &b.matches[i]
	e := &entry{index: i}
	b.refused = false
	b.methods(e, m)
	b.headers(e, m)
	for _, name := range slices.Sorted(maps.Keys(m.Query)) {
		if name == "" {
			b.refuse(i, "query", "found no name, expected one of a parameter")
		}
		e.query = append(e.query, pair{name, m.Query[name]})
	}
	host := b.host(i, m.Host)
	path, field := m.Prefix, "path_prefix"
	if m.Path != "" {
		path, field = m.Path, "path"
		if m.Prefix != "" {
			b.refuse(i, field, "found %q beside path_prefix %q; expected one of them", m.Path, m.Prefix)
		}
	}
	b.path(i, field, path)
	if b.refused {
		return
	}
	if m.Path != "" {
		host.exact[path] = append(host.exact[path], e)
		return
	}
	path = strings.TrimSuffix(path, "/")
	host.prefixes[path] = append(host.prefixes[path], e)
	host.deepest = max(host.deepest, strings.Count(path, "/"))
}

func (b *builder) methods(e *entry, m *Match) {
	for _, method := range m.Methods {
		switch {
		case method == "*":
			b.refuse(e.index, "methods", `found "*"; a route takes all methods where it names none: leave methods out`)
		case !httpguts.ValidHeaderFieldName(method):
			b.refuse(e.index, "methods", "found %q, expected methods of HTTP, such as GET", method)
		case method != strings.ToUpper(method):
			b.refuse(e.index, "methods", "found %q; methods are case-sensitive: did you mean %q?", method, strings.ToUpper(method))
		case method == http.MethodConnect || method == http.MethodTrace:
			b.refuse(e.index, "methods", "found %q, which no route takes; a WebSocket over HTTP/2 counts as GET", method)
		case slices.Contains(e.methods, method):
			b.refuse(e.index, "methods", "found %q twice", method)
		case !slices.Contains(usualMethods, method):
			if near := nearest.Of(usualMethods, method); near != "" {
				b.warn(e.index, -1, "methods", "found %q: did you mean %q?", method, near)
			}
		}
		e.methods = append(e.methods, method)
	}
	slices.Sort(e.methods)
}

var usualMethods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

func (b *builder) headers(e *entry, m *Match) {
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			b.refuse(e.index, "headers", "found %q, which is no name of a header", name)
		case canonical == "Host":
			b.refuse(e.index, "headers", "found %q; expected match.host in its place", name)
		case canonical == "Transfer-Encoding" || canonical == "Trailer":
			b.refuse(e.index, "headers", "found %q, which is of the connection and not of the request", name)
		case !httpguts.ValidHeaderFieldValue(m.Headers[name]) || strings.Trim(m.Headers[name], " \t") != m.Headers[name]:
			b.refuse(e.index, "headers", "found %q as the value of %s, which no header has; expected one without control characters and without space around it", m.Headers[name], name)
		case slices.ContainsFunc(e.headers, func(p pair) bool { return p.name == canonical }):
			b.refuse(e.index, "headers", "found %q in two spellings", name)
		}
		e.headers = append(e.headers, pair{canonical, m.Headers[name]})
	}
}

// host returns the paths of a host.
func (b *builder) host(index int, host string) *paths {
	if host == "" {
		if b.any == nil {
			b.any = newPaths()
			b.all = append(b.all, b.any)
		}
		return b.any
	}
	of, name := b.hosts, lower(strings.TrimSuffix(host, "."))
	if suffix, wild := strings.CutPrefix(name, "*"); wild {
		of, name = b.wildcards, suffix
		if !strings.HasPrefix(suffix, ".") || !isHost(suffix[1:]) {
			b.refuse(index, "host", `found %q, expected a host, or "*." and the rest of one, such as "*.example.com"; leave it out for all hosts`, host)
			return newPaths()
		}
	} else if address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")); err == nil && address.Is6() && address.Zone() == "" {
		name = "[" + address.String() + "]" // as clients write it
		if host[0] != '[' || host[len(host)-1] != ']' {
			b.refuse(index, "host", "found %q, expected an address of IPv6 in brackets, %q", host, name)
			return newPaths()
		}
	} else if !isHost(name) {
		b.refuse(index, "host", `found %q, expected a host without a scheme and port, in ASCII, such as "shop.example" or "*.example.com"`, host)
		return newPaths()
	}
	if of[name] == nil {
		of[name] = newPaths()
		b.all = append(b.all, of[name])
	}
	return of[name]
}

func newPaths() *paths { return &paths{exact: map[string][]*entry{}, prefixes: map[string][]*entry{}} }

// isHost reports whether a name in lower case is one of DNS, or an address of IPv4.
func isHost(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(name) <= maxHost
}

// path refuses what no clean path equals or begins with.
func (b *builder) path(index int, field, path string) {
	if path == "" {
		return // all
	}
	clean, _, err := Clean(path)
	form, odd := "", false
	if err == nil {
		form = usual(clean)
		_, odd, _ = Clean(form)
	}
	switch {
	case path[0] != '/':
		b.refuse(index, field, "found %q, expected a path that begins with /", path)
	case strings.ContainsAny(path, "?#"):
		b.refuse(index, field, "found %q, expected a path without a query; query has its own field", path)
	case err != nil:
		b.refuse(index, field, "found %q: %s", path, err.Message)
	case strings.ContainsAny(path, "{}"):
		b.refuse(index, field, "found %q; paths of routes have no variables: expected a path_prefix, which takes all paths below it, or %%7B and %%7D for braces", path)
	case odd:
		b.refuse(index, field, "found %q, which servers read in different ways; expected a path without //, ;, \\, and without escapes of them, of %%, ?, # and of control characters", path)
	case form != path:
		b.refuse(index, field, "found %q, expected its usual form, %q", path, form)
	case strings.Contains(path, "*") || strings.Contains(path, "/:"):
		b.warn(index, -1, field, "found %q, in which * and : stand for themselves: paths of routes have no patterns; a path_prefix takes all paths below it", path)
	}
}

// usual is a clean path without the escapes of what may stand there as it is, and with those
// of what may not.
func usual(path string) string {
	return escaped(unescapeIf(path, func(c byte) bool { return c != ';' && (isSubDelimiter(c) || c == '[' || c == ']') }))
}

// order puts the routes of one path into their order, and refuses those that are equal.
func (b *builder) order(entries []*entry) {
	slices.SortStableFunc(entries, func(x, y *entry) int {
		return cmp.Or(
			cmp.Compare(min(1, len(y.methods)), min(1, len(x.methods))),
			cmp.Compare(len(y.headers), len(x.headers)),
			cmp.Compare(len(y.query), len(x.query)),
			cmp.Compare(x.index, y.index))
	})
	// Of two routes that differ in a header or parameter, none comes first for all requests
	// of the other. What is left are the methods.
	type taken struct {
		by     map[string]*entry // the first route of each method; of all, by ""
		equals map[string]*entry // by the methods
	}
	before := map[string]taken{}
	for _, e := range entries {
		conditions := fmt.Sprintf("%q %q", e.headers, e.query)
		t, ok := before[conditions]
		if !ok {
			t = taken{map[string]*entry{}, map[string]*entry{}}
			before[conditions] = t
		}
		methods := strings.Join(e.methods, " ")
		if other := t.equals[methods]; other != nil {
			b.problems = append(b.problems, Problem{Index: e.index, Other: other.index, Message: "it matches the same requests as"})
			continue
		}
		t.equals[methods] = e
		free := len(e.methods) == 0
		var last *entry
		for _, method := range e.methods {
			if t.by[method] == nil {
				t.by[method], free = e, true
			} else if last == nil || t.by[method].index > last.index {
				last = t.by[method]
			}
		}
		if !free {
			b.warn(e.index, last.index, "methods", "it can never match: its methods are all taken by routes before it, the last of them")
		}
	}
}
