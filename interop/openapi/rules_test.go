// Package openapi holds the gateway's OpenAPI document against validators that nobody here
// wrote.
package openapi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// ruledProto has a message for each rule that JSON Schema has words for.
const ruledProto = `syntax = "proto3";
package ruled.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
service Ruled { rpc Check(All) returns (All) { option (google.api.http) = { post: "/v1/check" body: "*" }; } }
message All { %s }
enum Level { LEVEL_UNSPECIFIED = 0; LOW = 1; MIDDLE = 2; HIGH = 3; }
%s
`

// ruledFields are declarations of a field named f, each of a message of its own.
var ruledFields = []string{
	`string f = 1 [(buf.validate.field).string.min_len = 2];`,
	`string f = 1 [(buf.validate.field).string = { min_len: 1 max_len: 3 }];`,
	`string f = 1 [(buf.validate.field).string.len = 2];`,
	`optional string f = 1 [(buf.validate.field).string.min_len = 2];`,
	`string f = 1 [(buf.validate.field).string.min_len = 2, (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];`,
	`string f = 1 [(buf.validate.field).string.min_len = 2, (buf.validate.field).ignore = IGNORE_ALWAYS];`,
	`string f = 1 [(buf.validate.field).required = true];`,
	`optional string f = 1 [(buf.validate.field).required = true];`,
	`string f = 1 [(buf.validate.field).string.pattern = "^[a-c]+$"];`,
	`string f = 1 [(buf.validate.field).string.pattern = "a.b|(?i)x-é{2}"];`,
	`string f = 1 [(buf.validate.field).string.pattern = "^[^/\\\\]*\\x{1F600}?\\d\\pL?$"];`,
	`string f = 1 [(buf.validate.field).string = { prefix: "a" suffix: "b" contains: "/" not_contains: "c.c" }];`,
	`string f = 1 [(buf.validate.field).string = { in: ["a", "bb"] }];`,
	`string f = 1 [(buf.validate.field).string = { not_in: ["a", ""] }];`,
	`string f = 1 [(buf.validate.field).string.const = "a"];`,
	`string f = 1 [(buf.validate.field).string.uuid = true];`,
	`string f = 1 [(buf.validate.field).string.tuuid = true];`,
	`int32 f = 1 [(buf.validate.field).int32 = { gt: 0 lte: 3 }];`,
	`int32 f = 1 [(buf.validate.field).int32 = { gt: 2 lt: -1 }];`,
	`int32 f = 1 [(buf.validate.field).int32 = { gte: 2 lte: -1 }];`,
	`int32 f = 1 [(buf.validate.field).int32 = { gte: -2 lt: 2 }];`,
	`int32 f = 1 [(buf.validate.field).int32 = { in: [0, 3, -2] }];`,
	`int32 f = 1 [(buf.validate.field).int32 = { not_in: [0, 3] }];`,
	`sint32 f = 1 [(buf.validate.field).sint32.const = 3];`,
	`uint32 f = 1 [(buf.validate.field).uint32 = { lt: 3 }];`,
	`uint32 f = 1 [(buf.validate.field).uint32 = { gte: 1 }, (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];`,
	`fixed32 f = 1 [(buf.validate.field).fixed32 = { gt: 3 lt: 1 }];`,
	`double f = 1 [(buf.validate.field).double = { gt: 0.5 lte: 2.5 }];`,
	`float f = 1 [(buf.validate.field).float = { gte: 0.5 lt: -0.5 }];`,
	`optional int32 f = 1 [(buf.validate.field).int32.gt = 0];`,
	`int32 f = 1 [(buf.validate.field).required = true];`,
	`bool f = 1 [(buf.validate.field).bool.const = true];`,
	`bool f = 1 [(buf.validate.field).bool.const = false];`,
	`Level f = 1 [(buf.validate.field).enum = { in: [1, 3] }];`,
	`Level f = 1 [(buf.validate.field).enum = { not_in: [0, 2] }];`,
	`Level f = 1 [(buf.validate.field).enum.const = 2];`,
	`Level f = 1 [(buf.validate.field).enum.const = 0];`,
	`Level f = 1 [(buf.validate.field).enum.defined_only = true];`,
	`repeated string f = 1 [(buf.validate.field).repeated = { min_items: 1 max_items: 2 }];`,
	`repeated string f = 1 [(buf.validate.field).repeated = { unique: true items: { string: { min_len: 1 } } }];`,
	`repeated int32 f = 1 [(buf.validate.field).repeated = { items: { int32: { gt: 1 } ignore: IGNORE_IF_ZERO_VALUE } }];`,
	`repeated Level f = 1 [(buf.validate.field).required = true];`,
	`map<string, int32> f = 1 [(buf.validate.field).map = { min_pairs: 1 max_pairs: 2 keys: { string: { max_len: 1 } } values: { int32: { gt: 0 } } }];`,
	`Inner f = 1 [(buf.validate.field).required = true];`,
	`Inner f = 1;`,
	`oneof choice { option (buf.validate.oneof).required = true; string f = 1; int32 g = 2 [(buf.validate.field).int32.gt = 0]; }`,
	`map<int32, int32> f = 1 [(buf.validate.field).map = { min_pairs: 1 values: { int32: { gt: 0 } } }];`,
}

// TestRules: Surface 217: what protovalidate takes the schema takes, and what one refuses the
// other refuses.
func TestRules(t *testing.T) {
	var members, messages strings.Builder
	for i, field := range ruledFields {
		fmt.Fprintf(&members, "M%d m%d = %d; ", i, i, i+1)
		fmt.Fprintf(&messages, "message M%d { %s }\n", i, field)
	}
	messages.WriteString("message Inner { string text = 1 [(buf.validate.field).string.min_len = 1]; }\n")
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"ruled.proto": fmt.Sprintf(ruledProto, members.String(), messages.String())}})
	schemas := compile(t, g)
	file := descriptors(t, g, "ruled.v1.All")
	random := rand.New(rand.NewPCG(217, 1)) //nolint:gosec // the values of a test
	for i, field := range ruledFields {
		message := file.Messages().ByName(protoreflect.Name(fmt.Sprintf("M%d", i)))
		schema := schemas(t, "schemas/"+string(message.FullName()))
		taken := 0
		for range 400 {
			m := dynamicpb.NewMessage(message)
			fill(m, random)
			var parsed any
			text, err := protojson.MarshalOptions{EmitDefaultValues: random.IntN(2) == 0}.Marshal(m)
			if err == nil {
				err = json.Unmarshal(text, &parsed)
			}
			if err != nil {
				t.Fatal(err)
			}
			byRules, bySchema := protovalidate.Validate(m), schema.Validate(parsed)
			if (byRules == nil) != (bySchema == nil) {
				shown, _ := json.Marshal(at(documentOf(t, g), "components", "schemas", string(message.FullName())))
				t.Errorf("%s: %s:\nprotovalidate: %v\nJSON Schema: %v\n%s", field, text, byRules, bySchema, shown)
				break
			}
			if byRules == nil {
				taken++
			}
		}
		if taken == 0 {
			t.Errorf("%s: none of the values is right, so that nothing is compared", field)
		}
	}
}

// fill sets fields to values that rules are likely to tell apart.
func fill(m protoreflect.Message, random *rand.Rand) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if random.IntN(5) == 0 || f.ContainingOneof() != nil && !f.HasOptionalKeyword() && random.IntN(2) == 0 {
			continue
		}
		switch {
		case f.IsList():
			l := m.Mutable(f).List()
			for range random.IntN(4) {
				l.Append(value(f, nil, random))
			}
		case f.IsMap():
			entries := m.Mutable(f).Map()
			for range random.IntN(4) {
				entries.Set(value(f.MapKey(), nil, random).MapKey(), value(f.MapValue(), nil, random))
			}
		default:
			m.Set(f, value(f, m, random))
		}
	}
}

var someTexts = []string{"", "a", "b", "bb", "abc", "aaaa", "é", "éé", "a/b", "a/c.cb", "a/cxcb", "axb", "a\nb", "a\rb", "X-ÉÉ", "x-éé", "7", "😀7", "x😀7ü", "\\7", "/", "a.b|", "\u2028",
	"01890a5d-ac96-774b-bcce-b302099a8057", "01890A5DAC96774BBCCEB302099A8057", "01890a5d-ac96-774b-bcce-b302099a805", "01890a5d-ac96-774b-bcce-b302099a8057 "}

func value(f protoreflect.FieldDescriptor, in protoreflect.Message, random *rand.Rand) protoreflect.Value {
	n := random.IntN(9) - 4
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(someTexts[random.IntN(len(someTexts))])
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n > 0)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(random.IntN(4)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(int32(n)) //nolint:gosec // it is small
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n + 4)) //nolint:gosec // it is small
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) / 2)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) / 2)
	case protoreflect.MessageKind:
		inner := in.NewField(f)
		fill(inner.Message(), random)
		return inner
	}
	panic("no value of " + f.Kind().String())
}

// descriptors is the file of a message, as the gateway has it.
func descriptors(t *testing.T, g *gatewaytest.Gateway, message string) protoreflect.FileDescriptor {
	t.Helper()
	wire, err := g.DescriptorSet(message)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(wire, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(message))
	if err != nil {
		t.Fatal(err)
	}
	return d.ParentFile()
}

// documentOf is the document of a gateway.
func documentOf(t *testing.T, g *gatewaytest.Gateway) any {
	t.Helper()
	d, _, err := g.OpenAPI(openapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root, err := jsonschema.UnmarshalJSON(strings.NewReader(string(d.JSON())))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// at is what members lead to.
func at(root any, names ...string) any {
	for _, name := range names {
		members, _ := root.(map[string]any)
		root = members[name]
	}
	return root
}

// compile gives the schemas of a gateway's document by their places in its components.
func compile(t *testing.T, g *gatewaytest.Gateway) func(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", map[string]any{"components": at(documentOf(t, g), "components")}); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, name string) *jsonschema.Schema {
		t.Helper()
		schema, err := compiler.Compile("openapi.json#/components/" + name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return schema
	}
}
