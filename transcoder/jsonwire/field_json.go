package jsonwire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// only returns a plan of the same message that knows just one field, written
// without its key.
func (p *Plan) only(f *fieldPlan) *Plan {
	bare := &fieldPlan{
		wireForm: f.wireForm, presence: presence{oneof: -1, mark: 1}, jsonForm: jsonForm{null: f.null},
		desc: f.desc, plans: f.plans, enum: f.enum, mapKey: f.mapKey, mapVal: f.mapVal, texts: f.texts,
	}
	bare.simple = false
	if opening := bare.opening(); opening != "" {
		bare.opened = [2]fixedText{*newFixedText(opening), *newFixedText(opening)}
	}
	q := &Plan{plans: p.plans, desc: p.desc, fields: []*fieldPlan{bare}, bits: 1}
	q.sparse = map[protowire.Number]*fieldPlan{f.num: bare}
	q.extensions.Store(&extensionTable{})
	return q
}

// AppendJSON appends the bare value that the field has in the whole root message
// in wire format: what response_body asks for. An empty list is [], an empty map
// {}, a scalar that is not set its default; a message or optional field that is not
// set is null. A field of [Plan.Answer] is ready for it; another one is prepared
// each time. On an error, of type *[Error] or *[TooLargeError], it returns dst as it
// was.
func (f *Field) AppendJSON(dst, message []byte, o Output) ([]byte, error) {
	message, alone, err := f.holder(message)
	if err != nil {
		return dst, err
	}
	e := newEncoder(f.root.plans, message, o)
	e.field = f
	return e.whole(dst, alone)
}

// Convert is AppendJSON for a value of any length, as [Plan.Convert] is.
func (f *Field) Convert(dst, message []byte, o Output) ([]byte, *Long, error) {
	message, alone, err := f.holder(message)
	if err != nil {
		return dst, nil, err
	}
	e := newEncoder(f.root.plans, message, o)
	e.field = f
	return e.measured(dst, alone)
}

// holder returns the message, in the whole root message, that holds the field, and
// its plan with that field alone.
func (f *Field) holder(message []byte) ([]byte, *Plan, error) {
	at := f.root
	for _, parent := range f.parents {
		var err error
		if message, err = contents(message, at, parent); err != nil {
			return nil, nil, below(err, f.Path())
		}
		at = parent.message()
	}
	if f.leaf.oneof >= 0 {
		replaced, err := isReplaced(message, at, f.leaf)
		if err != nil {
			return nil, nil, below(err, f.Path())
		}
		if replaced {
			message = nil
		}
	}
	if f.alone != nil {
		return message, f.alone, nil
	}
	return message, at.only(f.leaf), nil
}

func (f *Field) appendUnset(dst []byte, o Output) []byte {
	leaf := f.leaf
	if leaf.card == single && leaf.desc.HasPresence() && !leaf.desc.HasDefault() {
		return append(dst, "null"...)
	}
	if leaf.card == single && (o.EnumNumbers && leaf.op == opEnum || o.Int64Numbers && leaf.op.is64()) {
		return append(dst, leaf.desc.Default().String()...)
	}
	return append(dst, leaf.defaultText()...)
}

// each calls fn with the wire type and value of each field in b of a number that
// is in the message.
func each(b []byte, p *Plan, fn func(f *fieldPlan, value []byte)) error {
	whole := b
	for len(b) > 0 {
		num, typ, n := tagOf(b)
		length := -1
		if n > 0 && num > 0 {
			length = protowire.ConsumeFieldValue(num, typ, b[n:])
		}
		if length < 0 {
			return newError(len(whole)-len(b), "malformed wire data")
		}
		value := b[n : n+length]
		b = b[n+length:]
		if f := p.field(num); f != nil && f.typ == typ {
			fn(f, value)
		}
	}
	return nil
}

// contents returns what the singular message field f of p holds, merged.
func contents(b []byte, p *Plan, f *fieldPlan) ([]byte, error) {
	var found []byte
	times := 0
	err := each(b, p, func(g *fieldPlan, value []byte) {
		switch {
		case g == f:
			if f.op == opGroup {
				value, _ = protowire.ConsumeGroup(f.num, value)
			} else {
				value, _, _ = bytesIn(value)
			}
			times++
			if times == 1 {
				found = value
				return
			}
			found = append(found[:len(found):len(found)], value...)
		case f.oneof >= 0 && g.oneof == f.oneof:
			found, times = nil, 0
		}
	})
	return found, err
}

// isReplaced reports whether another member of f's oneof comes after f.
func isReplaced(b []byte, p *Plan, f *fieldPlan) (bool, error) {
	replaced := false
	err := each(b, p, func(g *fieldPlan, _ []byte) {
		if g.oneof == f.oneof {
			replaced = g != f
		}
	})
	return replaced, err
}
