package jsonwire

import (
	"cmp"
	"math"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// normaliser writes a message again as serialisers write it: fields of one list
// together, a singular field once, one member of a oneof, a map's key once. That
// is the exact way for the rare data that is otherwise: what a parser would make
// of it decides, step by step, but no object is made. Unknown fields are dropped.
// It looks at no level twice and copies nothing but the result.
type normaliser struct {
	wire  []byte
	out   []byte
	items []item
	parts [][]byte
	depth int
}

// item is one field on the wire.
type item struct {
	f          *fieldPlan
	start, end uint32 // of the value; of a group without its end
	order      uint32
	typ        protowire.Type
}

// normalise returns the message as serialisers write it. It fails where a parser
// would.
func normalise(p *Plan, wire []byte) ([]byte, error) {
	if len(wire) > math.MaxInt32 {
		return nil, newError(-1, "the message is larger than 2 GiB")
	}
	n := &normaliser{wire: wire, out: make([]byte, 0, len(wire))}
	n.parts = append(n.parts, wire)
	if err := n.message(p, n.parts); err != nil {
		return nil, err
	}
	return n.out, nil
}

func (n *normaliser) offset(b []byte) int { return cap(n.wire) - cap(b) }

func (n *normaliser) malformed(b []byte) error {
	return newError(n.offset(b), "malformed wire data")
}

// message writes the fields of a message that came in parts, which merge.
func (n *normaliser) message(p *Plan, parts [][]byte) error {
	if n.depth++; n.depth > maxWireDepth {
		return newError(-1, "nested more than %d messages deep", maxWireDepth)
	}
	base := len(n.items)
	for _, part := range parts {
		if err := n.collect(p, part, base); err != nil {
			return err
		}
	}
	items := n.items[base:]
	slices.SortFunc(items, func(a, b item) int {
		if c := cmp.Compare(a.f.place, b.f.place); c != 0 {
			return c
		}
		return cmp.Compare(a.order, b.order)
	})
	for len(items) > 0 {
		end := 1
		for end < len(items) && items[end].f.place == items[0].f.place {
			end++
		}
		if err := n.field(items[:end]); err != nil {
			return below(err, string(items[0].f.desc.Name()))
		}
		items = items[end:]
	}
	n.items = n.items[:base]
	n.depth--
	return nil
}

// collect finds the known fields of one part.
func (n *normaliser) collect(p *Plan, b []byte, base int) error {
	for len(b) > 0 {
		num, typ, size := tagOf(b)
		if size == 0 || num == 0 {
			return n.malformed(b)
		}
		value := b[size:]
		length := protowire.ConsumeFieldValue(num, typ, value)
		if length < 0 {
			return n.malformed(b)
		}
		f := p.field(num)
		b = value[length:]
		if f == nil || typ != f.typ && !(f.packable && typ == protowire.BytesType) {
			continue
		}
		switch typ {
		case protowire.BytesType:
			content, _, _ := bytesIn(value)
			value = value[length-len(content):]
			length = len(content)
		case protowire.StartGroupType:
			content, _ := protowire.ConsumeGroup(num, value)
			length = len(content)
		}
		start := n.offset(value)
		n.items = append(n.items, item{f: f, typ: typ, start: uint32(start), end: uint32(start + length), order: uint32(len(n.items) - base)})
	}
	return nil
}

func (n *normaliser) value(it *item) []byte { return n.wire[it.start:it.end] }

// field writes all that came for one field, or for the fields of one oneof.
func (n *normaliser) field(items []item) error {
	f := items[len(items)-1].f
	switch f.card {
	case mapping:
		return n.mapping(f, items)
	case list:
		return n.list(f, items)
	}
	last := len(items) - 1
	first := last
	for first > 0 && items[first-1].f == f {
		first--
	}
	mark := len(n.out)
	for i := range items[:first] { // members of the oneof that a later one replaces
		if err := n.single(items[i].f, items[i:i+1]); err != nil {
			return err
		}
		n.out = n.out[:mark]
	}
	return n.single(f, items[first:])
}

// single writes a singular field: the last scalar, or all messages merged.
func (n *normaliser) single(f *fieldPlan, items []item) error {
	if f.op == opMessage || f.op == opGroup {
		base := len(n.parts)
		for i := range items {
			n.parts = append(n.parts, n.value(&items[i]))
		}
		err := n.submessage(f, n.parts[base:])
		n.parts = n.parts[:base]
		return err
	}
	for i := range items {
		if f.utf8 && !utf8.Valid(n.value(&items[i])) {
			return n.notUTF8(&items[i])
		}
	}
	n.scalar(f, n.value(&items[len(items)-1]))
	return nil
}

func (n *normaliser) notUTF8(it *item) error {
	return newError(int(it.start), "string is not valid UTF-8")
}

func (n *normaliser) scalar(f *fieldPlan, value []byte) {
	n.out = append(n.out, f.tag...)
	if f.typ == protowire.BytesType {
		n.out = protowire.AppendVarint(n.out, uint64(len(value)))
	}
	n.out = append(n.out, value...)
}

func (n *normaliser) submessage(f *fieldPlan, parts [][]byte) error {
	n.out = append(n.out, f.tag...)
	if f.op == opGroup {
		err := n.message(f.message(), parts)
		n.out = append(n.out, f.endTag...)
		return err
	}
	n.out = openLength(n.out)
	at := len(n.out)
	if err := n.message(f.message(), parts); err != nil {
		return err
	}
	n.out = closeLength(n.out, at)
	return nil
}

// list writes a repeated field, packed where it may be.
func (n *normaliser) list(f *fieldPlan, items []item) error {
	if !f.packable {
		for i := range items {
			if err := n.single(f, items[i:i+1]); err != nil {
				return belowIndex(err, i)
			}
		}
		return nil
	}
	n.out = openLength(append(n.out, f.packedTag...))
	at := len(n.out)
	for i := range items {
		n.out = append(n.out, n.value(&items[i])...)
	}
	n.out = closeLength(n.out, at)
	return nil
}

// mapping writes a map; of the entries with one key the last stays.
func (n *normaliser) mapping(f *fieldPlan, items []item) error {
	last := map[string]int{}
	for i := range items {
		key, err := n.key(f.mapKey, n.value(&items[i]))
		if err != nil {
			return err
		}
		last[string(key)] = i
	}
	for i := range items {
		mark := len(n.out)
		key, _ := n.key(f.mapKey, n.value(&items[i]))
		stays := last[string(key)] == i
		n.out = openLength(append(n.out, f.tag...))
		at := len(n.out)
		n.scalar(f.mapKey, key)
		if err := n.entryValue(f.mapVal, n.value(&items[i])); err != nil {
			return err
		}
		n.out = closeLength(n.out, at)
		if !stays {
			n.out = n.out[:mark]
		}
	}
	return nil
}

// key returns the key of an entry in its one form.
func (n *normaliser) key(f *fieldPlan, b []byte) ([]byte, error) {
	var key []byte
	found := false
	err := eachOf(b, 1, f.typ, func(value []byte) error {
		key, found = value, true
		if f.utf8 && !utf8.Valid(value) {
			return newError(n.offset(value), "map key is not valid UTF-8")
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case found && f.op <= lastVarint:
		v, _ := protowire.ConsumeVarint(key)
		return protowire.AppendVarint(nil, narrow(f.op, v)), nil
	case found || f.op == opString:
		return key, nil
	case f.op <= lastVarint:
		return []byte{0}, nil
	case f.typ == protowire.Fixed32Type:
		return make([]byte, 4), nil
	}
	return make([]byte, 8), nil
}

// narrow cuts a varint to the bits that its kind has.
func narrow(o op, v uint64) uint64 {
	switch o {
	case opBool:
		if v != 0 {
			return 1
		}
		return 0
	case opInt32:
		return uint64(int64(int32(v)))
	case opUint32, opSint32:
		return uint64(uint32(v))
	}
	return v
}

// entryValue writes the value of an entry: the last scalar, or all messages
// merged.
func (n *normaliser) entryValue(f *fieldPlan, b []byte) error {
	base := len(n.parts)
	err := eachOf(b, 2, f.typ, func(value []byte) error {
		if f.utf8 && !utf8.Valid(value) {
			return newError(n.offset(value), "string is not valid UTF-8")
		}
		n.parts = append(n.parts, value)
		return nil
	})
	parts := n.parts[base:]
	switch {
	case err != nil || len(parts) == 0:
	case f.op == opMessage:
		err = n.submessage(f, parts)
	default:
		n.scalar(f, parts[len(parts)-1])
	}
	n.parts = n.parts[:base]
	return err
}

// eachOf calls fn with each value of one field of a map entry; of a string
// without its length.
func eachOf(b []byte, num protowire.Number, typ protowire.Type, fn func(value []byte) error) error {
	for len(b) > 0 {
		got, gotType, n := tagOf(b)
		length := -1
		if n > 0 && got > 0 {
			length = protowire.ConsumeFieldValue(got, gotType, b[n:])
		}
		if length < 0 {
			return newError(-1, "malformed wire data in a map entry")
		}
		value := b[n : n+length]
		b = b[n+length:]
		if got != num || gotType != typ {
			continue
		}
		if typ == protowire.BytesType {
			value, _, _ = bytesIn(value)
		}
		if err := fn(value); err != nil {
			return err
		}
	}
	return nil
}
