package projection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// copyMasked copies the fields of paths, as slowly as can be.
func copyMasked(to, from protoreflect.Message, paths []string) {
	all := slices.Contains(paths, "*")
	from.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		var below []string
		whole := all
		for _, path := range paths {
			name, rest, more := strings.Cut(path, ".")
			if name != string(f.Name()) {
				continue
			}
			if more {
				below = append(below, rest)
			} else {
				whole = true
			}
		}
		if whole {
			below = []string{"*"}
		}
		if below == nil || Sensitive(f) {
			return true
		}
		copyField(to, f, v, below)
		return true
	})
}

func copyField(to protoreflect.Message, f protoreflect.FieldDescriptor, v protoreflect.Value, below []string) {
	switch {
	case f.IsMap():
		m := to.Mutable(f).Map()
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			m.Set(k, masked(f.MapValue(), v, below))
			return true
		})
	case f.IsList():
		l := to.Mutable(f).List()
		for i := range v.List().Len() {
			l.Append(masked(f, v.List().Get(i), below))
		}
	default:
		to.Set(f, masked(f, v, below))
	}
}

func masked(f protoreflect.FieldDescriptor, v protoreflect.Value, below []string) protoreflect.Value {
	switch {
	case f.Message() == nil:
		return v
	case f.Message().FullName() == "google.protobuf.Any":
		return protoreflect.ValueOfMessage(maskedAny(v.Message()))
	}
	m := dynamicpb.NewMessage(f.Message())
	copyMasked(m, v.Message(), below)
	return protoreflect.ValueOfMessage(m)
}

func maskedAny(a protoreflect.Message) protoreflect.Message {
	m := dynamicpb.NewMessage(a.Descriptor())
	url, value := a.Descriptor().Fields().ByNumber(1), a.Descriptor().Fields().ByNumber(2)
	if a.Get(url).String() == "" {
		return m
	}
	m.Set(url, a.Get(url))
	book := anyBook
	if !strings.HasSuffix(a.Get(url).String(), "/"+string(book.FullName())) {
		return m
	}
	whole, less := dynamicpb.NewMessage(book), dynamicpb.NewMessage(book)
	if proto.Unmarshal(a.Get(value).Bytes(), whole) != nil {
		return m
	}
	copyMasked(less, whole, []string{"*"})
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(less)
	if err == nil && len(wire) > 0 {
		m.Set(value, protoreflect.ValueOfBytes(wire))
	}
	return m
}

// anyBook is what an Any of a random message holds.
var anyBook protoreflect.MessageDescriptor

// fill fills a message at random.
func fill(r *rand.Rand, m *dynamicpb.Message, depth int) {
	fields := m.Descriptor().Fields()
	anyBook = nil2(anyBook, m.Descriptor())
	for i := range fields.Len() {
		f := fields.Get(i)
		if r.IntN(3) > 0 {
			continue
		}
		switch {
		case f.IsMap():
			for range r.IntN(3) {
				if v, ok := value(r, m, f.MapValue(), depth); ok {
					m.Mutable(f).Map().Set(scalar(r, f.MapKey()).MapKey(), v)
				}
			}
		case f.IsList():
			for range r.IntN(3) {
				if v, ok := value(r, m, f, depth); ok {
					m.Mutable(f).List().Append(v)
				}
			}
		default:
			if v, ok := value(r, m, f, depth); ok {
				m.Set(f, v)
			}
		}
	}
}

func nil2(a, b protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
	if a == nil || b.FullName() == "projection.v1.Book" {
		return b
	}
	return a
}

func value(r *rand.Rand, of *dynamicpb.Message, f protoreflect.FieldDescriptor, depth int) (protoreflect.Value, bool) {
	d := f.Message()
	if d == nil {
		return scalar(r, f), true
	}
	if depth == 0 {
		return protoreflect.Value{}, false
	}
	m := dynamicpb.NewMessage(d)
	switch d.FullName() {
	case "google.protobuf.Any":
		inner := dynamicpb.NewMessage(of.Descriptor())
		fill(r, inner, min(depth-1, 1))
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(inner)
		if err != nil || len(wire) == 0 {
			return protoreflect.Value{}, false
		}
		m.Set(d.Fields().ByNumber(1), protoreflect.ValueOfString("x/"+string(of.Descriptor().FullName())))
		m.Set(d.Fields().ByNumber(2), protoreflect.ValueOfBytes(wire))
	case "google.protobuf.Timestamp":
		m.Set(d.Fields().ByNumber(1), protoreflect.ValueOfInt64(r.Int64N(1<<33)))
	case "google.protobuf.Struct":
		one := dynamicpb.NewMessage(d.Fields().ByNumber(1).MapValue().Message())
		one.Set(one.Descriptor().Fields().ByName("number_value"), protoreflect.ValueOfFloat64(r.Float64()))
		m.Mutable(d.Fields().ByNumber(1)).Map().Set(protoreflect.ValueOfString("a").MapKey(), protoreflect.ValueOfMessage(one))
	default:
		fill(r, m, depth-1)
	}
	return protoreflect.ValueOfMessage(m), true
}

func scalar(r *rand.Rand, f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.Int32N(3))) //nolint:gosec // small
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(r.Int32() - 1<<30)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(r.Int64() - 1<<62)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.Float64())
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(fmt.Sprint("é", r.IntN(100))))
	}
	return protoreflect.ValueOfString([]string{"", "a", "secret", "“", "\x00\""}[r.IntN(5)])
}
