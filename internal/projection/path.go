package projection

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
)

var errUnknown = errors.New("there is none of that name")

// node is a field on the way of paths.
type node struct {
	whole bool
	below map[protoreflect.Name]*node
}

// add adds a path.
func (p *Projection) add(at *node, m protoreflect.MessageDescriptor, path string) error {
	names := strings.Split(path, ".")
	for i, name := range names {
		last := i == len(names)-1
		if name == "*" && last {
			at.whole = true
			return nil
		}
		f, err := fieldOf(m, name)
		if err != nil {
			return err
		}
		if Sensitive(f) {
			if err := p.whole.judge(f, last); err != nil {
				return err
			}
		}
		if at.below == nil {
			at.below = map[protoreflect.Name]*node{}
		}
		next := at.below[f.Name()]
		if next == nil {
			next = new(node)
			at.below[f.Name()] = next
		}
		if at = next; last {
			at.whole = true
			return nil
		}
		if m = inner(f); m == nil {
			return fmt.Errorf("the field %q has no fields: nothing may follow it", f.FullName())
		}
		if own(m) {
			return fmt.Errorf("the field %q is a %s, of which no part can stand alone: name the field itself", f.FullName(), m.FullName())
		}
	}
	return nil
}

// judge says why a sensitive field cannot be named in a path.
func (w *wholes) judge(f protoreflect.FieldDescriptor, last bool) error {
	switch {
	case !w.hashes:
		return fmt.Errorf("the field %q is marked sensitive, so that it never leaves: remove it from the list, or set sensitive: HASH", f.FullName())
	case !last || !hashed(f):
		return fmt.Errorf("the field %q is marked sensitive, and hashes are for text and bytes: remove it from the list", f.FullName())
	}
	return nil
}

// fieldOf finds a field by its name.
func fieldOf(m protoreflect.MessageDescriptor, name string) (protoreflect.FieldDescriptor, error) {
	fields := m.Fields()
	if f := fields.ByName(protoreflect.Name(name)); f != nil {
		return f, nil
	}
	var known []string
	for i := range fields.Len() {
		known = append(known, string(fields.Get(i).Name()))
	}
	slices.Sort(known)
	text := "it has none"
	if len(known) > 0 {
		text = "expected one of " + strings.Join(known, ", ")
	}
	if f := fields.ByJSONName(name); f != nil {
		return nil, fmt.Errorf("%s has no field %q; did you mean %s?", m.FullName(), name, f.Name())
	}
	if near := nearest.Of(known, name); near != "" {
		text += "; did you mean " + near + "?"
	}
	return nil, fmt.Errorf("%s has no field %q; %s", m.FullName(), name, text)
}

// inner is the message that a field holds, or the values of a map; nil for others.
func inner(f protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if f.IsMap() {
		return f.MapValue().Message()
	}
	return f.Message()
}

// own reports whether a message has a form of its own in JSON, so that it has no fields there.
func own(m protoreflect.MessageDescriptor) bool { return m.FullName().Parent() == "google.protobuf" }
