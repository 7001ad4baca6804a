package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

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

// wordedFields have rules for which JSON Schema has no words, or values that need some care.
var wordedFields = []string{
	`int64 f = 1 [(buf.validate.field).int64 = { gte: 100 lt: 200 }];`,
	`int64 f = 1 [(buf.validate.field).int64 = { in: [7, 9] }];`,
	`int64 f = 1 [(buf.validate.field).int64 = { gt: 5 lt: -5 not_in: [6, 7] }];`,
	`uint64 f = 1 [(buf.validate.field).uint64 = { gt: 1 not_in: [2] }];`,
	`sfixed64 f = 1 [(buf.validate.field).sfixed64.const = -3];`,
	`float f = 1 [(buf.validate.field).float = { in: [4, 5] }];`,
	`double f = 1 [(buf.validate.field).double = { gt: 0.25 lt: 0.75 }];`,
	`bytes f = 1 [(buf.validate.field).bytes = { min_len: 5 max_len: 9 prefix: "ab" }];`,
	`bytes f = 1 [(buf.validate.field).bytes.len = 3];`,
	`bytes f = 1 [(buf.validate.field).bytes.in = "x"];`,
	`bytes f = 1 [(buf.validate.field).bytes.ipv6 = true];`,
	`string f = 1 [(buf.validate.field).string = { min_bytes: 9 max_bytes: 9 }];`,
	`string f = 1 [(buf.validate.field).string = { prefix: "ab/" suffix: ".txt" min_len: 20 }];`,
	`string f = 1 [(buf.validate.field).string.ip = true];`,
	`string f = 1 [(buf.validate.field).string.host_and_port = true];`,
	`string f = 1 [(buf.validate.field).string.ipv6_prefix = true];`,
	`string f = 1 [(buf.validate.field).string.well_known_regex = KNOWN_REGEX_HTTP_HEADER_NAME];`,
	`string f = 1 [(buf.validate.field).string.email = true];`,
	`string f = 1 [(buf.validate.field).string.ulid = true];`,
	`google.protobuf.Duration f = 1 [(buf.validate.field).duration = { gt: { seconds: 60 } lte: { seconds: 3600 } }];`,
	`google.protobuf.Duration f = 1 [(buf.validate.field).duration = { in: [{ seconds: 5 }] }];`,
	`google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.lt_now = true];`,
	`google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.gt_now = true];`,
	`google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.gt = { seconds: 2000000000 }];`,
	`google.protobuf.FieldMask f = 1 [(buf.validate.field).field_mask = { in: ["title"] }];`,
	`google.protobuf.Int32Value f = 1 [(buf.validate.field).int32.gte = 10];`,
	`google.protobuf.StringValue f = 1 [(buf.validate.field).string.const = "only"];`,
	`google.protobuf.UInt64Value f = 1 [(buf.validate.field).uint64.gt = 10];`,
	`repeated string f = 1 [(buf.validate.field).repeated = { unique: true min_items: 4 items: { string: { min_len: 2 max_len: 3 } } }];`,
	`repeated int32 f = 1 [(buf.validate.field).repeated = { unique: true min_items: 3 items: { int32: { gt: 5 } } }];`,
	`repeated Level f = 1 [(buf.validate.field).repeated = { unique: true min_items: 2 items: { enum: { not_in: [0] } } }];`,
	`map<int32, string> f = 1 [(buf.validate.field).map.min_pairs = 3];`,
	`map<bool, Inner> f = 1 [(buf.validate.field).map.min_pairs = 2];`,
	`map<uint64, int64> f = 1;`,
	`oneof choice { option (buf.validate.oneof).required = true; Recursive g = 2; Inner f = 1; }`,
	`Recursive f = 1;`,
}

// TestExamplesKeepRules: Surface 226: protovalidate takes the examples of messages with rules of every kind,
// those for which JSON Schema has no words, too; each message has one.
func TestExamplesKeepRules(t *testing.T) {
	fields := slices.Concat(ruledFields, wordedFields)
	var members, messages strings.Builder
	for i, field := range fields {
		fmt.Fprintf(&members, "M%d m%d = %d; ", i, i, i+1)
		fmt.Fprintf(&messages, "message M%d { %s }\n", i, field)
	}
	messages.WriteString("message Inner { string text = 1 [(buf.validate.field).string.min_len = 1]; }\n")
	messages.WriteString("message Recursive { Recursive below = 1; repeated Recursive more = 2; string name = 3; }\n")
	source := strings.Replace(fmt.Sprintf(ruledProto, members.String(), messages.String()), "import", `import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import`, 1)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"ruled.proto": source}})
	schemas, document := compile(t, g), documentOf(t, g)
	file := descriptors(t, g, "ruled.v1.All")
	for i, field := range fields {
		message := file.Messages().ByName(protoreflect.Name(fmt.Sprintf("M%d", i)))
		name := string(message.FullName())
		examples, _ := at(document, "components", "schemas", name, "examples").([]any)
		if len(examples) != 1 {
			t.Errorf("%s: it has %d examples", field, len(examples))
			continue
		}
		text, err := json.Marshal(examples[0])
		m := dynamicpb.NewMessage(message)
		if err == nil {
			err = protojson.Unmarshal(text, m)
		}
		if err == nil {
			err = protovalidate.Validate(m)
		}
		if err == nil {
			err = schemas(t, "schemas/"+name).Validate(examples[0])
		}
		if err != nil {
			t.Errorf("%s: %s: %v", field, text, err)
		}
	}
}

// expressed are messages with rules that only CEL says. Those that nothing fits, or nothing that was tried, have no example.
var expressed = []struct {
	fields string
	none   bool
}{
	{`string f = 1 [(buf.validate.field).cel = { id: "a" expression: "this.startsWith('books/')" }];`, false},
	{`string f = 1 [(buf.validate.field).cel = { id: "a" expression: "this.matches('^[A-Z]{3}-[0-9]{4}$')" }];`, false},
	{`string f = 1 [(buf.validate.field).cel = { id: "a" expression: "size(this) == 17" }];`, false},
	{`string f = 1 [(buf.validate.field).cel_expression = "this == this.upperAscii()"];`, false},
	{`int32 f = 1 [(buf.validate.field).cel = { id: "a" expression: "this % 7 == 0 && this > 0" }];`, false},
	{`int64 f = 1 [(buf.validate.field).cel = { id: "a" expression: "this >= 1000 ? '' : 'too small'" }];`, false},
	{`bytes f = 1 [(buf.validate.field).cel = { id: "a" expression: "size(this) == 16" }];`, false},
	{`Level f = 1 [(buf.validate.field).cel = { id: "a" expression: "this == 0" }];`, false},
	{`repeated string f = 1 [(buf.validate.field).cel = { id: "a" expression: "size(this) >= 3" }];`, false},
	{`repeated string f = 1 [(buf.validate.field).repeated.items = { cel: { id: "a" expression: "this.contains('@')" } }];`, false},
	{`map<string, string> f = 1 [(buf.validate.field).map.keys = { cel: { id: "a" expression: "this in ['x', 'y']" } }];`, false},
	{`google.protobuf.Duration f = 1 [(buf.validate.field).cel = { id: "a" expression: "this > duration('90s')" }];`, false},
	{`google.protobuf.Duration f = 1 [(buf.validate.field).cel = { id: "a" expression: "this.getSeconds() > 90" }];`, false},
	{`google.protobuf.Timestamp f = 1 [(buf.validate.field).cel = { id: "a" expression: "this > now" }];`, false},
	{`google.protobuf.Timestamp f = 1 [(buf.validate.field).cel = { id: "a" expression: "now - this > duration('157680h')" }];`, false},
	{`google.protobuf.Timestamp f = 1 [(buf.validate.field).cel = { id: "a" expression: "this > now - duration('1h') && this < now" }, (buf.validate.field).required = true];`, true},
	{`option (buf.validate.message).cel = { id: "a" message: "begin before end" expression: "this.begin < this.end" }; int32 begin = 1; int32 end = 2;`, false},
	{`option (buf.validate.message).cel_expression = "!has(this.inner) || this.inner.text == this.name"; Inner inner = 1; string name = 2;`, false},
	{`option (buf.validate.message).cel_expression = "this.begin < this.end"; google.protobuf.Timestamp begin = 1; google.protobuf.Timestamp end = 2;`, false},
	{`option (buf.validate.message).oneof = { fields: ["a", "b"] required: true }; string a = 1; string b = 2;`, false},
	{`oneof way { string a = 1; string b = 2; } option (buf.validate.message).cel_expression = "has(this.b)";`, false},
	{`string f = 1 [(buf.validate.field).cel = { id: "a" expression: "false" }];`, true},
	{`string f = 1 [(buf.validate.field).cel = { id: "a" expression: "this.matches('^ab$')" }, (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { example: "\"cd\"" }];`, false},
	{`string f = 1 [(buf.validate.field).string.(tenfold) = 10];`, false},
	{`Impossible f = 1;`, false},
	{`Impossible f = 1 [(buf.validate.field).required = true];`, true},
}

// TestExamplesKeepExpressions: Surface 226: no example breaks a rule in CEL, those of options neither, and most rules have one that
// keeps them.
func TestExamplesKeepExpressions(t *testing.T) {
	var members, messages strings.Builder
	for i, one := range expressed {
		fmt.Fprintf(&members, "M%d m%d = %d; ", i, i, i+1)
		fmt.Fprintf(&messages, "message M%d { %s }\n", i, one.fields)
	}
	messages.WriteString(`message Inner { string text = 1; }
message Impossible { option (buf.validate.message).cel_expression = "this.text != this.text"; string text = 1; }
`)
	predefined := `syntax = "proto2";
package ruled.v1;
import "buf/validate/validate.proto";
extend buf.validate.StringRules { optional int32 tenfold = 90100 [(buf.validate.predefined).cel = { id: "tenfold" expression: "size(this) % rule == 0" }]; }
`
	source := strings.Replace(fmt.Sprintf(ruledProto, members.String(), messages.String()), "import", `import "google/protobuf/duration.proto";
import "google/protobuf/timestamp.proto";
import "predefined.proto";
import "protoc-gen-openapiv2/options/annotations.proto";
import`, 1)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"ruled.proto": source, "predefined.proto": predefined}})
	schemas, document := compile(t, g), documentOf(t, g)
	file := descriptors(t, g, "ruled.v1.All")
	validator, err := protovalidate.New(protovalidate.WithExtensionTypeResolver(extensionsOf(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range expressed {
		message := file.Messages().ByName(protoreflect.Name(fmt.Sprintf("M%d", i)))
		name := string(message.FullName())
		examples, _ := at(document, "components", "schemas", name, "examples").([]any)
		if len(examples) != 0 == one.none {
			t.Errorf("%s: it has the examples %v, none are wanted: %v", one.fields, examples, one.none)
		}
		for _, example := range examples {
			text, err := json.Marshal(example)
			m := dynamicpb.NewMessage(message)
			if err == nil {
				err = protojson.Unmarshal(text, m)
			}
			if err == nil {
				err = validator.Validate(m)
			}
			if err == nil {
				err = schemas(t, "schemas/"+name).Validate(example)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", one.fields, text, err)
			}
			t.Logf("%s: %s", one.fields, text)
		}
	}
}

// extensionsOf are the extensions of the files that a file imports.
func extensionsOf(t *testing.T, file protoreflect.FileDescriptor) *protoregistry.Types {
	t.Helper()
	types := new(protoregistry.Types)
	for i := range file.Imports().Len() {
		for j := range file.Imports().Get(i).Extensions().Len() {
			if err := types.RegisterExtension(dynamicpb.NewExtensionType(file.Imports().Get(i).Extensions().Get(j))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return types
}
