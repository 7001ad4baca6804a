package jsonwire

import (
	"math"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// op says how a value is read and written. The order matters: the kinds that are
// varints on the wire come first.
type op uint8

const (
	opBool op = iota
	opInt32
	opSint32
	opUint32
	opInt64
	opSint64
	opUint64
	opEnum
	opNull // google.protobuf.NullValue
	opSfixed32
	opFixed32
	opFloat
	opSfixed64
	opFixed64
	opDouble
	opString
	opBytes
	opMessage
	opGroup

	lastVarint  = opNull
	lastNumeric = opDouble
)

// is64 tells the integers that JSON writes as strings.
func (o op) is64() bool {
	return o == opInt64 || o == opSint64 || o == opUint64 || o == opSfixed64 || o == opFixed64
}

type cardinality uint8

const (
	single cardinality = iota
	list
	mapping
)

// fieldPlan is a field, compiled.
type fieldPlan struct {
	wireForm
	presence
	jsonForm

	desc   protoreflect.FieldDescriptor
	plans  *Plans
	enum   *enumPlan
	sub    atomic.Pointer[Plan]
	mapKey *fieldPlan
	mapVal *fieldPlan
	// texts tells a map of strings to strings.
	texts bool
	// hidden: no error repeats the value.
	hidden bool
}

// message returns the plan of the field's message, compiled on first use.
func (f *fieldPlan) message() *Plan {
	if p := f.sub.Load(); p != nil {
		return p
	}
	p := f.plans.Message(f.desc.Message())
	f.sub.Store(p)
	return p
}

func newFieldPlan(s *Plans, d protoreflect.FieldDescriptor) *fieldPlan {
	f := &fieldPlan{
		wireForm: newWireForm(d),
		presence: presence{implicit: !d.HasPresence() && !d.IsList() && !d.IsMap(), oneof: -1},
		desc:     d,
		plans:    s,
		hidden:   s.hidden != nil && s.hidden(d),
	}
	if f.card == mapping {
		f.mapKey = newFieldPlan(s, d.MapKey())
		f.mapVal = newFieldPlan(s, d.MapValue())
		f.texts = f.mapKey.op == opString && f.mapVal.op == opString
	}
	if d.Kind() == protoreflect.EnumKind {
		f.enum = s.enum(d.Enum())
	}
	f.null = f.op == opNull || d.Message() != nil && d.Message().FullName() == "google.protobuf.Value"
	f.setKeys()
	if d.ContainingOneof() == nil && !d.IsExtension() {
		f.setUnset()
	}
	return f
}

// float32Of reads the bits of a float.
func float32Of(bits uint32) float64 { return float64(math.Float32frombits(bits)) }
