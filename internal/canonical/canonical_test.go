package canonical_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/canonical"
)

// all has each kind of field that there is, in each syntax.
var all = map[string]string{
	"three.proto": `syntax = "proto3"; package t;
message Three {
  double f1 = 1; float f2 = 2; int32 f3 = 3; int64 f4 = 4; uint32 f5 = 5; uint64 f6 = 6; sint32 f7 = 7; sint64 f8 = 8;
  fixed32 f9 = 9; fixed64 f10 = 10; sfixed32 f11 = 11; sfixed64 f12 = 12; bool f13 = 13; string f14 = 14; bytes f15 = 15;
  enum E { ZERO = 0; ONE = 1; }
  E f16 = 16; Three self = 17; optional int32 f18 = 18; optional string f19 = 19;
  repeated double r1 = 21; repeated int32 r3 = 23; repeated sint32 r7 = 27; repeated fixed32 r9 = 29; repeated bool r13 = 33;
  repeated string r14 = 34; repeated bytes r15 = 35; repeated E r16 = 36; repeated Three selves = 37;
  repeated uint64 u1 = 41 [packed = false]; repeated fixed64 u2 = 42 [packed = false];
  map<int32, string> m1 = 51; map<string, Three> m2 = 52; map<bool, double> m3 = 53; map<sint64, E> m4 = 54; map<fixed32, bytes> m5 = 55; map<uint64, int32> m6 = 1000;
  oneof one { int32 o1 = 61; string o2 = 62; Three o3 = 63; E o4 = 64; }
  oneof other { Three p1 = 65; bytes p2 = 300; }
  string far = 70000;
}`,
	"two.proto": `syntax = "proto2"; package t; import "three.proto";
message Two {
  optional int32 f1 = 1; required string f2 = 2; optional bool f3 = 3 [default = true];
  optional group G = 4 { optional int32 a = 1; repeated int32 b = 2 [packed = true]; optional Two self = 3; }
  repeated group H = 5 { optional bytes a = 1; }
  repeated int64 r1 = 6; repeated float r2 = 7 [packed = true];
  optional Three three = 8;
  oneof one { group I = 9 { optional int32 a = 1; } sint32 o2 = 10; }
  map<string, Two> m = 11;
  extensions 100 to 200;
}`,
}

// descriptors are those of Three and Two.
func descriptors(t testing.TB) []protoreflect.MessageDescriptor {
	t.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(all)}}
	files, err := c.Compile(context.Background(), "three.proto", "two.proto")
	if err != nil {
		t.Fatal(err)
	}
	return []protoreflect.MessageDescriptor{
		files.FindFileByPath("three.proto").Messages().ByName("Three"), files.FindFileByPath("two.proto").Messages().ByName("Two"),
	}
}

// field writes a field.
func field(number protowire.Number, value any) []byte {
	switch v := value.(type) {
	case int:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), uint64(v))
	case string:
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), v)
	case []byte:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), v)
	}
	panic("no value")
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestForm: Traffic 113: what the form is, and what has it already.
func TestForm(t *testing.T) {
	both := descriptors(t)
	three, two := canonical.New(both[0]), canonical.New(both[1])
	deep := func(n int) (m []byte) {
		for range n {
			m = field(17, m)
		}
		return m
	}
	for _, test := range []struct {
		name     string
		form     *canonical.Form
		in, want []byte // want nil: in is what is wanted
	}{
		{"empty", three, nil, nil},
		{"fields by number", three, join(field(3, 1), field(14, "a"), field(17, field(3, 2)), field(61, 0)), nil},
		{"fields in disorder", three, join(field(14, "a"), field(3, 1)), join(field(3, 1), field(14, "a"))},
		{"zero", three, join(field(3, 0), field(14, ""), field(15, ""), field(13, 0), field(16, 0), []byte{9<<3 | 5, 0, 0, 0, 0}), []byte{}},
		{"zero of a varint", three, field(3, 0), []byte{}},
		{"zero of a fixed number, behind others", three, join(field(3, 1), []byte{9<<3 | 5, 0, 0, 0, 0}), field(3, 1)},
		{"a text of nothing", three, field(14, ""), []byte{}},
		{"zero in another message", three, field(17, field(3, 0)), field(17, "")},
		{"zero with presence", three, join(field(18, 0), field(19, "")), nil},
		{"minus zero", three, []byte{1<<3 | 1, 0, 0, 0, 0, 0, 0, 0, 0x80}, nil},
		{"two of a scalar", three, join(field(3, 1), field(3, 2)), field(3, 2)},
		{"two of a scalar, the last one is zero", three, join(field(3, 1), field(3, 0)), []byte{}},
		{"a message in pieces", three, join(field(17, field(3, 1)), field(17, join(field(14, "a"), field(3, 2)))), field(17, join(field(3, 2), field(14, "a")))},
		{"a message in pieces, apart", three, join(field(17, field(14, "a")), field(18, 1), field(17, field(3, 1))), join(field(17, join(field(3, 1), field(14, "a"))), field(18, 1))},
		{"an empty message", three, field(17, ""), nil},
		{"a list, packed", three, field(23, []byte{1, 2, 0}), nil},
		{"a list, not packed", three, join(field(23, 1), field(23, 2)), field(23, []byte{1, 2})},
		{"a list, in pieces", three, join(field(23, []byte{1}), field(23, 2), field(23, []byte{3, 4})), field(23, []byte{1, 2, 3, 4})},
		{"a list of none", three, field(23, []byte{}), []byte{}},
		{"a list that is not to be packed", three, field(41, []byte{1, 2}), join(field(41, 1), field(41, 2))},
		{"a long list", three, bytes.Repeat(field(23, 1), 300), field(23, bytes.Repeat([]byte{1}, 300))},
		{"a list of strings", three, join(field(34, "b"), field(34, ""), field(34, "a")), nil},
		{"a map", three, join(field(51, join(field(1, 1), field(2, "a"))), field(51, join(field(1, 2), field(2, "b")))), nil},
		{"a map in disorder", three, join(field(51, join(field(1, 2), field(2, "b"))), field(51, join(field(1, 1), field(2, "a")))), join(field(51, join(field(1, 1), field(2, "a"))), field(51, join(field(1, 2), field(2, "b"))))},
		{"a key twice", three, join(field(51, join(field(1, 1), field(2, "a"))), field(51, join(field(1, 1), field(2, "b")))), field(51, join(field(1, 1), field(2, "b")))},
		{"an entry without key and value", three, field(52, ""), field(52, join(field(1, ""), field(2, "")))},
		{"an entry in disorder, with more", three, field(51, join(field(2, "a"), field(3, 1), field(1, 7))), field(51, join(field(1, 7), field(2, "a")))},
		{"members of a oneof", three, join(field(61, 1), field(62, "a")), field(62, "a")},
		{"members of a oneof, merged", three, join(field(63, field(3, 1)), field(63, field(4, 1))), field(63, join(field(3, 1), field(4, 1)))},
		{"members of a oneof, not merged", three, join(field(63, field(3, 1)), field(61, 1), field(63, field(4, 1))), field(63, field(4, 1))},
		{"a varint that is too long", three, []byte{4 << 3, 0x81, 0}, field(4, 1)},
		{"a tag that is too long", three, []byte{0xa0, 0, 1}, field(4, 1)},
		{"a length that is too long", three, []byte{14<<3 | 2, 0x81, 0, 'a'}, field(14, "a")},
		{"int32 beyond its range", three, field(3, 1<<32|5), field(3, 5)},
		{"uint32 beyond its range", three, field(5, 1<<32|5), field(5, 5)},
		{"int32 below zero", three, field(3, -1), nil},
		{"int32 below zero, in five bytes", three, []byte{3 << 3, 0xff, 0xff, 0xff, 0xff, 0x0f}, field(3, -1)},
		{"a bool of 2", three, field(13, 2), field(13, 1)},
		{"unknown behind", three, join(field(3, 1), field(2000, "x"), field(99, 1)), nil},
		{"unknown in between", three, join(field(99, 1), field(3, 1), field(98, 1), field(14, "a")), join(field(3, 1), field(14, "a"), field(99, 1), field(98, 1))},
		{"another wire type", three, join(field(3, "x"), field(4, 1)), join(field(4, 1), field(3, "x"))},
		{"groups", two, []byte{4<<3 | 3, 1 << 3, 7, 4<<3 | 4, 5<<3 | 3, 5<<3 | 4, 5<<3 | 3, 5<<3 | 4}, nil},
		{"a group in pieces", two, []byte{4<<3 | 3, 1 << 3, 7, 4<<3 | 4, 4<<3 | 3, 1 << 3, 8, 4<<3 | 4}, []byte{4<<3 | 3, 1 << 3, 8, 4<<3 | 4}},
		{"deep", three, deep(100), nil},
		{"a long message", three, field(17, join(field(15, strings.Repeat("x", 1000)), field(3, 1))), field(17, join(field(3, 1), field(15, strings.Repeat("x", 1000))))},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			if want == nil {
				want = test.in
			}
			got, err := test.form.Append(nil, test.in)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%x, %v, want %x", got, err, want)
			}
			if test.want == nil && len(got) > 0 && &got[0] != &test.in[0] {
				t.Error("it is copied")
			}
			again, err := test.form.Append(nil, got)
			if err != nil || len(got) > 0 && &again[0] != &got[0] {
				t.Errorf("what has the form is copied: %x, %v", again, err)
			}
			behind, err := test.form.Append([]byte("before"), test.in)
			if test.want != nil && (err != nil || string(behind) != "before"+string(want)) {
				t.Errorf("behind something: %x, %v", behind, err)
			}
		})
	}
	for _, test := range []struct {
		name string
		in   []byte
		want error
	}{
		{"a tag that is cut", []byte{0x80}, canonical.ErrSyntax},
		{"the number 0", []byte{0}, canonical.ErrSyntax},
		{"a value that is cut", []byte{4 << 3}, canonical.ErrSyntax},
		{"a length beyond the end", []byte{14<<3 | 2, 5, 'a'}, canonical.ErrSyntax},
		{"within a message", field(17, []byte{0x80}), canonical.ErrSyntax},
		{"within a message, in disorder", join(field(18, 1), field(17, []byte{0x80})), canonical.ErrSyntax},
		{"within a packed list", field(23, []byte{0x80}), canonical.ErrSyntax},
		{"within an entry", field(51, []byte{0x80}), canonical.ErrSyntax},
		{"a group without end", []byte{98<<3&0x7f | 0x80 | 3, 6}, canonical.ErrSyntax},
		{"too deep", deep(101), canonical.ErrDepth},
		{"too deep, in disorder", join(field(18, 1), deep(101)), canonical.ErrDepth},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := three.Append(nil, test.in); !errors.Is(err, test.want) {
				t.Errorf("%x, %v, want %v", got, err, test.want)
			}
		})
	}
}

// TestNothingIsCopied: Traffic 113: what has the form costs no allocation.
func TestNothingIsCopied(t *testing.T) {
	form := canonical.New(descriptors(t)[0])
	m := join(field(3, 1), field(14, "a"), field(17, field(3, 2)), field(23, []byte{1, 2}), field(51, join(field(1, 1), field(2, "a"))), field(61, 0))
	if n := testing.AllocsPerRun(100, func() {
		if got, err := form.Append(nil, m); err != nil || &got[0] != &m[0] {
			t.Error(got, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// disorder writes a message in another way: fields in another order, in more pieces, with
// values before them that do not count.
func disorder(r *rand.Rand, md protoreflect.MessageDescriptor, m []byte) []byte {
	var pieces [][]byte
	for len(m) > 0 {
		number, t, n := protowire.ConsumeField(m)
		if n < 0 {
			return nil
		}
		pieces = append(pieces, vary(r, md.Fields().ByNumber(number), t, m[:n])...)
		m = m[n:]
	}
	// Any two that are of one field keep their order, as do members of one oneof and what is unknown.
	group := func(b []byte) int {
		number, _, _ := protowire.ConsumeTag(b)
		fd := md.Fields().ByNumber(number)
		if fd == nil {
			return -1
		}
		if o := fd.ContainingOneof(); o != nil {
			return -2 - o.Index()
		}
		return int(number)
	}
	for range len(pieces) * 2 {
		if len(pieces) < 2 {
			break
		}
		i := r.IntN(len(pieces) - 1)
		if group(pieces[i]) != group(pieces[i+1]) {
			pieces[i], pieces[i+1] = pieces[i+1], pieces[i]
		}
	}
	return join(pieces...)
}

// vary writes a field in another way.
func vary(r *rand.Rand, fd protoreflect.FieldDescriptor, t protowire.Type, raw []byte) [][]byte {
	if fd == nil || r.IntN(2) == 0 {
		return [][]byte{raw}
	}
	_, _, n := protowire.ConsumeTag(raw)
	switch {
	case fd.IsMap():
		return [][]byte{raw}
	case fd.IsList() && t == protowire.BytesType && fd.Kind() == protoreflect.Int32Kind:
		packed, _ := protowire.ConsumeBytes(raw[n:])
		var pieces [][]byte
		for len(packed) > 0 {
			v, n := protowire.ConsumeVarint(packed)
			pieces = append(pieces, field(fd.Number(), int(v)))
			packed = packed[n:]
		}
		return pieces
	case fd.Kind() == protoreflect.MessageKind && !fd.IsList():
		inner, _ := protowire.ConsumeBytes(raw[n:])
		if inner = disorder(r, fd.Message(), inner); len(inner) > 0 {
			_, _, first := protowire.ConsumeField(inner)
			return [][]byte{field(fd.Number(), inner[:first]), field(fd.Number(), inner[first:])}
		}
	case fd.Kind() == protoreflect.Int32Kind && !fd.IsList():
		return [][]byte{field(fd.Number(), 12345), raw}
	}
	return [][]byte{raw}
}

// TestDisorder: Traffic 113: the form is the same in whatever way a message is written.
func TestDisorder(t *testing.T) {
	for _, md := range descriptors(t) {
		form := canonical.New(md)
		r := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			m := dynamicpb.NewMessage(md)
			fill(r, m, 3)
			raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			want, err := form.Append(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			other := disorder(r, md, raw)
			if got, err := form.Append(nil, other); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%x is %x, %v; %x is %x", raw, want, err, other, got)
			}
		}
	}
}

// fill sets fields at random.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for range r.IntN(8) {
		fd := fields.Get(r.IntN(fields.Len()))
		if depth == 0 && fd.Message() != nil {
			continue
		}
		switch {
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for range r.IntN(4) {
				v := entries.NewValue()
				if fd.MapValue().Message() != nil {
					fill(r, v.Message(), depth-1)
				} else {
					v = scalar(r, fd.MapValue())
				}
				entries.Set(scalar(r, fd.MapKey()).MapKey(), v)
			}
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range r.IntN(4) {
				if fd.Message() != nil {
					fill(r, list.AppendMutable().Message(), depth-1)
				} else {
					list.Append(scalar(r, fd))
				}
			}
		case fd.Message() != nil:
			fill(r, m.Mutable(fd).Message(), depth-1)
		default:
			m.Set(fd, scalar(r, fd))
		}
	}
	if r.IntN(4) == 0 {
		m.SetUnknown(field(9999, r.IntN(3)))
	}
}

// scalar is a value at random.
func scalar(r *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	n := r.IntN(7) - 3
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n > 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("é", n+3))
	}
	return protoreflect.ValueOfBytes(bytes.Repeat([]byte{0xff}, n+3))
}

// FuzzAppend: Traffic 113: what protobuf-go reads as one message has one form, which says
// the same.
func FuzzAppend(f *testing.F) {
	both := descriptors(f)
	forms := []*canonical.Form{canonical.New(both[0]), canonical.New(both[1])}
	r := rand.New(rand.NewPCG(3, 4))
	for i, md := range both {
		for range 20 {
			m := dynamicpb.NewMessage(md)
			fill(r, m, 3)
			raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(disorder(r, md, raw), i == 0)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, first bool) {
		i := 0
		if !first {
			i = 1
		}
		got, err := forms[i].Append(nil, raw)
		if errors.Is(err, canonical.ErrDepth) {
			return
		}
		m, theirs := read(both[i], raw)
		if theirs != nil {
			return // such as by text that is not UTF-8, which has a form nevertheless
		}
		if err != nil {
			t.Fatalf("%x: %v; they read %v", raw, err, m)
		}
		if same, err := read(both[i], got); err != nil || !equal(m, same) {
			t.Fatalf("%x says %v, its form %x %v, %v", raw, m, got, same, err)
		}
		again, err := forms[i].Append(nil, got)
		if err != nil || len(got) > 0 && &again[0] != &got[0] {
			t.Fatalf("%x: the form of the form %x is %x, %v", raw, got, again, err)
		}
		other, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := forms[i].Append(nil, other); err != nil || !bytes.Equal(theirs, got) {
			t.Fatalf("%x has the form %x; as they write it, %x, %x, %v", raw, got, other, theirs, err)
		}
	})
}

// read reads a message by protobuf-go, which panics on some that no serialiser writes.
func read(md protoreflect.MessageDescriptor, raw []byte) (m *dynamicpb.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	m = dynamicpb.NewMessage(md)
	return m, proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(raw, m)
}

// equal is proto.Equal, for which a NaN is itself.
func equal(a, b proto.Message) bool {
	x, err1 := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(a)
	y, err2 := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// BenchmarkAppend is a small message that has the form.
func BenchmarkAppend(b *testing.B) {
	form := canonical.New(descriptors(b)[0])
	m := join(field(3, 1), field(14, "shelves/1/books/2"), field(17, field(3, 2)), field(23, []byte{1, 2}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := form.Append(nil, m); err != nil {
			b.Fatal(err)
		}
	}
}
