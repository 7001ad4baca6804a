package httprule

import "strings"

// query is one search. path is what is searched: without its first slash and
// without a verb. A position in it is where a segment begins; len(path)+1 is
// that after the last segment.
type query[T any] struct {
	path    string
	escaped bool // path holds escapes
	method  string
	accept  func(method string, value T) bool
	// seen tells that a route matched but for its method.
	seen    bool
	maxRaw  int
	scratch []byte
}

// find searches the trie for path.
func (q *query[T]) find(root *node[T], path string) *route[T] {
	q.path = path
	r := q.forward(root, q.start())
	if r == nil && q.method == "HEAD" {
		q.method = "GET"
		r = q.forward(root, q.start())
		q.method = "HEAD"
	}
	return r
}

// start is the position of the first segment. The path "/" has none.
func (q *query[T]) start() int {
	if q.path == "" {
		return 1
	}
	return 0
}

// forward searches below n for the segments from position at on.
func (q *query[T]) forward(n *node[T], at int) *route[T] {
	if at > len(q.path) {
		if r := q.pick(n.routes); r != nil || n.deep == nil {
			return r
		}
		return q.backward(n.deep, at, len(q.path))
	}
	end := len(q.path)
	if i := strings.IndexByte(q.path[at:], '/'); i >= 0 {
		end = at + i
	}
	if n.literals != nil {
		if child := q.child(n, q.path[at:end]); child != nil {
			if r := q.forward(child, end+1); r != nil {
				return r
			}
		}
	}
	if n.single != nil && end > at {
		if r := q.forward(n.single, end+1); r != nil {
			return r
		}
	}
	if n.deep != nil {
		return q.backward(n.deep, at, len(q.path))
	}
	return nil
}

// backward searches below n, which is a "**" or a literal after it, for the
// segments that end at end and do not begin before at. The longest run of
// literals wins; the "**" takes what is left.
func (q *query[T]) backward(n *node[T], at, end int) *route[T] {
	if n.literals != nil && end >= at {
		begin := at + strings.LastIndexByte(q.path[at:end], '/') + 1
		if child := q.child(n, q.path[begin:end]); child != nil {
			if r := q.backward(child, at, begin-1); r != nil {
				return r
			}
		}
	}
	return q.pick(n.routes)
}

// child finds the literal child for an escaped segment.
func (q *query[T]) child(n *node[T], segment string) *node[T] {
	if len(segment) > q.maxRaw {
		return nil // longer than any literal: not worth a hash
	}
	if !q.escaped {
		return n.literals[segment]
	}
	q.scratch = appendDecoded(q.scratch[:0], segment, "")
	return n.literals[string(q.scratch)]
}

// pick chooses among the routes of one node.
func (q *query[T]) pick(routes []*route[T]) *route[T] {
	var whatever *route[T]
	for _, r := range routes {
		if q.accept != nil {
			if q.accept(r.method, r.value) {
				return r
			}
			continue
		}
		if r.method == q.method {
			return r
		}
		if r.method == AnyMethod {
			whatever = r
		}
	}
	q.seen = q.seen || len(routes) > 0
	return whatever
}
