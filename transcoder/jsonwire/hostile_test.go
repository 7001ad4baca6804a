package jsonwire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// everythingPlan is the plan of testpb.Everything.
var everythingPlan = sync.OnceValue(func() *jsonwire.Plan {
	return jsonwire.NewPlans(resolver{protoregistry.GlobalTypes}).Message((&testpb.Everything{}).ProtoReflect().Descriptor())
})

// TestSemantics51AnyBomb nests Any messages 3,200 deep, with the type at the end
// of each, so that naive decoders look for it again at every level.
func TestSemantics51AnyBomb(t *testing.T) {
	const depth = 3200
	bomb := `{"any":` + strings.Repeat(`{"value":`, depth) + `{}` +
		strings.Repeat(`,"@type":"type.googleapis.com/google.protobuf.Any"}`, depth) + `}`
	plan := everythingPlan()
	for _, in := range []jsonwire.Input{{}, {IgnoreUnknown: true}} {
		wantWithin(t, 100*time.Millisecond, fmt.Sprintf("refusing %d bytes", len(bomb)), func() {
			if _, err := plan.AppendWire(nil, []byte(bomb), in); err == nil {
				t.Error("the bomb was accepted")
			}
		})
	}
	// As deep as JSON may nest, and large in the middle.
	big := `{"any":` + strings.Repeat(`{"value":`, 97) + `{"tags":["` + strings.Repeat("x", 1<<20) + `"],"@type":"transom.jsonwire.test.Book"}` +
		strings.Repeat(`,"@type":"google.protobuf.Any"}`, 97) + `}`
	var wire []byte
	wantWithin(t, 500*time.Millisecond, "97 Any messages around 1 MB", func() {
		var err error
		if wire, err = plan.AppendWire(nil, []byte(big), jsonwire.Input{}); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{}); err != nil {
		t.Error(err)
	}
}

// wantWithin holds the time that fn needs below a bound. A busy machine takes
// time of its own, so what counts is the least of some runs: work that grows with
// the square of its input is never quick.
func wantWithin(t *testing.T, bound time.Duration, what string, fn func()) {
	t.Helper()
	least := time.Duration(math.MaxInt64)
	for range 10 {
		start := time.Now()
		fn()
		if least = min(least, time.Since(start)); least <= bound {
			return
		}
	}
	t.Errorf("%s took %v, want at most %v", what, least, bound)
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

// TestSemantics51Time holds the time of nested, disordered data to about its size.
func TestSemantics51Time(t *testing.T) {
	plan := everythingPlan()
	var wire []byte
	for range 900 { // children in disorder at each level, and a value that is replaced
		wire = protowire.AppendBytes(protowire.AppendTag([]byte{0x08, 1, 0x08, 1}, 17, protowire.BytesType), wire)
		wire = protowire.AppendBytes(protowire.AppendTag(wire, 17, protowire.BytesType), nil)
	}
	wantWithin(t, time.Second, fmt.Sprintf("%d bytes nested 900 deep", len(wire)), func() {
		if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{OmitDefaults: true}); err != nil {
			t.Fatal(err)
		}
	})
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
