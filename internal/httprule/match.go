package httprule

import "strings"

// Failure is why a path matched nothing.
type Failure uint8

// The failures of a Match.
const (
	// None is no failure: a route was found.
	None Failure = iota
	// NotFound: no template matches the path (404).
	NotFound
	// WrongMethod: templates match the path, but have other methods (405).
	WrongMethod
	// BadEscape: the path holds a % without two hexadecimal digits (400).
	BadEscape
)

// Match is what a template's variables bind. A caller that keeps one for the
// next call spares its allocations; it is for one goroutine at a time.
type Match struct {
	// Template is the one that matched, nil if none did.
	Template *Template
	// Values are the decoded values of Template.Variables, in their order. They are
	// parts of the path where nothing had to be decoded. The slice is good until
	// the next call with this Match.
	Values []string
	// Failure says why nothing matched.
	Failure Failure

	// scratch is for decoded segments that are compared with literals.
	scratch []byte
}

// Reset lets go of the path and the template and keeps the memory, so that a
// Match may wait for its next use.
func (m *Match) Reset() {
	clear(m.Values[:cap(m.Values)])
	m.Template, m.Values, m.Failure = nil, m.Values[:0], None
}

// Match finds the route for a method and a path as the client escaped it
// (url.URL.EscapedPath). In each segment a literal goes before "*" and that
// before "**"; a template whose routes have other methods does not count. HEAD
// falls to a route for GET where none for HEAD or AnyMethod matches. If nothing
// is found, m.Failure says why.
//
// The text after the last colon of the path is a verb if a template with that
// verb matches what is before it, whatever its method; else it is part of the
// last segment.
func (t *Tree[T]) Match(method, escapedPath string, m *Match) (value T, found bool) {
	return t.match(&query[T]{method: method}, escapedPath, m)
}

// MatchFunc is Match with a condition of the caller's in place of the method:
// the most specific route that accept likes, for example of any method for a
// WebSocket. accept must not keep the query alive or call the tree.
func (t *Tree[T]) MatchFunc(escapedPath string, m *Match, accept func(method string, value T) bool) (value T, found bool) {
	return t.match(&query[T]{accept: accept}, escapedPath, m)
}

func (t *Tree[T]) match(q *query[T], path string, m *Match) (value T, found bool) {
	m.Template, m.Values = nil, m.Values[:0]
	if m.Failure = NotFound; path == "" || path[0] != '/' {
		return value, false
	}
	if strings.IndexByte(path, '%') >= 0 {
		if !wellEscaped(path) {
			m.Failure = BadEscape
			return value, false
		}
		q.escaped = true
	}
	q.scratch, q.maxRaw = m.scratch, t.maxRaw
	r := t.find(q, path[1:])
	if r == nil && !q.seen && t.options.AcceptTrailingSlash && len(path) > 1 && path[len(path)-1] == '/' {
		r = t.find(q, path[1:len(path)-1])
	}
	m.scratch = q.scratch
	switch {
	case r != nil:
		m.Failure, m.Template = None, r.template
		m.Values = q.capture(m.Values, r.captures)
		return r.value, true
	case q.seen:
		m.Failure = WrongMethod
	}
	return value, false
}

// find looks for path, which is without its first slash, with a verb and then
// without.
func (t *Tree[T]) find(q *query[T], path string) *route[T] {
	if len(t.roots) > 1 {
		if root, colon := t.verbRoot(q, path); root != nil {
			if r := q.find(root, path[:colon]); r != nil || q.seen {
				return r
			}
		}
	}
	return q.find(t.roots[""], path)
}

// verbRoot gives the trie for the verb at the end of path, and where its colon
// stands.
func (t *Tree[T]) verbRoot(q *query[T], path string) (*node[T], int) {
	last := path[strings.LastIndexByte(path, '/')+1:]
	i := strings.LastIndexByte(last, ':')
	if i < 0 || i == len(last)-1 {
		return nil, 0
	}
	root := t.roots[decode(last[i+1:], "")]
	return root, len(path) - len(last) + i
}
