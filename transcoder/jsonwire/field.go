package jsonwire

import (
	"fmt"
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
	path    string
	oneofs  []Member
	// alone is the leaf's message with no other field, for AppendJSON.
	alone *Plan
}

// Member says that setting a field sets a member of a oneof.
type Member struct {
	// Parent is the proto path of the message that has the oneof, "" for the root.
	Parent string
	// Oneof is the oneof; a proto3 optional is none.
	Oneof protoreflect.OneofDescriptor
	// Name is the member's proto name.
	Name string
}

// Field returns the field at a dotted path of proto names or JSON names. The
// parents on the way must be singular messages. The error names the segment that
// is wrong and names near it.
func (p *Plan) Field(path string) (*Field, error) {
	f := &Field{root: p}
	at := p
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		leaf, _ := at.names.find([]byte(segment))
		if leaf == nil {
			leaf = at.byProtoName(segment)
		}
		if leaf == nil {
			if near := at.near(segment); near != "" {
				return nil, fmt.Errorf("%s has no field %q; did you mean %q?", at.desc.FullName(), clip(segment), near)
			}
			return nil, fmt.Errorf("%s has no field %q", at.desc.FullName(), clip(segment))
		}
		name := string(leaf.desc.Name())
		if leaf.oneof >= 0 {
			f.oneofs = append(f.oneofs, Member{Parent: f.path, Oneof: leaf.desc.ContainingOneof(), Name: name})
		}
		if f.path != "" {
			name = f.path + "." + name
		}
		f.path = name
		if !more {
			f.leaf = leaf
			f.alone = at.only(leaf)
			break
		}
		if leaf.card != single || leaf.op != opMessage && leaf.op != opGroup {
			return nil, fmt.Errorf("%s is %s, so nothing can stand below it; the path goes on with %q", f.path, leaf.kindName(), clip(rest))
		}
		f.parents = append(f.parents, leaf)
		at = leaf.message()
	}
	return f, nil
}

// byProtoName finds a field by its name, which is not its text name for a group.
func (p *Plan) byProtoName(name string) *fieldPlan {
	if d := p.desc.Fields().ByName(protoreflect.Name(name)); d != nil {
		return p.fields[d.Index()]
	}
	return nil
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
func (f *Field) Path() string { return f.path }

// IsRepeated tells a repeated field; a map is none.
func (f *Field) IsRepeated() bool { return f.leaf.card == list }

// IsMap tells a map.
func (f *Field) IsMap() bool { return f.leaf.card == mapping }

// Oneofs returns the oneofs of which the field, or a message on the way to it, is
// a member, from the root down.
func (f *Field) Oneofs() []Member { return f.oneofs }

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
		if err := d.field(f.leaf); err != nil || in.AllowTrailing {
			return err
		}
		return d.end()
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
