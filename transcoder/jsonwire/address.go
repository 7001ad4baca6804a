package jsonwire

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field returns the field at a dotted path of proto names or JSON names, at most
// as deep as JSON nests. The parents on the way must be singular messages. The
// error names the segment that is wrong and names near it.
func (p *Plan) Field(path string) (*Field, error) {
	f, _, _, err := p.address(path, false)
	return f, err
}

// Parameter returns the field that the name of a query parameter addresses: a path
// as [Plan.Field] takes it, or one of a map with a key behind it in brackets. The
// error's text is made when it is asked for: unknown parameters may be ignored, and
// many.
func (p *Plan) Parameter(name string) (f *Field, key string, keyed bool, err error) {
	return p.address(name, true)
}

// address walks a path segment by segment. It makes no string of the path so far:
// its cost grows with the path's length alone.
func (p *Plan) address(path string, keys bool) (f *Field, key string, keyed bool, err error) {
	f = &Field{root: p}
	if n := strings.Count(path, "."); n > 0 {
		f.parents = make([]*fieldPlan, 0, min(n, defaultDepth))
	}
	at := p
	for rest := path; ; {
		if len(f.parents) == defaultDepth {
			return nil, "", false, &addressError{reason: addressDeep}
		}
		leaf, n := at.segment(rest, keys)
		switch {
		case leaf == nil:
			segment, _, _ := strings.Cut(rest, ".")
			return nil, "", false, &addressError{reason: addressUnknown, plan: at, text: segment}
		case n == len(rest):
			f.leaf = leaf
			return f, "", false, nil
		case rest[n] == '[':
			f.leaf = leaf
			return f, rest[n+1 : len(rest)-1], true, nil
		}
		rest = rest[n+1:]
		if leaf.card != single || leaf.op != opMessage && leaf.op != opGroup {
			f.leaf = leaf
			return nil, "", false, &addressError{reason: addressLeaf, field: f, text: rest}
		}
		f.parents = append(f.parents, leaf)
		at = leaf.message()
	}
}

// segment finds the field that a path begins with, and where its name ends: at the
// path's end, at a dot, or with keys at the bracket before a key. JSON names may
// hold dots and brackets, so the whole path is tried first, and then what stands
// before each of them.
func (p *Plan) segment(path string, keys bool) (f *fieldPlan, n int) {
	if f := p.named(path); f != nil {
		return f, len(path)
	}
	keys = keys && strings.HasSuffix(path, "]")
	var other *fieldPlan // has a key in brackets and is no map
	otherEnd := 0
	for i := range min(len(path), p.longest+1) {
		switch c := path[i]; {
		case c == '.':
			if f := p.named(path[:i]); f != nil {
				return f, i
			}
		case c == '[' && keys:
			if f := p.named(path[:i]); f != nil && f.card == mapping {
				return f, i
			} else if f != nil {
				other, otherEnd = f, i
			}
		}
	}
	return other, otherEnd
}

// named finds a field by its JSON name or proto name, nil for none.
func (p *Plan) named(name string) *fieldPlan {
	if len(name) > p.longest {
		return nil
	}
	if f, ok := p.names.find([]byte(name)); ok {
		return f
	}
	// A group's name is not its text name.
	if d := p.desc.Fields().ByName(protoreflect.Name(name)); d != nil {
		return p.fields[d.Index()]
	}
	return nil
}

// addressError says why a path leads to no field.
type addressError struct {
	reason addressReason
	plan   *Plan  // that has no such field
	field  *Field // below which nothing can stand
	text   string // the segment, or what follows the field
}

type addressReason uint8

const (
	addressUnknown addressReason = iota
	addressLeaf
	addressDeep
)

// Error implements error.
func (e *addressError) Error() string {
	switch e.reason {
	case addressDeep:
		return fmt.Sprintf("the path names more than %d fields", defaultDepth)
	case addressLeaf:
		return fmt.Sprintf("%s is %s, so nothing can stand below it; the path goes on with %q",
			e.field.Path(), e.field.leaf.kindName(), clip(e.text))
	case addressUnknown:
	}
	if near := e.plan.near(e.text); near != "" {
		return fmt.Sprintf("%s has no field %q; did you mean %q?", e.plan.desc.FullName(), clip(e.text), near)
	}
	return fmt.Sprintf("%s has no field %q", e.plan.desc.FullName(), clip(e.text))
}
