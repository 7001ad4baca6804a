package openapi

import (
	"maps"
	"slices"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestExamples: Surface 226: each example of a schema is valid by the schema that it stands in, and
// most schemas of messages have one.
func TestExamples(t *testing.T) {
	for _, test := range []struct {
		name    string
		options gatewaytest.Options
		least   int
	}{
		{"bookstore", gatewaytest.Options{Backend: "127.0.0.1:1"}, 20},
		{"secured", gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: protosOf(t, "../../examples/secured/protos"), Config: secured}, 2},
		{"etcd", gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: etcdProtos(t), Config: "openapi: { oneofs: EXACT }\n"}, 40},
		{"grpc-gateway", gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: exampleProtos(t), Config: refusedRules}, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := gatewaytest.Start(t, test.options)
			schema := compile(t, g)
			schemas, _ := at(documentOf(t, g), "components", "schemas").(map[string]any)
			valid, without := 0, 0
			for _, name := range slices.Sorted(maps.Keys(schemas)) {
				examples, _ := at(schemas[name], "examples").([]any)
				if len(examples) == 0 && at(schemas[name], "properties") != nil {
					without++
				}
				for _, example := range examples {
					if err := schema(t, "schemas/"+name).Validate(example); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					valid++
				}
			}
			if valid < test.least || without > valid/4 {
				t.Errorf("%d examples, expected %d; %d schemas are without one", valid, test.least, without)
			}
			t.Logf("%d examples, %d schemas without one", valid, without)
		})
	}
}
