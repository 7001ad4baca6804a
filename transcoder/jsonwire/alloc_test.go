//go:build !race

// Under the race detector sync.Pool drops what it is given, now and then.

package jsonwire_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// TestNoAllocation converts in steady state without any.
//
//transom:norace
func TestNoAllocation(t *testing.T) {
	plans := jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes})
	plan := plans.Message((&testpb.Everything{}).ProtoReflect().Descriptor())
	in := []byte(`{"fString":"a\nb é","fInt64":"5","rDouble":[1.5,2e10,0.1],"mString":{"a":{},"b":{"fBytes":"aGk="}},
		"any":{"pages":3,"@type":"transom.jsonwire.test.Book"},"struct":{"a":[1,null,{"b":true}]},"mask":"a,bC",
		"timestamp":"2020-02-29T12:34:56.5Z","duration":"1.5s","mInt32":{"1":"a","2":"b"},"fEnum":"GENRE_FICTION","wInt64":"3",
		"mValue":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14}}`)
	var wire, out []byte
	var err error
	if n := testing.AllocsPerRun(200, func() {
		if wire, err = plan.AppendWire(wire[:0], in, jsonwire.Input{}); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("JSON → wire allocates %v times", n)
	}
	if n := testing.AllocsPerRun(200, func() {
		if out, err = plan.AppendJSON(out[:0], wire, jsonwire.Output{}); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("wire → JSON allocates %v times", n)
	}
}
