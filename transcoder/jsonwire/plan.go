package jsonwire

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// special are the messages with a JSON form of their own.
type special uint8

const (
	plain special = iota
	specialAny
	specialTimestamp
	specialDuration
	specialWrapper
	specialStruct
	specialList
	specialValue
	specialMask
	specialEmpty // plain, but for its place in an Any
	specialMessageSet
)

// Plan is a message, compiled. It is safe for concurrent use.
type Plan struct {
	plans *Plans
	desc  protoreflect.MessageDescriptor
	kind  special
	// fields are in the order of declaration.
	fields []*fieldPlan
	// dense finds fields by number; sparse those with high numbers.
	dense  []*fieldPlan
	sparse map[protowire.Number]*fieldPlan
	names  nameTable[*fieldPlan]
	// longest is the length of the longest name of a field, in bytes.
	longest int
	// bits is the number of places among the seen fields and oneofs.
	bits int
	// required fields, in order of declaration.
	required []*fieldPlan
	// byNumber are the fields in the order of their numbers.
	byNumber []*fieldPlan
	// unsetBits are the near slots whose fields a setting writes
	// although they are not set: [omit, defaults, nulls]. unsetMore are the fields of
	// far slots, for any setting.
	unsetBits [3]uint64
	unsetMore []*fieldPlan
	// requiredBits are the near slots of required fields.
	requiredBits uint64

	extendable bool
	// extensions are those met so far; replaced, never changed.
	extensions atomic.Pointer[extensionTable]
}

// extensionTable holds the extensions of one message.
type extensionTable struct {
	byNumber map[protowire.Number]*fieldPlan
	byName   map[string]*fieldPlan
}

func newPlan(s *Plans, d protoreflect.MessageDescriptor) *Plan {
	p := &Plan{plans: s, desc: d, kind: specialOf(d), extendable: d.ExtensionRanges().Len() > 0}
	fields := d.Fields()
	p.bits = fields.Len() + d.Oneofs().Len()
	highest := protowire.Number(0)
	limit := protowire.Number(16*fields.Len() + 128)
	for i := range fields.Len() {
		f := newFieldPlan(s, fields.Get(i))
		f.bit = i
		if o := f.desc.ContainingOneof(); o != nil && !o.IsSynthetic() {
			f.oneof = fields.Len() + o.Index()
		}
		if f.desc.Cardinality() == protoreflect.Required {
			p.required = append(p.required, f)
			f.required = p.bits
			p.bits++
		}
		f.simple = f.card == single && f.bit < 64 && f.oneof < 0 && f.required == 0 &&
			(f.op == opString || f.op <= opDouble && f.op != opEnum && f.op != opNull && f.op != opFloat)
		if f.num < limit {
			highest = max(highest, f.num)
		}
		p.fields = append(p.fields, f)
	}
	p.dense = make([]*fieldPlan, highest+1)
	for _, f := range p.fields {
		if f.num <= highest {
			p.dense[f.num] = f
			continue
		}
		if p.sparse == nil {
			p.sparse = map[protowire.Number]*fieldPlan{}
		}
		p.sparse[f.num] = f
	}
	p.names = fieldNames(p.fields)
	for _, f := range p.fields {
		p.longest = max(p.longest, len(f.desc.JSONName()), len(f.desc.TextName()), len(f.desc.Name()))
	}
	p.extensions.Store(&extensionTable{})
	p.order()
	return p
}

// order gives each field its place in the order of numbers.
func (p *Plan) order() {
	p.byNumber = slices.Clone(p.fields)
	slices.SortFunc(p.byNumber, func(a, b *fieldPlan) int { return cmp.Compare(a.num, b.num) })
	first := map[int]protowire.Number{} // the lowest number of each oneof's members
	for i, f := range p.byNumber {
		f.place, f.before = f.num, math.MaxUint64
		f.setSlot(i)
		if f.oneof >= 0 {
			if first[f.oneof] == 0 {
				first[f.oneof] = f.num
			}
			f.place, f.loose = first[f.oneof], true
			f.setSlot(f.oneof)
			continue
		}
		if i >= nearSlots {
			if f.unset[unsetNull][0] != nil {
				p.unsetMore = append(p.unsetMore, f)
			}
			continue
		}
		f.before = 1<<i - 1
		if f.required > 0 {
			p.requiredBits |= 1 << i
		}
		for setting := range p.unsetBits {
			if f.unset[setting][0] != nil {
				p.unsetBits[setting] |= 1 << i
			}
		}
	}
}

// Descriptor returns the message that the plan is of.
func (p *Plan) Descriptor() protoreflect.MessageDescriptor { return p.desc }

// field returns the field of a number, nil for an unknown one.
func (p *Plan) field(num protowire.Number) *fieldPlan {
	if int(num) < len(p.dense) {
		if f := p.dense[num]; f != nil {
			return f
		}
	}
	return p.find(num)
}

// find returns the field of a number that the dense table does not have; nil for
// an unknown one. Extensions may have any number, also one below the highest of
// the message's own fields.
func (p *Plan) find(num protowire.Number) *fieldPlan {
	if f := p.sparse[num]; f != nil {
		return f
	}
	if !p.extendable || !p.desc.ExtensionRanges().Has(num) || p.plans.resolver == nil {
		return nil
	}
	if f := p.extensions.Load().byNumber[num]; f != nil {
		return f
	}
	d, err := p.plans.resolver.FindExtensionByNumber(p.desc.FullName(), num)
	if err != nil || d == nil {
		return nil
	}
	return p.extend(d)
}

// extension returns the extension of a full name, nil for an unknown one. ok is
// false where it extends another message.
func (p *Plan) extension(name []byte) (f *fieldPlan, ok bool) {
	if f := p.extensions.Load().byName[string(name)]; f != nil {
		return f, true
	}
	full := protoreflect.FullName(name)
	if p.plans.resolver == nil || !full.IsValid() {
		return nil, true
	}
	d, err := p.plans.resolver.FindExtensionByName(full)
	if err != nil || d == nil {
		return nil, true
	}
	if !p.desc.ExtensionRanges().Has(d.Number()) || d.ContainingMessage().FullName() != p.desc.FullName() {
		return nil, false
	}
	return p.extend(d), true
}

// extend adds an extension to the plan's table.
func (p *Plan) extend(d protoreflect.ExtensionDescriptor) *fieldPlan {
	p.plans.mu.Lock()
	defer p.plans.mu.Unlock()
	old := p.extensions.Load()
	if f := old.byNumber[d.Number()]; f != nil {
		return f
	}
	f := newFieldPlan(p.plans, d)
	f.bit = p.bits + len(old.byNumber)
	f.place, f.before, f.loose = f.num, math.MaxUint64, true
	f.setSlot(f.bit)
	next := &extensionTable{byNumber: maps.Clone(old.byNumber), byName: maps.Clone(old.byName)}
	if next.byNumber == nil {
		next.byNumber, next.byName = map[protowire.Number]*fieldPlan{}, map[string]*fieldPlan{}
	}
	next.byNumber[f.num], next.byName[string(d.FullName())] = f, f
	p.extensions.Store(next)
	return f
}

func specialOf(d protoreflect.MessageDescriptor) special {
	if m, ok := d.(interface{ IsMessageSet() bool }); ok && m.IsMessageSet() {
		return specialMessageSet
	}
	if d.FullName().Parent() != "google.protobuf" {
		return plain
	}
	switch d.Name() {
	case "Any":
		return specialAny
	case "Timestamp":
		return specialTimestamp
	case "Duration":
		return specialDuration
	case "BoolValue", "Int32Value", "Int64Value", "UInt32Value", "UInt64Value",
		"FloatValue", "DoubleValue", "StringValue", "BytesValue":
		return specialWrapper
	case "Struct":
		return specialStruct
	case "ListValue":
		return specialList
	case "Value":
		return specialValue
	case "FieldMask":
		return specialMask
	case "Empty":
		return specialEmpty
	}
	return plain
}
