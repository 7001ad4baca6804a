package openapi_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const declaredProto = `syntax = "proto2";
package declared.v1;
import "google/api/annotations.proto";
import "google/api/field_info.proto";
import "buf/validate/validate.proto";
import "protoc-gen-openapiv2/options/annotations.proto";
option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_swagger) = { info: { title: "Parts" description: "Of machines." } tags: { name: "Things" description: "All about things." } };
// A comment.
service Things {
  // Gets it.
  rpc Get(Thing) returns (Thing) {
    option (google.api.http) = { get: "/v1/things" };
    option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = { summary: "Fetches a thing" responses: { key: "202" value: { description: "Later." schema: { json_schema: { ref: ".declared.v1.Thing" } } } } };
  }
  rpc Put(Thing) returns (Thing) { option (google.api.http) = { put: "/v1/things/{code}" body: "*" }; }
  rpc Patch(Change) returns (Thing) { option (google.api.http) = { patch: "/v1/things/{thing.code}" body: "thing" }; }
}
message Change { optional Thing thing = 1; }
message Thing {
  option (buf.validate.message).cel = { id: "a" message: "low is below high" expression: "!has(this.low) || this.low < this.high" };
  required string code = 1;
  optional int64 low = 2 [default = -7];
  optional int32 high = 3 [default = 9];
  optional bool on = 4 [default = true];
  optional float ratio = 5 [default = 0.1];
  optional double endless = 6 [default = inf];
  optional bytes mark = 7 [default = "abc"];
  optional Grade grade = 8 [default = FINE];
  optional string id = 9 [(google.api.field_info).format = UUID4];
  optional string host = 10 [(google.api.field_info).format = IPV4_OR_IPV6];
  optional Box inner = 11;
  optional string word = 12 [(buf.validate.field).string.pattern = "^[a-z]{3}(?:-[0-9]+)?$"];
  optional string line = 13 [(buf.validate.field).string.pattern = "^.a\\\\s$"];
  oneof way { option (buf.validate.oneof).required = true; string road = 14; string sea = 15; }
}
message Box { required string code = 1; optional string text = 2; }
enum Grade { BAD = 0; FINE = 1; }
`

// TestDeclared: Surface 211, 217, 218 and 219: defaults and required fields of proto2, the formats of google.api.field_info, and rules of
// requests that are no body are in the document; patterns that mean the same to ECMAScript are there as they were written.
func TestDeclared(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"declared.proto": declaredProto}, "")
	thing := "components schemas declared.v1.Thing "
	for path, text := range map[string]string{
		thing + "required":                                         `["code"]`,
		thing + "properties low default":                           `"-7"`,
		thing + "properties high default":                          `9`,
		thing + "properties on default":                            `true`,
		thing + "properties ratio default":                         `0.1`,
		thing + "properties endless default":                       `null`,
		thing + "properties mark default":                          `"YWJj"`,
		thing + "properties grade default":                         `"FINE"`,
		thing + "properties id format":                             `"uuid"`,
		thing + "properties host anyOf":                            `[{"format": "ipv4"}, {"format": "ipv6"}]`,
		thing + "properties word pattern":                          `"^[a-z]{3}(?:-[0-9]+)?$"`,
		"paths /v1/things get x-oneof":                             `{"way": ["road", "sea"]}`,
		"paths /v1/things get description":                         `"Rules: low is below high; one of ` + "`road`, `sea`" + ` is set."`,
		"paths /v1/things get x-cel 0 id":                          `"a"`,
		"paths /v1/things get summary":                             `"Fetches a thing"`,
		"paths /v1/things get parameters 0":                        `{"name": "code", "in": "query", "required": true, "schema": {"type": "string"}}`,
		"paths /v1/things/{thing_code} patch requestBody required": `true`,
	} {
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if got := at(root, path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %s", path, got, text)
		}
	}
	if pattern, _ := at(root, thing+"properties line pattern").(string); pattern == "" || strings.Contains(pattern, `.a`) {
		t.Errorf("the pattern of another dialect is %q", pattern)
	}
	found := false
	parameters, _ := at(root, "paths /v1/things get parameters").([]any)
	for _, p := range parameters {
		if at(p, "name") == "inner.code" {
			found = at(p, "required") == nil && strings.Contains(at(p, "description").(string), "Required with any other parameter of `inner`.")
		}
	}
	if !found {
		t.Error("the parameter inner.code does not say when it is required")
	}
}

const givenProto = `syntax = "proto2";
package given.v1;
import "google/api/annotations.proto";
service Nodes {
  rpc Put(Node) returns (Node) { option (google.api.http) = { put: "/v1/nodes/{id}/{left.id}" body: "*" }; }
  rpc Patch(Change) returns (Node) { option (google.api.http) = { patch: "/v1/changes/{node.id}" body: "node" }; }
}
message Change { optional Node node = 1; }
message Node { required string id = 1; optional Node left = 2; optional Node right = 3; repeated Node all = 4; map<string, Node> by_name = 5; }
`

// TestGivenByPathBelow: Semantics 19: it is that field alone which may be missing, and no other one of the same message.
func TestGivenByPathBelow(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"given.proto": givenProto}})
	for _, tt := range []struct{ method, path, body, lacks string }{
		{"PUT", "/v1/nodes/a/b", `{}`, ""},
		{"PUT", "/v1/nodes/a/b", `{"left":{}}`, ""},
		{"PUT", "/v1/nodes/a/b", `{"left":{"right":{"id":"x"}},"all":[{"id":"y"}]}`, ""},
		{"PUT", "/v1/nodes/a/b", `{"right":{}}`, "right: required field id is missing"},
		{"PUT", "/v1/nodes/a/b", `{"left":{"left":{}}}`, "left.left: required field id is missing"},
		{"PUT", "/v1/nodes/a/b", `{"all":[{"id":"x"},{}]}`, "all[1]: required field id is missing"},
		{"PUT", "/v1/nodes/a/b", `{"byName":{"x":{}}}`, `byName["x"]: required field id is missing`},
		{"PATCH", "/v1/changes/a", `{}`, ""},
		{"PATCH", "/v1/changes/a", `{"left":{}}`, "left: required field id is missing"},
	} {
		a := g.Do(t, tt.method, tt.path, tt.body)
		if tt.lacks == "" && a.Status != 503 || tt.lacks != "" && (a.Status != 400 || !strings.Contains(strings.ReplaceAll(a.Body, `\"`, `"`), tt.lacks)) {
			t.Errorf("%s %s %s: %d %s, expected %q", tt.method, tt.path, tt.body, a.Status, a.Body, tt.lacks)
		}
	}
}

// TestGivenByPath: Semantics 19: a required field that the path sets may be missing in the body.
func TestGivenByPath(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"declared.proto": declaredProto}})
	if a := g.Do(t, "PUT", "/v1/things/x", `{"road":"a"}`); a.Status != 503 {
		t.Errorf("the body without what the path says: %d %s", a.Status, a.Body)
	}
	if a := g.Do(t, "POST", "/declared.v1.Things/Put", `{"road":"a"}`); a.Status != 400 || !strings.Contains(a.Body, "required field code is missing") {
		t.Errorf("the body without a required field: %d %s", a.Status, a.Body)
	}
}

// TestPageSaysOptions: Surface 219 and 247: the page has the texts of options, as the document has them.
func TestPageSaysOptions(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"declared.proto": declaredProto}, Config: "docs: { path: /docs }\n"})
	page := g.Do(t, "GET", "/docs", "").Body
	for _, text := range []string{"Parts", "All about things.", "Fetches a thing"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	if strings.Contains(page, "Gets it.") {
		t.Error("the comment stands beside the option that is in its place")
	}
	_, problems, err := g.OpenAPI(openapi.Options{})
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "says 202 as an option does, and the gateway answers 200") {
		t.Errorf("%v %v", problems, err)
	}
}

// TestPartsOfGnostic: Surface 219: what options declare as components stands where operations refer to it, and a value in YAML that is
// not read is not there.
func TestPartsOfGnostic(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"parts.proto": `syntax = "proto3";
package parts.v1;
import "google/api/annotations.proto";
import "openapiv3/annotations.proto";
option (openapi.v3.document) = {
  components: {
    responses: { additional_properties: [{ name: "NotThere" value: { response: { description: "It is not there" headers: { additional_properties: [{ name: "X-A" value: { reference: { _ref: "#/components/headers/Limit" } } }] } } } }] }
    headers: { additional_properties: [{ name: "Limit" value: { header: { description: "Left" schema: { schema: { type: "integer" } } } } }] }
    parameters: { additional_properties: [{ name: "Trace" value: { parameter: { name: "X-Trace" in: "header" schema: { schema: { type: "string" } } } } }] }
  }
  specification_extension: [{ name: "x-groups" value: { yaml: "- name: a\n  tags: [b]\n" } }]
};
service Parts {
  rpc Get(Part) returns (Part) {
    option (google.api.http) = { get: "/v1/parts" };
    option (openapi.v3.operation) = {
      parameters: [{ reference: { _ref: "#/components/parameters/Trace" } }]
      responses: { response_or_reference: [
        { name: "200" value: { response: { description: "Fine" headers: { additional_properties: [{ name: "X-Limit" value: { reference: { _ref: "#/components/headers/Limit" } } }] } content: { additional_properties: [{ name: "application/json" value: { example: { yaml: "id: \"7\"\nlabel: seven\n" } } }] } } } },
        { name: "404" value: { reference: { _ref: "#/components/responses/NotThere" } } },
        { name: "410" value: { reference: { _ref: "#/components/responses/Nowhere" } } }
      ] }
    };
  }
}
message Part { string id = 1; repeated string tags = 2 [(openapi.v3.property) = { example: { yaml: "- a\n- b\n" } }]; }
`}, "")
	get := "paths /v1/parts get "
	for path, want := range map[string]any{
		get + "responses 404 description":                 "It is not there",
		get + "responses 200 headers X-Limit description": "Left",
		get + "responses 410 description":                 "",
		get + "parameters 2 name":                         "X-Trace",
		"x-groups":                                        nil,
	} {
		if got := at(root, path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	text, err := json.Marshal(root)
	if err != nil || strings.Contains(string(text), "null") || strings.Contains(string(text), "components/headers") || strings.Contains(string(text), "components/parameters") || strings.Contains(string(text), "Nowhere") {
		t.Errorf("the document has null, or refers to nothing: %v\n%s", err, text)
	}
}
