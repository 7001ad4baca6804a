// Package canonical gives protobuf messages in wire format one form: equal messages have
// equal bytes, in whatever order, split or packing a client has written their fields. There
// is no such promise in protobuf itself (protobuf.dev, "Proto Serialization Is Not Canonical").
//
//	form := canonical.New(descriptor)     // when the schema loads
//	message, err := form.Append(nil, message)
//
// The form: known fields by number, then what is unknown, as it came; each singular field
// once, the last value of a scalar, all pieces of a message merged; of a oneof the last
// member; lists packed as the schema says, in one piece; map entries by key, the last of each
// key, with key and value; varints as short as they can be, cut to their type; no field
// without presence that has its zero value. Extensions are unknown here, and an Any holds
// bytes. Most serialisers write small messages without maps like that already, so that
// nothing is copied.
package canonical

import (
	"cmp"
	"errors"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// MaxDepth is how deep messages may be nested in each other, as in most implementations of
// protobuf.
const MaxDepth = 100

var (
	// ErrDepth is the error of messages that are nested deeper than MaxDepth.
	ErrDepth = errors.New("canonical: messages are nested more than 100 deep")
	// ErrSyntax is the error of bytes that are no message.
	ErrSyntax = errors.New("canonical: no message in wire format")
	// ErrSize is the error of messages of 2 GiB and above, which protobuf does not have.
	ErrSize = errors.New("canonical: a message of 2 GiB or more")
)

// Form writes the messages of one type. It is immutable.
type Form struct {
	fields []field // by number
	dense  []int16 // the index in fields by number, for small numbers; -1 for none
}

// maxDense bounds Form.dense.
const maxDense = 256

// field is a known field.
type field struct {
	number   protowire.Number
	kind     kind
	list     bool
	packed   bool
	implicit bool  // it has no presence: zero is not written
	oneof    int   // -1 for none
	of       *Form // of a message or a group; of a map: of its entries, key and value
	isMap    bool
}

// kind is how a value is written.
type kind uint8

const (
	varint64 kind = iota // uint64, int64, sint64
	varint32             // uint32, sint32
	signed32             // int32, enum
	boolean
	fixed32
	fixed64
	text   // string, bytes
	nested // a message
	group
)

var kinds = [...]kind{
	protoreflect.BoolKind: boolean, protoreflect.EnumKind: signed32, protoreflect.Int32Kind: signed32,
	protoreflect.Sint32Kind: varint32, protoreflect.Uint32Kind: varint32,
	protoreflect.Int64Kind: varint64, protoreflect.Sint64Kind: varint64, protoreflect.Uint64Kind: varint64,
	protoreflect.Sfixed32Kind: fixed32, protoreflect.Fixed32Kind: fixed32, protoreflect.FloatKind: fixed32,
	protoreflect.Sfixed64Kind: fixed64, protoreflect.Fixed64Kind: fixed64, protoreflect.DoubleKind: fixed64,
	protoreflect.StringKind: text, protoreflect.BytesKind: text, protoreflect.MessageKind: nested, protoreflect.GroupKind: group,
}

var wireTypes = [...]protowire.Type{
	varint64: protowire.VarintType, varint32: protowire.VarintType, signed32: protowire.VarintType, boolean: protowire.VarintType,
	fixed32: protowire.Fixed32Type, fixed64: protowire.Fixed64Type,
	text: protowire.BytesType, nested: protowire.BytesType, group: protowire.StartGroupType,
}

// New makes the form of a type of messages, and of all in it.
func New(m protoreflect.MessageDescriptor) *Form {
	return compile(m, map[protoreflect.FullName]*Form{})
}

func compile(m protoreflect.MessageDescriptor, done map[protoreflect.FullName]*Form) *Form {
	if f := done[m.FullName()]; f != nil {
		return f
	}
	f := new(Form)
	done[m.FullName()] = f
	all := m.Fields()
	for i := range all.Len() {
		fd := all.Get(i)
		one := field{
			number: fd.Number(), kind: kinds[fd.Kind()], list: fd.IsList(), packed: fd.IsPacked(), isMap: fd.IsMap(),
			implicit: fd.Cardinality() != protoreflect.Repeated && !fd.HasPresence() && !m.IsMapEntry(), oneof: -1,
		}
		if o := fd.ContainingOneof(); o != nil {
			one.oneof = o.Index()
		}
		if of := fd.Message(); of != nil {
			one.of = compile(of, done)
		}
		f.fields = append(f.fields, one)
	}
	slices.SortFunc(f.fields, func(a, b field) int { return cmp.Compare(a.number, b.number) })
	f.dense = make([]int16, min(maxDense, f.last()+1))
	for i := range f.dense {
		f.dense[i] = -1
	}
	for i, one := range f.fields {
		if int(one.number) < len(f.dense) {
			f.dense[one.number] = int16(i) //nolint:gosec // below maxDense
		}
	}
	return f
}

// last is the largest number of a field; 0 for none.
func (f *Form) last() int {
	if len(f.fields) == 0 {
		return 0
	}
	return int(f.fields[len(f.fields)-1].number)
}

// find gives the index of a field by its number, -1 for one that is unknown.
func (f *Form) find(number protowire.Number) int {
	if int(number) < len(f.dense) {
		return int(f.dense[number])
	}
	i, ok := slices.BinarySearchFunc(f.fields, number, func(one field, number protowire.Number) int { return cmp.Compare(one.number, number) })
	if !ok {
		return -1
	}
	return i
}

// fits reports whether a value of a wire type is one of the field's: what is not is unknown
// (protobuf.dev, "Encoding"), but lists of scalars come packed or not.
func (one *field) fits(t protowire.Type) bool {
	return t == one.wire() || t == protowire.BytesType && one.packable()
}

func (one *field) wire() protowire.Type { return wireTypes[one.kind] }

// packable reports whether it is a list of scalars.
func (one *field) packable() bool { return one.list && one.kind < text }

// cut gives a varint as its type has it.
func (k kind) cut(v uint64) uint64 {
	switch k {
	case varint32:
		return uint64(uint32(v)) //nolint:gosec // that is what parsers do
	case signed32:
		return uint64(int64(int32(v))) //nolint:gosec // as above
	case boolean:
		return protowire.EncodeBool(v != 0)
	}
	return v
}

// Append returns message itself where it has the form already, else the form appended to dst.
func (f *Form) Append(dst, message []byte) ([]byte, error) {
	if int64(len(message)) > 1<<31-1 {
		return nil, ErrSize
	}
	switch same, err := f.scan(message, 0); {
	case err != nil:
		return nil, err
	case same:
		return message, nil
	}
	w := writer{message}
	return w.message(dst, f, []span{{0, uint32(len(message))}}, 0) //nolint:gosec // below 2 GiB
}
