package projection

import (
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"
)

// view is a message without some of its fields.
type view struct {
	protoreflect.MessageDescriptor
	fields *fieldList
}

// Fields are those that stay.
func (v *view) Fields() protoreflect.FieldDescriptors { return v.fields }

// ExtensionRanges are none.
func (v *view) ExtensionRanges() protoreflect.FieldRanges { return noRanges }

var noRanges = (*emptypb.Empty)(nil).ProtoReflect().Descriptor().ExtensionRanges()

// fieldList are the fields of a view.
type fieldList struct {
	protoreflect.FieldDescriptors
	list []protoreflect.FieldDescriptor
}

// Len is how many there are.
func (l *fieldList) Len() int { return len(l.list) }

// Get returns one of them.
func (l *fieldList) Get(i int) protoreflect.FieldDescriptor { return l.list[i] }

func (l *fieldList) stays(f protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	for _, own := range l.list {
		if f != nil && own.Number() == f.Number() {
			return own
		}
	}
	return nil
}

// ByName returns the field of a name; nil for none.
func (l *fieldList) ByName(n protoreflect.Name) protoreflect.FieldDescriptor {
	return l.stays(l.FieldDescriptors.ByName(n))
}

// ByJSONName is the like.
func (l *fieldList) ByJSONName(n string) protoreflect.FieldDescriptor {
	return l.stays(l.FieldDescriptors.ByJSONName(n))
}

// ByTextName is the like.
func (l *fieldList) ByTextName(n string) protoreflect.FieldDescriptor {
	return l.stays(l.FieldDescriptors.ByTextName(n))
}

// ByNumber is the like.
func (l *fieldList) ByNumber(n protoreflect.FieldNumber) protoreflect.FieldDescriptor {
	return l.stays(l.FieldDescriptors.ByNumber(n))
}

// viewField is a field whose message is a view, or whose values are hashed.
type viewField struct {
	protoreflect.FieldDescriptor
	// message is that of the field; of a map it is nil, and value that of its values.
	message protoreflect.MessageDescriptor
	value   protoreflect.FieldDescriptor
	hashed  bool
}

// Message is the view.
func (f *viewField) Message() protoreflect.MessageDescriptor {
	if f.message != nil {
		return f.message
	}
	return f.FieldDescriptor.Message()
}

// MapValue is that of the view.
func (f *viewField) MapValue() protoreflect.FieldDescriptor {
	if f.value != nil {
		return f.value
	}
	return f.FieldDescriptor.MapValue()
}

// Kind is that of what stands for the value.
func (f *viewField) Kind() protoreflect.Kind {
	if f.hashed {
		return protoreflect.StringKind
	}
	return f.FieldDescriptor.Kind()
}

// HasDefault is false for hashes.
func (f *viewField) HasDefault() bool { return !f.hashed && f.FieldDescriptor.HasDefault() }

// Default is that of the kind.
func (f *viewField) Default() protoreflect.Value {
	if f.hashed && !f.IsList() {
		return protoreflect.ValueOfString("")
	}
	return f.FieldDescriptor.Default()
}

// wholes are messages with all of their fields but those that are sensitive.
type wholes struct {
	hashes bool

	mu   sync.Mutex
	done map[protoreflect.FullName]protoreflect.MessageDescriptor
}

func (w *wholes) of(m protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.make(m)
}

// make makes it. The caller holds mu.
func (w *wholes) make(m protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
	if made := w.done[m.FullName()]; made != nil {
		return made
	}
	if own(m) {
		w.done[m.FullName()] = m
		return m
	}
	v := newView(m)
	w.done[m.FullName()] = v
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		hides := Sensitive(f)
		if hides && !(w.hashes && hashed(f)) {
			continue
		}
		v.add(f, hides, w.make)
	}
	return v
}

func newView(m protoreflect.MessageDescriptor) *view {
	return &view{m, &fieldList{FieldDescriptors: m.Fields()}}
}

// add adds a field, whose message is made by a function.
func (v *view) add(f protoreflect.FieldDescriptor, hashed bool, of func(protoreflect.MessageDescriptor) protoreflect.MessageDescriptor) {
	own := &viewField{FieldDescriptor: f, hashed: hashed}
	switch m := inner(f); {
	case m == nil && !hashed:
		v.fields.list = append(v.fields.list, f)
		return
	case m == nil:
	case f.IsMap():
		own.value = &viewField{FieldDescriptor: f.MapValue(), message: of(m)}
	default:
		own.message = of(m)
	}
	v.fields.list = append(v.fields.list, own)
}

// cut makes the view of a message that paths leave.
func (p *Projection) cut(m protoreflect.MessageDescriptor, at *node) *view {
	if at.whole {
		if v, ok := p.whole.of(m).(*view); ok {
			return v
		}
		v := newView(m) // a message of protobuf's own
		for i := range m.Fields().Len() {
			v.add(m.Fields().Get(i), false, p.whole.of)
		}
		return v
	}
	v := newView(m)
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if next := at.below[f.Name()]; next != nil {
			v.add(f, Sensitive(f), func(inner protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
				if next.whole {
					return p.whole.of(inner)
				}
				return p.cut(inner, next)
			})
		}
	}
	return v
}
