package jsonwire_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// everythingPlan is the plan of testpb.Everything.
var everythingPlan = sync.OnceValue(func() *jsonwire.Plan {
	return jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes}).Message((&testpb.Everything{}).ProtoReflect().Descriptor())
})

// TestSemantics51AnyBomb nests Any messages 3,200 deep, with the type at the end
// of each, so that naive decoders look for it again at every level.
//
//transom:norace
func TestSemantics51AnyBomb(t *testing.T) {
	const open, depth = `{"value":`, 3200
	bomb := `{"any":` + strings.Repeat(open, depth) + `{}` +
		strings.Repeat(`,"@type":"type.googleapis.com/google.protobuf.Any"}`, depth) + `}`
	plan := everythingPlan()
	for _, in := range []jsonwire.Input{{}, {IgnoreUnknown: true}} {
		_, err := plan.AppendWire(nil, []byte(bomb), in)
		var e *jsonwire.Error
		if !errors.As(err, &e) || e.Offset > 101*len(open) {
			t.Errorf("got %v, want an error where JSON nests 100 deep, before the rest is read", err)
		}
	}
	// As deep as JSON may nest, and large in the middle: the depth does not multiply
	// what is large.
	nested := func(depth int) uint64 {
		big := `{"any":` + strings.Repeat(open, depth) + `{"tags":["` + strings.Repeat("x", 1<<20) + `"],"@type":"transom.jsonwire.test.Book"}` +
			strings.Repeat(`,"@type":"google.protobuf.Any"}`, depth) + `}`
		var wire []byte
		took := allocated(func() {
			var err error
			if wire, err = plan.AppendWire(nil, []byte(big), jsonwire.Input{}); err != nil {
				t.Fatal(err)
			}
		})
		if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{}); err != nil {
			t.Error(err)
		}
		return took
	}
	nested(1) // pools
	if once, deep := nested(1), nested(97); deep > once+once/2 {
		t.Errorf("1 MB in one Any took %d bytes of memory, in 97 of them %d", once, deep)
	}
}

// allocated is the memory that fn takes.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestSemantics51Memory holds the memory of hostile input to 100 times its size.
//
//transom:norace
func TestSemantics51Memory(t *testing.T) {
	plan := everythingPlan()
	keys := &strings.Builder{}
	for i := range 100000 {
		keys.WriteString(`"` + strings.Repeat("k", i%7) + string(rune('a'+i%26)) + `":0,`)
	}
	for name, in := range map[string]string{
		"objects in a Value":    `{"value":[` + strings.Repeat("{},", 1<<20/3) + `{}]}`,
		"lists in a Value":      `{"value":[` + strings.Repeat("[],", 1<<20/3) + `[]]}`,
		"numbers":               `{"rInt32":[` + strings.Repeat("1,", 1<<19) + `1]}`,
		"messages":              `{"children":[` + strings.Repeat("{},", 1<<20/3) + `{}]}`,
		"keys":                  `{"struct":{` + keys.String() + `"z":0}}`,
		"escapes":               `{"fString":"` + strings.Repeat(`\n`, 1<<19) + `"}`,
		"Any after its objects": `{"any":{"fString":"x","value":[` + strings.Repeat("{},", 1<<20/3) + `{}],"@type":"transom.jsonwire.test.Everything"}}`,
	} {
		var wire []byte
		took := allocated(func() { wire, _ = plan.AppendWire(nil, []byte(in), jsonwire.Input{}) })
		if took > 100*uint64(len(in)) {
			t.Errorf("%s: %d bytes of JSON took %d bytes of memory", name, len(in), took)
		}
		took = allocated(func() { _, _ = plan.AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true}) })
		if took > 100*uint64(len(wire)+100) {
			t.Errorf("%s: %d bytes on the wire took %d bytes of memory", name, len(wire), took)
		}
	}
	// The exact way, with fields that are as small as can be and never together.
	wire := bytes.Repeat([]byte{0x08, 1, 0x10, 2}, 1<<18)
	if took := allocated(func() { _, _ = plan.AppendJSON(nil, wire, jsonwire.Output{}) }); took > 100*uint64(len(wire)) {
		t.Errorf("%d bytes in disorder took %d bytes of memory", len(wire), took)
	}
}

// TestSemantics51Disorder has nested, disordered data, in which a value is replaced
// at each level: what made both of them would need 2^900 steps, and the memory is
// in proportion to the size.
//
//transom:norace
func TestSemantics51Disorder(t *testing.T) {
	plan := everythingPlan()
	took := func(depth int) uint64 {
		var wire []byte
		for range depth { // children in disorder at each level, and a value that is replaced
			wire = protowire.AppendBytes(protowire.AppendTag([]byte{0x08, 1, 0x08, 1}, 17, protowire.BytesType), wire)
			wire = protowire.AppendBytes(protowire.AppendTag(wire, 17, protowire.BytesType), nil)
		}
		return allocated(func() {
			if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true}); err != nil {
				t.Fatal(err)
			}
		})
	}
	took(900) // pools
	if once, twice := took(450), took(900); twice > 3*once+1<<16 {
		t.Errorf("450 levels took %d bytes of memory, 900 levels %d", once, twice)
	}
}

// TestSemantics20Depth refuses JSON that nests too deeply, with path and offset.
func TestSemantics20Depth(t *testing.T) {
	plan := everythingPlan()
	nested := func(n int) []byte {
		return []byte(`{"value":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`)
	}
	if _, err := plan.AppendWire(nil, nested(100), jsonwire.Input{}); err != nil {
		t.Error(err)
	}
	_, err := plan.AppendWire(nil, nested(101), jsonwire.Input{})
	var e *jsonwire.Error
	if !errors.As(err, &e) || e.Offset != 108 || !strings.HasPrefix(e.Path, "value[0]") {
		t.Errorf("got %v", err)
	}
	if _, err := plan.AppendWire(nil, nested(10), jsonwire.Input{MaxDepth: 9}); err == nil {
		t.Error("MaxDepth has no effect")
	}
	deep := []byte(`{"none":` + strings.Repeat("[", 1<<20))
	if _, err := plan.AppendWire(nil, deep, jsonwire.Input{IgnoreUnknown: true}); err == nil {
		t.Error("an ignored field may nest without bound")
	}
	wire := []byte{}
	for range 1100 {
		wire = protowire.AppendBytes(protowire.AppendTag(nil, 17, protowire.BytesType), wire)
	}
	if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{}); err == nil {
		t.Error("wire data may nest without bound")
	}
}
