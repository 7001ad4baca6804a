package jsonwire_test

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// random writes wire data of a message that parsers accept more often than not,
// in any order and as often as it likes.
type random struct {
	*rand.Rand
	// exts are the extensions of each message.
	exts map[protoreflect.FullName][]protoreflect.ExtensionDescriptor
}

func newRandom(t *testing.T, ref *reference) *random {
	r := &random{Rand: rand.New(rand.NewPCG(1, 2)), exts: map[protoreflect.FullName][]protoreflect.ExtensionDescriptor{}}
	for _, name := range []protoreflect.FullName{
		"two.extra", "two.extras", "two.extra_two", "two.extragroup", "two.extra_packed", "two.Holder.held",
		"between.lowest", "between.ten", "between.twelve", "between.twenty", "between.inner", "between.highest", "between.in_part",
	} {
		x, err := ref.types.FindExtensionByName(name)
		if err != nil {
			t.Fatal(err)
		}
		of := x.TypeDescriptor().ContainingMessage().FullName()
		r.exts[of] = append(r.exts[of], x.TypeDescriptor())
	}
	return r
}

func (r *random) message(out []byte, d protoreflect.MessageDescriptor, depth int) []byte {
	if depth > 4 {
		return out
	}
	fields := d.Fields()
	for range r.IntN(6) {
		if fields.Len() == 0 || r.IntN(30) == 0 {
			out = protowire.AppendTag(out, protowire.Number(r.IntN(70)+1), protowire.VarintType) // often unknown
			out = protowire.AppendVarint(out, r.varint())
			continue
		}
		f := fields.Get(r.IntN(fields.Len()))
		if exts := r.exts[d.FullName()]; len(exts) > 0 && r.IntN(5) < 2 {
			f = exts[r.IntN(len(exts))]
		}
		for range 1 + r.IntN(2) {
			out = r.field(out, f, depth)
		}
	}
	return out
}

func (r *random) varint() uint64 {
	switch r.IntN(4) {
	case 0:
		return 0
	case 1:
		return r.Uint64()
	}
	return r.Uint64N(10)
}

var texts = []string{"", "a", "b", "plain text of some length", "é€😀", "\x00\"\\\n\x1f\x7f", "\xff", "fooBar", "foo_bar.baz", "long enough to need é twice over 012345678901234567890123456789"}

var maskPaths = []string{"foo_bar.baz", "foo", "foo_bar.baz", "a.b_c.d", "*", "fooBar", "a__b"}

var urls = []string{"x/transom.jsonwire.test.Book", "google.protobuf.Duration", "google.protobuf.Any", "two.Two", "none", "google.protobuf.Empty", "x/transom.jsonwire.test.Everything", "google.protobuf.Value", "between.Between"}

func (r *random) field(out []byte, f protoreflect.FieldDescriptor, depth int) []byte {
	n := f.Number()
	switch f.Kind() {
	case protoreflect.GroupKind:
		out = protowire.AppendTag(out, n, protowire.StartGroupType)
		out = r.message(out, f.Message(), depth+1)
		return protowire.AppendTag(out, n, protowire.EndGroupType)
	case protoreflect.MessageKind:
		out = protowire.AppendTag(out, n, protowire.BytesType)
		return protowire.AppendBytes(out, r.message(nil, f.Message(), depth+1))
	case protoreflect.StringKind:
		out = protowire.AppendTag(out, n, protowire.BytesType)
		if f.FullName() == "google.protobuf.Any.type_url" {
			return protowire.AppendString(out, urls[r.IntN(len(urls))])
		}
		if f.FullName() == "google.protobuf.FieldMask.paths" {
			return protowire.AppendString(out, maskPaths[r.IntN(len(maskPaths))])
		}
		text := texts[r.IntN(len(texts))]
		if text == "\xff" && r.IntN(8) > 0 {
			text = "x"
		}
		return protowire.AppendString(out, text)
	case protoreflect.BytesKind:
		out = protowire.AppendTag(out, n, protowire.BytesType)
		return protowire.AppendString(out, texts[r.IntN(len(texts))])
	}
	if f.IsList() && r.IntN(2) == 0 {
		var chunk []byte
		for range r.IntN(4) {
			chunk = r.scalar(chunk, f)
		}
		out = protowire.AppendTag(out, n, protowire.BytesType)
		return protowire.AppendBytes(out, chunk)
	}
	out = protowire.AppendTag(out, n, scalarType(f.Kind()))
	return r.scalar(out, f)
}

func scalarType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}

func (r *random) scalar(out []byte, f protoreflect.FieldDescriptor) []byte {
	v := r.varint()
	switch scalarType(f.Kind()) {
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(out, uint32(v))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(out, v)
	}
	return protowire.AppendVarint(out, v)
}

// differentialNames are the messages that are compared with protojson.
var differentialNames = []protoreflect.FullName{
	"transom.jsonwire.test.Everything", "transom.jsonwire.test.Book", "two.Two", "edition.Edition", "many.Many",
	"google.protobuf.Struct", "google.protobuf.Any", "google.protobuf.Value", "google.protobuf.Timestamp",
	"google.protobuf.FieldMask", "google.protobuf.Int64Value", "google.protobuf.ListValue", "between.Between",
	"between.Shuffled",
}

// TestWireDifferential compares wire → JSON with protojson on data in any order,
// with fields that come twice, interleaved lists, several members of a oneof and
// keys of a map, unknown fields, missing required ones.
//
//transom:norace
func TestWireDifferential(t *testing.T) {
	ref, find := compiled(t)
	r := newRandom(t, ref)
	accepted := 0
	for _, name := range differentialNames {
		d := find(name)
		runs := 1000
		if name == "many.Many" {
			runs = 150 // each is long
		}
		for range runs {
			wire := r.message(nil, d, 0)
			if r.IntN(20) == 0 && len(wire) > 0 {
				wire = wire[:r.IntN(len(wire))]
			}
			if err := ref.compareJSON(d, wire); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out, err := ref.plans.Message(d).AppendJSON(nil, wire, jsonwire.Output{})
			if err != nil {
				continue
			}
			accepted++
			if err := ref.compareWire(d, out, false); err != nil {
				t.Fatalf("%s: %s: %v", name, hex.EncodeToString(wire), err)
			}
		}
	}
	if accepted < 2000 {
		t.Errorf("only %d random messages were accepted", accepted)
	}
}
