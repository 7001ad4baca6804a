package projection

import (
	"bytes"
	"encoding/hex"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Errors of messages.
var (
	ErrSyntax = errors.New("projection: no message in wire format")
	ErrDepth  = errors.New("projection: messages are nested more than 100 deep")
)

// filter is what stays of one message in wire format.
type filter struct {
	fields map[protowire.Number]kept
	any    bool // it is an Any
}

// kept is a field that stays.
type kept struct {
	kind   protowire.Type
	packed bool    // it may be packed, too
	inner  *filter // of a message; nil for another value
	hashed bool
}

// is reports whether a value on the wire is one of the field.
func (k *kept) is(kind protowire.Type) bool {
	return kind == k.kind || k.packed && kind == protowire.BytesType
}

// newFilter makes the filter of a view.
func (p *Projection) newFilter(m protoreflect.MessageDescriptor, done map[protoreflect.MessageDescriptor]*filter) *filter {
	if f := done[m]; f != nil {
		return f
	}
	made := &filter{fields: map[protowire.Number]kept{}, any: m.FullName() == "google.protobuf.Any"}
	done[m] = made
	p.rewrites = p.rewrites || made.any
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		k := kept{kind: wireType(f.Kind())}
		k.packed = f.IsList() && k.kind != protowire.BytesType && k.kind != protowire.StartGroupType
		switch own, _ := f.(*viewField); {
		case own != nil && own.hashed:
			k.hashed, p.rewrites = true, true
		case f.IsMap():
			k.inner = p.newEntry(f, done)
		case f.Message() != nil:
			k.inner = p.newFilter(f.Message(), done)
		}
		made.fields[f.Number()] = k
	}
	return made
}

// newEntry makes the filter of the entries of a map.
func (p *Projection) newEntry(f protoreflect.FieldDescriptor, done map[protoreflect.MessageDescriptor]*filter) *filter {
	value := kept{kind: wireType(f.MapValue().Kind())}
	if m := f.MapValue().Message(); m != nil {
		value.inner = p.newFilter(m, done)
	}
	return &filter{fields: map[protowire.Number]kept{1: {kind: wireType(f.MapKey().Kind())}, 2: value}}
}

// wireType is how values of a kind are written.
func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	}
	return protowire.VarintType
}

// Append appends what stays of a message, in the order in which it came. The error is ErrSyntax
// or ErrDepth.
func (p *Projection) Append(dst, message []byte) ([]byte, error) {
	return p.appendTo(dst, p.filter, message, 0)
}

// appendTo appends what stays of a message.
func (p *Projection) appendTo(dst []byte, f *filter, message []byte, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return dst, ErrDepth
	}
	if f.any {
		return p.addAny(dst, message, depth)
	}
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return dst, ErrSyntax
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 {
			return dst, ErrSyntax
		}
		whole := message[:tag+size]
		message = message[tag+size:]
		k, stays := f.fields[number]
		var err error
		switch {
		case !stays || !k.is(kind):
		case k.hashed:
			dst = p.addHash(protowire.AppendTag(dst, number, kind), whole[tag:])
		case k.inner == nil:
			dst = append(dst, whole...)
		case kind == protowire.StartGroupType:
			text, _ := protowire.ConsumeGroup(number, whole[tag:])
			dst, err = p.appendTo(protowire.AppendTag(dst, number, kind), k.inner, text, depth+1)
			dst = protowire.AppendTag(dst, number, protowire.EndGroupType)
		default:
			text, _ := protowire.ConsumeBytes(whole[tag:])
			dst, err = p.addInner(protowire.AppendTag(dst, number, kind), k.inner, text, depth+1)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// addInner appends a message with its length before it.
func (p *Projection) addInner(dst []byte, f *filter, message []byte, depth int) ([]byte, error) {
	at := len(dst)
	dst, err := p.appendTo(dst, f, message, depth)
	if err != nil {
		return dst, err
	}
	return lengthen(dst, at), nil
}

// lengthen puts the length of what stands behind at before it.
func lengthen(dst []byte, at int) []byte {
	size := len(dst) - at
	n := protowire.SizeVarint(uint64(size))
	for range n {
		dst = append(dst, 0)
	}
	copy(dst[at+n:], dst[at:at+size])
	protowire.AppendVarint(dst[:at], uint64(size))
	return dst
}

// addHash appends the hash of a text or bytes, with its length.
func (p *Projection) addHash(dst, value []byte) []byte {
	text, _ := protowire.ConsumeBytes(value)
	h := p.hmacOf()
	_, _ = h.Write(text) // a hash takes all
	var sum [64]byte
	digest := h.Sum(sum[:0])
	p.hashes.Put(h)
	dst = protowire.AppendVarint(dst, uint64(hex.EncodedLen(len(digest))))
	return hex.AppendEncode(dst, digest)
}

// addAny appends an Any, with what stays of the message in it, if that is known, and else with
// its URL alone.
func (p *Projection) addAny(dst, message []byte, depth int) ([]byte, error) {
	var url, value []byte
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return dst, ErrSyntax
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 {
			return dst, ErrSyntax
		}
		if kind == protowire.BytesType && number <= 2 {
			text, _ := protowire.ConsumeBytes(message[tag:])
			if number == 1 {
				url = text
			} else {
				value = text
			}
		}
		message = message[tag+size:]
	}
	if len(url) == 0 {
		return dst, nil
	}
	dst = protowire.AppendBytes(protowire.AppendTag(dst, 1, protowire.BytesType), url)
	f := p.innerOf(url)
	if f == nil || len(value) == 0 {
		return dst, nil
	}
	before := len(dst)
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	at := len(dst)
	dst, err := p.appendTo(dst, f, value, depth+1)
	switch {
	case errors.Is(err, ErrSyntax): // it is not what it says
		return dst[:before], nil
	case err != nil:
		return dst, err
	case len(dst) == at:
		return dst[:before], nil
	}
	return lengthen(dst, at), nil
}

// innerOf is the filter of what an Any names; nil for what is not known.
func (p *Projection) innerOf(url []byte) *filter {
	name := url[bytes.LastIndexByte(url, '/')+1:]
	if f, ok := p.inner.Load(string(name)); ok {
		return f.(*filter) //nolint:forcetypeassert // nothing else is stored
	}
	full := protoreflect.FullName(name)
	if !full.IsValid() {
		return nil
	}
	m, err := p.FindMessageByName(full)
	if err != nil {
		return nil // there is no end of names that nobody knows
	}
	f := (&Projection{}).newFilter(m, map[protoreflect.MessageDescriptor]*filter{})
	p.inner.Store(string(full), f)
	return f
}
