// Package httprule reads google.api.http path templates and finds the one that
// a request's path matches. It knows nothing of protobuf, of HTTP servers or of
// what a route leads to.
//
//	t, err := httprule.Parse("/v1/{name=shelves/*}:archive")
//	err = tree.Add("POST", t, value)
//	value, found := tree.Match("POST", r.URL.EscapedPath(), &match)
package httprule

// Template is a parsed path template. It is immutable.
type Template struct {
	// Segments are the template's segments from left to right, those inside
	// variables included. The template "/" has none.
	Segments []Segment
	// Variables are the template's variables from left to right.
	Variables []Variable
	// Verb is what follows the last colon of the last segment, decoded; "" for
	// none.
	Verb string

	text string
	// deep is the index of the segment of kind Deep, or -1.
	deep int
}

// String is the template as it was written.
func (t *Template) String() string { return t.text }

// Kind is what a segment of a template matches.
type Kind uint8

// The kinds of segments, the most specific first.
const (
	// Literal matches one segment that equals a text.
	Literal Kind = iota
	// Single is "*": one segment that is not empty.
	Single
	// Deep is "**": any number of segments, zero included.
	Deep
)

// Segment is one part of a template between slashes.
type Segment struct {
	// Kind is what the segment matches.
	Kind Kind
	// Text is the percent-decoded text of a Literal.
	Text string
}

// Variable is a part of the path that is bound to a field.
type Variable struct {
	// FieldPath is the field as the template names it, dots included: "a.b".
	FieldPath string
	// First and Last are the indices in Template.Segments of the variable's first
	// and last segment.
	First, Last int
	// Multi tells that the value may hold slashes: the variable has more than one
	// segment, or "**". An escaped slash (%2F) stays escaped in such a value.
	Multi bool
	// Constant is the value of a variable without wildcards, decoded as a captured
	// one would be; "" for any other.
	Constant string
	// Column is where the variable's field path stands in the template, counted in
	// bytes from 1.
	Column int
}
