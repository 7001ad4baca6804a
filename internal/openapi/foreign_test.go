package openapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// openapiv3Proto are parts of grpc-gateway's options for OpenAPI 3, which users bring: the program has
// no such types.
const openapiv3Proto = `syntax = "proto3";
package grpc.gateway.protoc_gen_openapiv3.options;
import "google/protobuf/descriptor.proto";
import "google/protobuf/struct.proto";
extend google.protobuf.FileOptions { Document openapiv3_document = 1295; }
extend google.protobuf.ServiceOptions { Tag openapiv3_tag = 1295; }
extend google.protobuf.MethodOptions { Operation openapiv3_operation = 1295; }
extend google.protobuf.MessageOptions { Schema openapiv3_schema = 1295; }
extend google.protobuf.FieldOptions { Schema openapiv3_field = 1295; }
message Document { Info info = 1; repeated Server servers = 2; Components components = 6; repeated SecurityRequirement security = 7; }
message Components { map<string, SecurityScheme> security_schemes = 1; }
message Info { string title = 1; string summary = 2; License license = 6; }
message License { string name = 1; oneof source { string identifier = 2; string url = 3; } }
message Server { string url = 1; string description = 2; }
message Operation { string summary = 2; string operation_id = 5; map<string, google.protobuf.Value> extensions = 8; repeated SecurityRequirement security = 9; }
message Schema { string title = 1; string description = 2; map<string, google.protobuf.Value> extensions = 4; }
message Tag { string name = 1; string description = 2; }
message SecurityScheme {
  enum Type { TYPE_UNSPECIFIED = 0; TYPE_API_KEY = 1; TYPE_HTTP = 2; TYPE_MUTUAL_TLS = 3; TYPE_OPEN_ID_CONNECT = 5; }
  enum In { IN_UNSPECIFIED = 0; IN_QUERY = 1; IN_HEADER = 2; }
  Type type = 1; string name = 3; In in = 4; string open_id_connect_url = 8;
}
message SecurityRequirement { message Scopes { repeated string scopes = 1; } map<string, Scopes> schemes = 1; }
`

const optionsProto = `syntax = "proto3";
package shop.v1;
import "gnostic/openapi/v3/annotations.proto";
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "protoc-gen-openapiv2/options/annotations.proto";
import "protoc-gen-openapiv3/options/annotations.proto";
import "transom/v1/annotations.proto";
option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_swagger) = {
  info: { title: "of v2" contact: { name: "us" } version: "7" }
  host: "x.example"
  external_docs: { url: "https://docs.example" }
  security_definitions: { security: { key: "Key" value: { type: TYPE_API_KEY in: IN_HEADER name: "X-Key" } } }
  security: { security_requirement: { key: "Key" value: {} } }
  responses: { key: "404" value: { description: "Not there." } }
  extensions: { key: "x-of-v2" value: { struct_value: { fields: { key: "a" value: { number_value: 1.5 } } } } }
};
option (gnostic.openapi.v3.document) = { info: { title: "of gnostic" description: "About it." } };
option (grpc.gateway.protoc_gen_openapiv3.options.openapiv3_document) = {
  info: { title: "of v3" license: { name: "MIT" identifier: "MIT" } }
  servers: { url: "https://v3.example" }
  components: { security_schemes: { key: "Connect" value: { type: TYPE_OPEN_ID_CONNECT open_id_connect_url: "https://id.example" } } }
};
// By comment.
service Shop {
  option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_tag) = { description: "By v2." external_docs: { url: "https://tag.example" } };
  option (grpc.gateway.protoc_gen_openapiv3.options.openapiv3_tag) = { description: "By v3." };
  // Comment.
  rpc Buy(Order) returns (Receipt) {
    option (google.api.http) = { post: "/v1/{shop}/orders" body: "*" };
    option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = {
      summary: "v2" description: "v2 says more" operation_id: "buyV2" tags: "Selling" schemes: HTTPS
      parameters: { headers: { name: "X-Till" type: INTEGER required: true description: "Which." } }
      responses: { key: "201" value: { description: "Bought." headers: { key: "X-Left" value: { type: "integer" description: "How many." } } examples: { key: "application/json" value: "{\"number\": 7, \"a\": [1]}" } } }
      responses: { key: "403" value: { description: "Not to you." schema: { json_schema: { type: STRING } } } }
      extensions: { key: "x-mark" value: { string_value: "v2" } }
      extensions: { key: "mark" value: { string_value: "v2" } }
    };
    option (gnostic.openapi.v3.operation) = { summary: "gnostic" parameters: { parameter: { name: "nowhere" in: "query" } } };
    option (grpc.gateway.protoc_gen_openapiv3.options.openapiv3_operation) = {
      operation_id: "buyV3" extensions: { key: "x-mark" value: { string_value: "v3" } }
      security: { schemes: { key: "Connect" value: { scopes: "a" } } }
    };
  }
  rpc Open(Order) returns (Receipt) { option (google.api.http) = { get: "/v1/open" }; }
  rpc Guarded(Order) returns (Receipt) { option (google.api.http) = { get: "/v1/guarded" }; option (transom.v1.method) = { auth: { jwt: {} } }; }
  rpc Send(google.api.HttpBody) returns (google.api.HttpBody) {
    option (google.api.http) = { post: "/v1/files" body: "*" };
    option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = { consumes: "multipart/form-data" consumes: "text/csv" produces: "application/pdf" };
  }
  rpc Keep(google.api.HttpBody) returns (Receipt) {
    option (google.api.http) = { post: "/v1/keep" body: "*" };
    option (gnostic.openapi.v3.operation) = { request_body: { request_body: { content: { additional_properties: { name: "multipart/form-data" value: {
      schema: { schema: { type: "object" properties: { additional_properties: { name: "file" value: { schema: { type: "string" format: "binary" } } } } } }
      encoding: { additional_properties: { name: "file" value: { content_type: "image/png" } } }
    } } } } } };
  }
}
message Order {
  option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_schema) = {
    json_schema: { title: "An order" required: "unit_price" } example: "{\"unitPrice\": 2}"
  };
  option (grpc.gateway.protoc_gen_openapiv3.options.openapiv3_schema) = { title: "The order" };
  string shop = 1 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { field_configuration: { path_param_name: "shopName" } pattern: "^[a-z]+$" }];
  double unit_price = 2 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { minimum: 1 exclusive_minimum: true default: "2" discriminatorless: 0 }];
  string note = 3 [(gnostic.openapi.v3.property) = { max_length: 5 example: { yaml: "hello" } specification_extension: { name: "x-n" value: { yaml: "{\"a\": 1}" } } }];
  Receipt last = 4 [(grpc.gateway.protoc_gen_openapiv3.options.openapiv3_field) = { description: "The one before." }];
}
message Receipt { int32 number = 1; }
`

func optionFiles() map[string]string {
	return map[string]string{
		"shop.proto": strings.ReplaceAll(optionsProto, " discriminatorless: 0", ""), "protoc-gen-openapiv3/options/annotations.proto": openapiv3Proto,
	}
}

const tokens = "auth: { jwt: [{ issuer: \"https://id.example\", secret: \"a secret of more than 32 bytes, as it must be\" }] }\n"

// TestOptionsOfOthers: Surface 219, 220 and 223: options of grpc-gateway for OpenAPI 2 and 3
// and of gnostic are in the document, the strongest of them where several say the same, and below
// the configuration; what is not in it is told.
func TestOptionsOfOthers(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: optionFiles(), Config: tokens})
	root := rootOf(t, g, openapi.Options{})
	buy := "paths /v1/{shopName}/orders post "
	holds(t, root, map[string]string{
		"info":         `{"title": "of v3", "description": "About it.", "license": {"name": "MIT", "identifier": "MIT"}, "contact": {"name": "us"}, "version": "7"}`,
		"servers":      `[{"url": "https://v3.example"}]`,
		"externalDocs": `{"url": "https://docs.example"}`,
		"x-of-v2":      `{"a": 1.5}`,
		"tags":         `[{"name": "Shop", "description": "By v3.", "externalDocs": {"url": "https://tag.example"}}]`,

		buy + "summary":                      `"gnostic"`,
		buy + "description":                  `"v2 says more"`,
		buy + "operationId":                  `"buyV3"`,
		buy + "tags":                         `["Selling"]`,
		buy + "x-mark":                       `"v3"`,
		buy + "mark":                         "",
		buy + "security":                     `[{"Connect": ["a"]}]`,
		buy + "parameters 0 schema":          `{"type": "string", "pattern": "^[a-z]+$"}`,
		buy + "parameters 1":                 `{"name": "X-Till", "in": "header", "description": "Which.", "required": true, "schema": {"type": "integer"}}`,
		buy + "parameters 2":                 "",
		buy + "responses 200":                "",
		buy + "responses 201 description":    `"Bought."`,
		buy + "responses 201 headers X-Left": `{"description": "How many.", "schema": {"type": "integer"}}`,
		buy + "responses 201 content":        `{"application/json": {"schema": {"$ref": "#/components/schemas/shop.v1.Receipt"}, "example": {"number": 7, "a": [1]}}}`,
		buy + "responses 403":                `{"description": "Not to you.", "content": {"application/json": {"schema": {"type": "string"}}}}`,
		buy + "responses 404":                `{"description": "Not there."}`,

		"paths /v1/open get security":        `[{"Key": []}]`,
		"paths /v1/guarded get security":     `[{"token": []}]`,
		"components securitySchemes Key":     `{"type": "apiKey", "name": "X-Key", "in": "header"}`,
		"components securitySchemes Connect": `{"type": "openIdConnect", "openIdConnectUrl": "https://id.example"}`,

		"paths /v1/files post requestBody content":   `{"multipart/form-data": {"schema": {"type": "object", "additionalProperties": {}}}, "text/csv": {"schema": {}}}`,
		"paths /v1/files post responses 200 content": `{"application/pdf": {"schema": {}}}`,
		"paths /v1/keep post requestBody content": `{"multipart/form-data": {"schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
			"encoding": {"file": {"contentType": "image/png"}}}}`,

		buy + "requestBody content application/json schema title":                `"The order"`,
		buy + "requestBody content application/json schema required":             `["unitPrice"]`,
		buy + "requestBody content application/json schema examples":             `[{"unitPrice": 2}]`,
		buy + "requestBody content application/json schema properties unitPrice": `{"type": "number", "format": "double", "exclusiveMinimum": 1, "default": 2}`,
		buy + "requestBody content application/json schema properties note":      `{"type": "string", "maxLength": 5, "examples": ["hello"], "x-n": {"a": 1}}`,
		buy + "requestBody content application/json schema properties last":      `{"$ref": "#/components/schemas/shop.v1.Receipt", "description": "The one before."}`,
	})
	_, remarks, err := g.OpenAPI(openapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range remarks {
		said = append(said, r.Message)
		if r.Line == 0 || !strings.HasSuffix(r.File, "shop.proto") {
			t.Errorf("there is no place of %v", r)
		}
	}
	for _, part := range []string{"`host` of the option of protoc-gen-openapiv2", "`schemes`", "`extensions.mark`", "`parameters.nowhere` of the option of gnostic", "`security` of the option of protoc-gen-openapiv2: the policy auth", "says 201 as an option does, and the gateway answers 200"} {
		if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, part) }) {
			t.Errorf("nothing is said of %s in\n%s", part, strings.Join(said, "\n"))
		}
	}
	if len(said) != 6 {
		t.Errorf("%d remarks, want 6:\n%s", len(said), strings.Join(said, "\n"))
	}
	titled := rootOf(t, gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: optionFiles(),
		Config: tokens + "openapi: { title: Ours, version: \"2\", servers: [/api], description: D }\n"}), openapi.Options{})
	holds(t, titled, map[string]string{
		"info title": `"Ours"`, "info version": `"2"`, "info description": `"D"`, "servers": `[{"url": "/api"}]`,
	})
}

const moreOptionsProto = `syntax = "proto3";
package more.v1;
import "gnostic/openapi/v3/annotations.proto";
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "protoc-gen-openapiv2/options/annotations.proto";
option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_swagger) = { tags: { name: "shelf" description: "Of shelves." extensions: { key: "x-a" value: { bool_value: true } } } tags: { name: "unused" } };
service More {
  rpc Find(Ask) returns (Answer) {
    option (google.api.http) = { get: "/v1/find" };
    option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_operation) = {
      tags: "shelf"
      responses: { key: "404" value: { schema: { json_schema: { ref: ".more.v1.Trouble" } } headers: { key: "X-Id" value: { type: "string" default: "\"a\"" } } } }
      responses: { key: "409" value: { schema: { json_schema: { ref: ".google.protobuf.Timestamp" } } } }
      responses: { key: "418" value: { schema: { json_schema: { ref: ".more.v1.Nothing" description: "Tea." } } } }
    };
    option (gnostic.openapi.v3.operation) = { responses: { response_or_reference: { name: "410" value: { response: { description: "Gone." content: { additional_properties: { name: "application/json" value: { schema: { reference: { _ref: "#/components/schemas/Trouble" } } } } } } } } } };
  }
}
message Ask {
  option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_schema) = { json_schema: { required: "word" } };
  string word = 1; // Behind.
  // Before. (-- and this goes on
  repeated string ids = 2 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { pattern: "^[a-z]+$" format: "uuid" max_items: 3 }];
  Size size = 3;
  string color = 4 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { enum: "red" enum: "blue" }];
}
message Answer { string text = 1; }
message Trouble { Answer last = 1; }
enum Size {
  option (grpc.gateway.protoc_gen_openapiv2.options.openapiv2_enum) = { title: "How large" external_docs: { url: "https://size.example" } example: "SMALL" extensions: { key: "x-b" value: { number_value: 1 } } };
  SIZE_UNSPECIFIED = 0;
  // Not large.
  SMALL = 1 [deprecated = true];
}
`

// TestMoreOptionsOfOthers: Surface 218, 219 and 225: options refer to types of the document by their names; those of enums, of lists, of tags
// and of what is required are in it.
func TestMoreOptionsOfOthers(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"more.proto": moreOptionsProto}})
	root := rootOf(t, g, openapi.Options{})
	find := "paths /v1/find get "
	trouble := `{"$ref": "#/components/schemas/more.v1.Trouble"}`
	holds(t, root, map[string]string{
		"tags": `[{"name": "More"}, {"name": "shelf", "description": "Of shelves.", "x-a": true}]`,
		find + "responses 404 content application/json schema": trouble,
		find + "responses 404 headers X-Id schema":             `{"type": "string", "default": "a"}`,
		find + "responses 409 content application/json schema": `{"type": "string", "format": "date-time"}`,
		find + "responses 410 content application/json schema": trouble,
		find + "responses 418 content application/json schema": `{"description": "Tea."}`,
		find + "parameters 0":                                  `{"name": "word", "in": "query", "description": "Behind.", "required": true, "schema": {"type": "string"}}`,
		find + "parameters 1":                                  `{"name": "ids", "in": "query", "description": "Before.", "schema": {"type": "array", "items": {"type": "string", "format": "uuid", "pattern": "^[a-z]+$"}, "maxItems": 3}}`,
		find + "parameters 3 schema":                           `{"type": "string", "enum": ["red", "blue"]}`,
		"components schemas more.v1.Trouble properties last":   `{"$ref": "#/components/schemas/more.v1.Answer"}`,
		"components schemas more.v1.Size": `{"type": "string", "enum": ["SIZE_UNSPECIFIED", "SMALL"], "x-enum-descriptions": ["", "Deprecated. Not large."], "title": "How large",
			"externalDocs": {"url": "https://size.example"}, "examples": ["SMALL"], "x-b": 1}`,
	})
	_, remarks, err := g.OpenAPI(openapi.Options{})
	if err != nil || len(remarks) != 1 || !strings.Contains(remarks[0].Message, "`ref`") || !strings.Contains(remarks[0].Message, `".more.v1.Nothing"`) {
		t.Errorf("%v, %v", remarks, err)
	}
}

const textsProto = `syntax = "proto3";
package texts.v1;
import "google/api/annotations.proto";
import "protoc-gen-openapiv2/options/annotations.proto";
service Texts {
  rpc Keep(Text) returns (Text) { option (google.api.http) = { post: "/v1/texts" body: "*" }; }
}
message Text {
  string code = 1 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { default: "1e3" example: "007" }];
  string word = 2 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { default: "\"a\"" example: "true" }];
  int64 many = 3 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { default: "5" example: "6" }];
  double share = 4 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { default: "1e3" example: "0.5" }];
  bool is_open = 5 [(grpc.gateway.protoc_gen_openapiv2.options.openapiv2_field) = { default: "true" }];
}
`

// TestTextsOfOptions: Surface 219: defaults and examples that options give as texts are of the type of their field, also where
// the text of a string reads as a number.
func TestTextsOfOptions(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"texts.proto": textsProto}})
	of := "components schemas texts.v1.Text properties "
	holds(t, rootOf(t, g, openapi.Options{}), map[string]string{
		of + "code default":   `"1e3"`,
		of + "code examples":  `["007"]`,
		of + "word default":   `"a"`,
		of + "word examples":  `["true"]`,
		of + "many default":   `"5"`,
		of + "many examples":  `["6"]`,
		of + "share default":  `1e3`,
		of + "share examples": `[0.5]`,
		of + "isOpen default": `true`,
	})
}
