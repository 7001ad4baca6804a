package httprule

import (
	"fmt"
	"slices"
	"strings"
)

// AnyMethod is the method of a route that answers every method without a route
// of its own at the same template.
const AnyMethod = "*"

// Options say how a Tree reads paths. The zero Options are the strict ones.
type Options struct {
	// AcceptTrailingSlash takes "/x/" as "/x" where nothing matches "/x/" itself.
	AcceptTrailingSlash bool
	// KeepReserved leaves the reserved characters of RFC 6570 escaped in values of
	// more than one segment; without it, the slash alone.
	KeepReserved bool
}

// Tree finds the value whose template matches a path. It is filled by Add; from
// the first Match on it must not change, and is safe for concurrent use.
//
// Templates with one verb share a trie over their segments. As no wildcard
// follows "**", a "**" has only literals behind it, which are compared from the
// end of the path. So each node of the trie is visited at most once for a path,
// and only those are visited whose template so far fits it: the search grows
// with the template's depth and the ways in which templates generalise this
// path, not with the number of routes, and never with the slashes of the path.
type Tree[T any] struct {
	options Options
	// roots are the tries by verb; "" is that of templates without one.
	roots map[string]*node[T]
	// maxRaw bounds the length of an escaped segment that can equal a literal.
	maxRaw int
}

// node is a place in the trie: the templates that have begun alike.
type node[T any] struct {
	// literals are the children for each literal text.
	literals map[string]*node[T]
	// single is the child for "*".
	single *node[T]
	// deep is the child for "**". Its own literals are the segments after the
	// "**", the last one first.
	deep *node[T]
	// routes are those whose template ends here, at most one for each method.
	routes []*route[T]
}

// route is what Add was given, with its captures worked out.
type route[T any] struct {
	method   string
	template *Template
	value    T
	captures []capture
}

// ConflictError tells that two templates of one shape have one method.
type ConflictError[T any] struct {
	// Method is the HTTP method of both.
	Method string
	// Template and Value are what was to be added.
	Template *Template
	Value    T
	// EarlierTemplate and EarlierValue are what stands there already.
	EarlierTemplate *Template
	EarlierValue    T
}

// Error names both templates. Who they belong to is for the caller to say.
func (e *ConflictError[T]) Error() string {
	return fmt.Sprintf("%s %s matches the same paths as %s %s", e.Method, e.Template, e.Method, e.EarlierTemplate)
}

// NewTree makes an empty tree.
func NewTree[T any](options Options) *Tree[T] {
	return &Tree[T]{options: options, roots: map[string]*node[T]{"": {}}}
}

// Add puts a route into the tree. The method is any HTTP token, or AnyMethod.
// The error is a *ConflictError[T], and the tree is then as before.
func (t *Tree[T]) Add(method string, template *Template, value T) error {
	root := t.roots[template.Verb]
	if root == nil {
		root = &node[T]{}
		t.roots[template.Verb] = root
	}
	end := t.grow(root, template)
	for _, r := range end.routes {
		if r.method == method {
			return &ConflictError[T]{
				Method: method, Template: template, Value: value,
				EarlierTemplate: r.template, EarlierValue: r.value,
			}
		}
	}
	end.routes = append(end.routes, &route[T]{
		method: method, template: template, value: value, captures: captures(template, t.options.KeepReserved),
	})
	return nil
}

// grow gives the node where template ends.
func (t *Tree[T]) grow(n *node[T], template *Template) *node[T] {
	front, back := template.Segments, []Segment(nil)
	if template.deep >= 0 {
		front, back = template.Segments[:template.deep], slices.Clone(template.Segments[template.deep+1:])
		slices.Reverse(back)
	}
	for _, s := range front {
		if s.Kind == Literal {
			n = t.literal(n, s.Text)
			continue
		}
		if n.single == nil {
			n.single = &node[T]{}
		}
		n = n.single
	}
	if template.deep < 0 {
		return n
	}
	if n.deep == nil {
		n.deep = &node[T]{}
	}
	n = n.deep
	for _, s := range back {
		n = t.literal(n, s.Text)
	}
	return n
}

// literal gives the child of n for text.
func (t *Tree[T]) literal(n *node[T], text string) *node[T] {
	t.maxRaw = max(t.maxRaw, 3*len(text)) // each byte may come as %XX
	child := n.literals[text]
	if child == nil {
		child = &node[T]{}
		if n.literals == nil {
			n.literals = make(map[string]*node[T])
		}
		n.literals[text] = child
	}
	return child
}

// Allowed lists the methods of all routes that match the path, for the Allow
// header of a 405 and of an answer to OPTIONS: sorted, with HEAD where GET is,
// and with OPTIONS. A route for AnyMethod counts for all methods of RFC 9110
// except CONNECT and TRACE, and for PATCH. The answer is nil where no route
// matches.
func (t *Tree[T]) Allowed(escapedPath string) []string {
	var methods []string
	q := query[T]{accept: func(method string, _ T) bool {
		if method == AnyMethod {
			methods = append(methods, "DELETE", "GET", "PATCH", "POST", "PUT")
		} else {
			methods = append(methods, method)
		}
		return false
	}}
	var m Match
	t.match(&q, escapedPath, &m)
	if methods == nil {
		return nil
	}
	if slices.Contains(methods, "GET") {
		methods = append(methods, "HEAD")
	}
	methods = append(methods, "OPTIONS")
	slices.SortFunc(methods, strings.Compare)
	return slices.Compact(methods)
}
