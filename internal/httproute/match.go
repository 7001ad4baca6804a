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
}

func (b *builder) refuse(index int, field, format string, args ...any) {
	b.problems = append(b.problems, Problem{Index: index, Field: field, Other: -1, Message: fmt.Sprintf(format, args...)})
}

// add adds one match.
func (b *builder) add(i int) {
	m := &b.matches[i]
	e := &entry{index: i}
	before := len(b.problems)
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
	if len(b.problems) > before {
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
		case !httpguts.ValidHeaderFieldName(method):
			b.refuse(e.index, "methods", "found %q, expected methods of HTTP, such as GET", method)
		case method != strings.ToUpper(method):
			b.refuse(e.index, "methods", "found %q; methods are case-sensitive: did you mean %q?", method, strings.ToUpper(method))
		case method == http.MethodConnect || method == http.MethodTrace:
			b.refuse(e.index, "methods", "found %q, which no route takes; a WebSocket over HTTP/2 counts as GET", method)
		case slices.Contains(e.methods, method):
			b.refuse(e.index, "methods", "found %q twice", method)
		}
		e.methods = append(e.methods, method)
	}
	slices.Sort(e.methods)
}

func (b *builder) headers(e *entry, m *Match) {
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			b.refuse(e.index, "headers", "found %q, which is no name of a header", name)
		case canonical == "Host":
			b.refuse(e.index, "headers", "found %q; expected match.host in its place", name)
		case slices.ContainsFunc(e.headers, func(p pair) bool { return p.name == canonical }):
			b.refuse(e.index, "headers", "found %q in two spellings", name)
		}
		e.headers = append(e.headers, pair{canonical, m.Headers[name]})
	}
}

// host returns the paths of a host.
func (b *builder) host(index int, host string) *paths {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	of, key := b.hosts, name
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		of, key, name = b.wildcards, suffix, "x"+suffix
		if !strings.HasPrefix(suffix, ".") || len(suffix) < 2 {
			b.refuse(index, "host", `found %q, expected a host, or "*." and the rest of one, such as "*.example.com"; leave it out for all hosts`, host)
			return newPaths()
		}
	}
	switch {
	case host == "":
		if b.any == nil {
			b.any = newPaths()
			b.all = append(b.all, b.any)
		}
		return b.any
	case !isHost(name):
		b.refuse(index, "host", `found %q, expected a host without a scheme and port, such as "shop.example" or "*.example.com"`, host)
		return newPaths()
	}
	if of[key] == nil {
		of[key] = newPaths()
		b.all = append(b.all, of[key])
	}
	return of[key]
}

func newPaths() *paths { return &paths{exact: map[string][]*entry{}, prefixes: map[string][]*entry{}} }

// isHost reports whether a name in lower case is one of DNS, or an address.
func isHost(name string) bool {
	if address, ok := strings.CutPrefix(name, "["); ok {
		_, err := netip.ParseAddr(strings.TrimSuffix(address, "]"))
		return err == nil && strings.HasSuffix(name, "]")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(name) < 256
}

// path refuses what no clean path equals or begins with.
func (b *builder) path(index int, field, path string) {
	if path == "" {
		return // all
	}
	clean, odd, err := Clean(path)
	switch {
	case path[0] != '/':
		b.refuse(index, field, "found %q, expected a path that begins with /", path)
	case strings.ContainsAny(path, "?#"):
		b.refuse(index, field, "found %q, expected a path without a query; query has its own field", path)
	case err != nil:
		b.refuse(index, field, "found %q: %s", path, err.Message)
	case clean != path:
		b.refuse(index, field, "found %q, expected its usual form, %q", path, clean)
	case odd:
		b.refuse(index, field, "found %q, which servers read in different ways; expected a path without //, ;, \\ and without escapes of what can stand there as it is", path)
	}
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
	for i, e := range entries {
		for _, before := range entries[:i] {
			if !slices.Equal(before.headers, e.headers) || !slices.Equal(before.query, e.query) {
				continue
			}
			if slices.Equal(before.methods, e.methods) {
				b.problems = append(b.problems, Problem{Index: e.index, Field: "", Other: before.index, Message: "it matches the same requests as"})
				break
			}
			if len(before.methods) > 0 && len(e.methods) > 0 && subset(e.methods, before.methods) {
				b.problems = append(b.problems, Problem{Index: e.index, Field: "methods", Other: before.index, Warning: true, Message: "it can never match: its methods are all taken by"})
				break
			}
		}
	}
}

func subset(of, all []string) bool {
	return !slices.ContainsFunc(of, func(m string) bool { return !slices.Contains(all, m) })
}
