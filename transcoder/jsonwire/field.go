package jsonwire

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field is the address of one field in or below a message: what a path variable,
// a query parameter or a mapped body fills. It is safe for concurrent use.
type Field struct {
	root    *Plan
	parents []*fieldPlan // singular messages, from the root down
	leaf    *fieldPlan
	// alone is the leaf's message with no other field, for AppendJSON; nil where
	// Answer has not made it.
	alone *Plan
}

// Answer is [Plan.Field] for a field that [Field.AppendJSON] is to be called on.
func (p *Plan) Answer(path string) (*Field, error) {
	f, err := p.Field(path)
	if err == nil {
		holder := f.root
		if n := len(f.parents); n > 0 {
			holder = f.parents[n-1].message()
		}
		f.alone = holder.only(f.leaf)
	}
	return f, err
}

// kindName names the field's kind for a person.
func (f *fieldPlan) kindName() string {
	switch f.card {
	case list:
		return "a repeated field"
	case mapping:
		return "a map"
	}
	return "of type " + f.desc.Kind().String()
}

// Descriptor returns the field.
func (f *Field) Descriptor() protoreflect.FieldDescriptor { return f.leaf.desc }

// Path returns the path in proto names.
func (f *Field) Path() string {
	var path strings.Builder
	for _, parent := range f.parents {
		path.WriteString(string(parent.desc.Name()))
		path.WriteByte('.')
	}
	path.WriteString(string(f.leaf.desc.Name()))
	return path.String()
}

// Overlaps reports whether the fields, which are of one root, are the same or one
// lies below the other.
func (f *Field) Overlaps(g *Field) bool {
	for i := range max(len(f.parents), len(g.parents)) + 1 {
		a, b := f.step(i), g.step(i)
		if a == nil || b == nil {
			return true
		}
		if a != b {
			return false
		}
	}
	return true
}

// step is the field at a place of the path, nil behind its end.
func (f *Field) step(i int) *fieldPlan {
	switch {
	case i < len(f.parents):
		return f.parents[i]
	case i == len(f.parents):
		return f.leaf
	}
	return nil
}

// InOneof reports whether the field, or a message on the way to it, is a member of
// a oneof; a proto3 optional is none.
func (f *Field) InOneof() bool {
	return f.leaf.oneof >= 0 || slices.ContainsFunc(f.parents, func(p *fieldPlan) bool { return p.oneof >= 0 })
}

// IsRepeated tells a repeated field; a map is none.
func (f *Field) IsRepeated() bool { return f.leaf.card == list }

// IsMap tells a map.
func (f *Field) IsMap() bool { return f.leaf.card == mapping }

// Hidden reports whether no error, and no log, may repeat the field's value.
func (f *Field) Hidden() bool {
	return f.leaf.hidden || slices.ContainsFunc(f.parents, func(p *fieldPlan) bool { return p.hidden })
}

// AppendWire appends the message that holds only this field, from a bare JSON
// value: a scalar, an array, an object. It is to be merged with what else sets the
// message by standing before or after it. On an error, of type *[Error], it
// returns dst as it was.
func (f *Field) AppendWire(dst, json []byte, in Input) ([]byte, error) {
	d := newDecoder(f.root.plans, dst, json, in)
	d.keep = true
	err := d.below(f, func() error {
		d.space()
		if err := d.field(f.leaf); err != nil {
			return err
		}
		if !in.AllowTrailing {
			if err := d.end(); err != nil {
				return err
			}
		}
		return d.complete(f)
	})
	out := d.out
	d.free()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// below writes the tags and lengths of the parents around what write writes, and
// nothing where it writes nothing.
func (d *decoder) below(f *Field, write func() error) error {
	mark := len(d.out)
	var few [8]int
	at := few[:0]
	for _, parent := range f.parents {
		d.out = append(d.out, parent.tag...)
		if parent.op == opMessage {
			d.out = openLength(d.out)
		}
		at = append(at, len(d.out))
	}
	before := len(d.out)
	if err := write(); err != nil {
		if f.Hidden() {
			err = hide(err)
		}
		return err
	}
	if len(d.out) == before {
		d.out = d.out[:mark]
		return nil
	}
	for i := len(f.parents) - 1; i >= 0; i-- {
		if f.parents[i].op == opMessage {
			d.out = closeLength(d.out, at[i])
		} else {
			d.out = append(d.out, f.parents[i].endTag...)
		}
	}
	return nil
}
