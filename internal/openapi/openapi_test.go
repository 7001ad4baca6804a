package openapi_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const libraryProto = `syntax = "proto3";
package library.v1;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/api/httpbody.proto";
import "google/api/resource.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "transom/v1/annotations.proto";

// Lends books.
//
// To anybody.
service Library {
  // Gets one book. (-- for us alone --)
  //
  // See [Book][library.v1.Book].
  rpc GetBook(GetBookRequest) returns (Book) {
    option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}" additional_bindings { get: "/v1/{name=payment-rails/*}" } additional_bindings { get: "/v1/files/{name=**}" } };
  }
  rpc ListBooks(ListBooksRequest) returns (Books) { option (google.api.http) = { get: "/v1/books/{shelf}" }; }
  rpc FindBooks(ListBooksRequest) returns (Books) { option (google.api.http) = { post: "/v1/books/{kind}" body: "*" }; }
  rpc UpdateBook(UpdateBookRequest) returns (Book) { option (google.api.http) = { patch: "/v1/{book.name=shelves/*/books/*}" body: "book" }; }
  rpc Rename(UpdateBookRequest) returns (Book) { option (google.api.http) = { post: "/v1/{book.name=shelves/*}:rename" body: "*" response_body: "title" }; option deprecated = true; }
  rpc Download(GetBookRequest) returns (google.api.HttpBody) { option (google.api.http) = { get: "/v1/download/{name}" }; }
  rpc Numbers(Kinds) returns (Kinds) {
    option (google.api.http) = { custom { kind: "SEARCH" path: "/v1/numbers" } body: "*" };
    option (transom.v1.method) = { json: { proto_names: true enums_as_numbers: true int64_as_numbers: true } };
  }
  rpc AllKinds(Kinds) returns (Kinds) { option (google.api.http) = { post: "/v1/kinds" body: "*" }; }
  rpc Watch(GetBookRequest) returns (stream Book) { option (google.api.http) = { get: "/v1/watch/{name}" }; }
  rpc Plain(GetBookRequest) returns (google.protobuf.Empty);
  rpc Hidden(GetBookRequest) returns (Book) { option (transom.v1.method) = { hidden: true }; }
}
message GetBookRequest { string name = 1 [(google.api.resource_reference).type = "library/Book"]; }
message ListBooksRequest {
  string shelf = 1;
  Kind kind = 2;
  repeated string tags = 3;
  map<string, int64> marks = 4;
  Book like = 5;
  int32 page_size = 6 [(google.api.field_behavior) = REQUIRED];
  string total = 7 [(google.api.field_behavior) = OUTPUT_ONLY];
}
message UpdateBookRequest { Book book = 1; google.protobuf.FieldMask update_mask = 2; }
message Books { repeated Book books = 1; }
// One book.
message Book {
  option (google.api.resource) = { type: "library/Book" pattern: "shelves/{place}/books/{volume}" };
  string name = 1 [(google.api.field_behavior) = IDENTIFIER];
  // How it is called.
  string title = 2 [(google.api.field_behavior) = REQUIRED];
  int64 page_count = 3 [deprecated = true];
  Book sequel = 4;
  google.protobuf.Timestamp published = 5 [(google.api.field_behavior) = OUTPUT_ONLY];
  // Where it stands.
  Kinds kinds = 6 [(google.api.field_behavior) = INPUT_ONLY, (google.api.field_behavior) = IMMUTABLE];
  optional string note = 7;
  oneof where { string at_home = 8; string lent = 9; }
}
// What it is.
enum Kind {
  KIND_UNSPECIFIED = 0;
  // Invented.
  NOVEL = 1;
}
message Kinds {
  bool a = 1; sint32 b = 2; fixed32 c = 3; uint64 d = 4; float e = 5; double f = 6; bytes g = 7; string h = 8;
  Kind i = 9; repeated Kind j = 10; map<string, Kinds> k = 11; google.protobuf.Duration l = 12;
  google.protobuf.FieldMask m = 13; google.protobuf.Struct n = 14; google.protobuf.Value o = 15; google.protobuf.ListValue p = 16;
  google.protobuf.Any q = 17; google.protobuf.Int64Value r = 18; google.protobuf.Empty s = 19; google.protobuf.NullValue t = 20;
  int64 long_name = 21;
}
`

// documentOf holds Surface 204: the same API has the same bytes. It is the document of the library with a configuration, made by a gateway.
func documentOf(t *testing.T, o openapi.Options, protos map[string]string, config string) map[string]any {
	t.Helper()
	return rootOf(t, gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: protos, Config: config}), o)
}

// rootOf is the document of a gateway.
func rootOf(t *testing.T, g *gatewaytest.Gateway, o openapi.Options) map[string]any {
	t.Helper()
	d, _, err := g.OpenAPI(o)
	if err != nil {
		t.Fatal(err)
	}
	text := d.JSON()
	if again, _, err := g.OpenAPI(o); err != nil || !bytes.Equal(again.JSON(), text) {
		t.Errorf("the second document differs from the first: %v", err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return root
}

// at is what a path leads to, whose parts are separated by spaces.
func at(root any, path string) any {
	for part := range strings.FieldsSeq(path) {
		switch v := root.(type) {
		case map[string]any:
			root = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(v) {
				return nil
			}
			root = v[i]
		default:
			return nil
		}
	}
	return root
}

// holds compares what paths lead to with JSON; "" is for nothing.
func holds(t *testing.T, root any, want map[string]string) {
	t.Helper()
	for path, text := range want {
		got := at(root, path)
		var wanted any
		if text != "" {
			if err := json.Unmarshal([]byte(text), &wanted); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
		if !reflect.DeepEqual(got, wanted) {
			shown, _ := json.Marshal(got)
			t.Errorf("%s: got\n%s, want\n%s", path, shown, text)
		}
	}
}

// TestPaths: Surface 207, 208, 209 and 212: paths, their parameters, operationIds, and what
// the path sets is not in the body.
func TestPaths(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"library.proto": libraryProto}, "")
	holds(t, root, map[string]string{
		"openapi": `"3.1.1"`,
		"paths /v1/shelves/{place}/books/{volume} get operationId":           `"Library_GetBook"`,
		"paths /v1/shelves/{place}/books/{volume} get x-transom-template":    `"/v1/{name=shelves/*/books/*}"`,
		"paths /v1/shelves/{place}/books/{volume} get parameters 0 name":     `"place"`,
		"paths /v1/shelves/{place}/books/{volume} get parameters 1 name":     `"volume"`,
		"paths /v1/shelves/{place}/books/{volume} get parameters 1 required": `true`,
		"paths /v1/payment-rails/{payment_rail} get operationId":             `"Library_GetBook_2"`,
		"paths /v1/files/{name} get parameters 0":                            `{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}, "x-multi-segment": true}`,

		// FindBooks and ListBooks differ in the name of the variable alone.
		"paths /v1/books/{kind} get x-transom-alias":                                               `["shelf"]`,
		"paths /v1/books/{kind} get parameters 0 name":                                             `"kind"`,
		"paths /v1/books/{kind} get parameters 0 schema":                                           `{"type": "string"}`,
		"paths /v1/books/{kind} post parameters 0 schema":                                          `{"$ref": "#/components/schemas/library.v1.Kind"}`,
		"paths /v1/books/{kind} post parameters 1":                                                 "",
		"paths /v1/books/{shelf}":                                                                  "",
		"paths /v1/shelves/{place}/books/{volume} patch parameters 2":                              `{"name": "updateMask", "in": "query", "schema": {"type": "string", "description": "Paths of fields in lowerCamelCase, separated by commas."}}`,
		"paths /v1/shelves/{place}/books/{volume} patch parameters 3":                              "",
		"paths /v1/shelves/{shelf}:rename post deprecated":                                         "true",
		"paths /v1/shelves/{shelf}:rename post responses 200 content":                              `{"application/json": {"schema": {"type": "string"}}}`,
		"paths /v1/numbers x-transom-operations SEARCH operationId":                                `"Library_Numbers"`,
		"paths /library.v1.Library/Plain post responses 200 content":                               `{"application/json": {"schema": {"type": "object"}}}`,
		"paths /library.v1.Library/Plain post responses default":                                   `{"$ref": "#/components/responses/ConnectError"}`,
		"components responses ConnectError content application/json schema required":               `["code"]`,
		"components responses ConnectError content application/json schema properties code enum 2": `"invalid_argument"`,
		"paths /library.v1.Library/Plain post x-transom-rpc":                                       `"library.v1.Library/Plain"`,
		"paths /library.v1.Library/Hidden":                                                         "",
		"paths /v1/download/{name} get responses 200 content":                                      `{"*/*": {"schema": {}}}`,
		"paths /v1/download/{name} get responses 200 headers Content-Disposition schema type":      `"string"`,
		"paths /v1/download/{name} get responses default":                                          `{"$ref": "#/components/responses/Error"}`,
		"components responses Error content application/json schema":                               `{"$ref": "#/components/schemas/google.rpc.Status"}`,
		"components schemas library.v1.UpdateBookRequest properties nil":                           "",
	})
	for _, path := range []string{
		"paths /v1/shelves/{place}/books/{volume} patch requestBody content application/json schema properties",
		"paths /v1/shelves/{shelf}:rename post requestBody content application/json schema properties book properties",
	} {
		if properties, _ := at(root, path).(map[string]any); properties["title"] == nil || properties["name"] != nil {
			t.Errorf("%s: got %v, expected title and no name, which the path sets", path, properties)
		}
	}
}

// TestQuery: Surface 210 and 211: the query has all fields that it can set, and no other.
func TestQuery(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"library.proto": libraryProto}, "")
	var names []string
	list, _ := at(root, "paths /v1/books/{kind} get parameters").([]any)
	byName := map[string]any{}
	for _, p := range list {
		name, _ := at(p, "name").(string)
		names = append(names, name)
		byName[name] = p
	}
	want := []string{"kind", "kind", "tags", "marks", "like.name", "like.title", "like.pageCount",
		"like.kinds.a", "like.kinds.b", "like.kinds.c", "like.kinds.d", "like.kinds.e", "like.kinds.f", "like.kinds.g", "like.kinds.h", "like.kinds.i", "like.kinds.j",
		"like.kinds.l", "like.kinds.m", "like.kinds.r", "like.kinds.t", "like.kinds.longName", "like.note", "like.atHome", "like.lent", "pageSize"}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	holds(t, byName, map[string]string{
		"tags":           `{"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}}`,
		"marks":          `{"name": "marks", "in": "query", "style": "deepObject", "explode": true, "schema": {"type": "object", "additionalProperties": {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}}}`,
		"pageSize":       `{"name": "pageSize", "in": "query", "required": true, "schema": {"type": "integer", "format": "int32"}}`,
		"like.pageCount": `{"name": "like.pageCount", "in": "query", "deprecated": true, "schema": {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}}`,
	})
}

// TestSchemas: Surface 206, 211, 213, 214, 215, 216 and 218: the schemas are those of the
// JSON that the route has.
func TestSchemas(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"library.proto": libraryProto}, "")
	schemas := at(root, "components schemas")
	holds(t, schemas, map[string]string{
		"library.v1.Book description": `"One book."`,
		"library.v1.Book required":    `["title"]`,
		"library.v1.Book x-oneof":     `{"where": ["atHome", "lent"]}`,
		"library.v1.Book properties": `{"name": {"type": "string", "x-identifier": true}, "title": {"type": "string", "description": "How it is called."},
			"pageCount": {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$", "deprecated": true}, "sequel": {"$ref": "#/components/schemas/library.v1.Book"},
			"published": {"type": "string", "format": "date-time", "readOnly": true},
			"kinds": {"$ref": "#/components/schemas/library.v1.Kinds", "description": "Where it stands.", "writeOnly": true, "x-immutable": true},
			"note": {"type": "string"}, "atHome": {"type": "string"}, "lent": {"type": "string"}}`,
		"library.v1.Kind": `{"type": "string", "enum": ["KIND_UNSPECIFIED", "NOVEL"], "description": "What it is.", "x-enum-descriptions": ["", "Invented."]}`,
		"library.v1.Kinds properties": `{"a": {"type": "boolean"}, "b": {"type": "integer", "format": "int32"}, "c": {"type": "integer", "format": "uint32", "minimum": 0},
			"d": {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"}, "e": {"type": "number", "format": "float"}, "f": {"type": "number", "format": "double"},
			"g": {"type": "string", "contentEncoding": "base64"}, "h": {"type": "string"}, "i": {"$ref": "#/components/schemas/library.v1.Kind"},
			"j": {"type": "array", "items": {"$ref": "#/components/schemas/library.v1.Kind"}},
			"k": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/library.v1.Kinds"}},
			"l": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"}, "m": {"type": "string", "description": "Paths of fields in lowerCamelCase, separated by commas."},
			"n": {"type": "object", "additionalProperties": true}, "o": {}, "p": {"type": "array", "items": {}},
			"q": {"type": "object", "properties": {"@type": {"type": "string", "description": "The URL of the message's type."}}, "additionalProperties": true},
			"r": {"type": ["string", "null"], "format": "int64", "pattern": "^-?[0-9]+$"}, "s": {"type": "object"}, "t": {"type": "null"},
			"longName": {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}}`,
		"library.v1.Kind-proto_names.enums_as_numbers.int64_as_numbers":                       `{"type": "integer", "enum": [0, 1], "description": "What it is.", "x-enum-varnames": ["KIND_UNSPECIFIED", "NOVEL"], "x-enum-descriptions": ["", "Invented."]}`,
		"library.v1.Kinds-proto_names.enums_as_numbers.int64_as_numbers properties long_name": `{"type": "integer", "format": "int64"}`,
	})
	holds(t, root, map[string]string{
		"tags": `[{"name": "Library", "description": "Lends books.\n\nTo anybody."}]`,
		"paths /v1/shelves/{place}/books/{volume} get summary":     `"Gets one book."`,
		"paths /v1/shelves/{place}/books/{volume} get description": `"See Book."`,
	})
}

// TestFormOfAll: Surface 213: where defaults say how JSON is written, that form has the plain names.
func TestFormOfAll(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"library.proto": libraryProto}, "defaults: { json: { proto_names: true } }\n")
	holds(t, root, map[string]string{
		"components schemas library.v1.Book properties page_count":         `{"type": "string", "format": "int64", "pattern": "^-?[0-9]+$", "deprecated": true}`,
		"paths /v1/shelves/{place}/books/{volume} patch parameters 2 name": `"update_mask"`,
	})
	root = documentOf(t, openapi.Options{}, map[string]string{"library.proto": libraryProto}, "compatibility: GRPC_GATEWAY\n")
	holds(t, root, map[string]string{
		"paths /library.v1.Library/Plain":             "",
		"components schemas v1Book properties sequel": `{"anyOf": [{"$ref": "#/components/schemas/v1Book"}, {"type": "null"}]}`,
	})
}

// TestOneService: Surface 205 and 225: one service alone, with the schemas that it needs, and
// in OpenAPI 3.2 the package above its tag.
func TestOneService(t *testing.T) {
	protos := map[string]string{"library.proto": libraryProto, "other.proto": `syntax = "proto3";
package other.v1;
service Library { rpc Ask(Question) returns (Question); }
message Question { string text = 1; }
`}
	root := documentOf(t, openapi.Options{Service: "other.v1.Library", Version: openapi.Version32}, protos, "")
	schemas, _ := at(root, "components schemas").(map[string]any)
	if len(schemas) != 1 || schemas["other.v1.Question"] == nil {
		t.Errorf("got the schemas %v", schemas)
	}
	holds(t, root, map[string]string{
		"openapi": `"3.2.0"`,
		"tags":    `[{"name": "other.v1", "kind": "nav"}, {"name": "other.v1.Library", "parent": "other.v1"}]`,
		"paths /other.v1.Library/Ask post operationId": `"other_v1_Library_Ask"`, // two services have the short name
	})
}

// TestStreamsOf: Surface 222.
func TestStreamsOf(t *testing.T) {
	protos := map[string]string{"library.proto": libraryProto}
	root := documentOf(t, openapi.Options{Version: openapi.Version32}, protos, "")
	content := at(root, "paths /v1/watch/{name} get responses 200 content")
	holds(t, content, map[string]string{
		"application/x-ndjson itemSchema anyOf 0":                            `{"$ref": "#/components/schemas/library.v1.Book"}`,
		"text/event-stream itemSchema oneOf 0 properties data contentSchema": `{"$ref": "#/components/schemas/library.v1.Book"}`,
		"application/json schema":                                            `{"type": "array", "items": {"$ref": "#/components/schemas/library.v1.Book"}}`,
		"application/x-ndjson itemSchema anyOf 1 properties error":           `{"$ref": "#/components/schemas/google.rpc.Status"}`,
		"text/event-stream itemSchema oneOf 2 properties event":              `{"type": "string", "const": "error"}`,
		"text/event-stream itemSchema oneOf 2 properties data contentSchema": `{"$ref": "#/components/schemas/google.rpc.Status"}`,
	})
	root = documentOf(t, openapi.Options{}, protos, "")
	content = at(root, "paths /v1/watch/{name} get responses 200 content")
	holds(t, content, map[string]string{
		"text/event-stream": `{"schema": {"$ref": "#/components/schemas/library.v1.Book"}, "x-transom-stream": "server"}`,
	})
}

// TestSameBytes: Surface 204: two gateways make the same bytes of the same input, whatever is
// asked for between, and a document in YAML says what one in JSON says.
func TestSameBytes(t *testing.T) {
	var texts [2][]byte
	for i := range texts {
		g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1"})
		for _, o := range []openapi.Options{{Version: openapi.Version32}, {Service: "bookstore.v1.BookstoreService"}, {}}[i:] {
			d, _, err := g.OpenAPI(o)
			if err != nil {
				t.Fatal(err)
			}
			texts[i] = d.JSON()
		}
		d, _, err := g.OpenAPI(openapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON, fromYAML any
		if err := json.Unmarshal(texts[i], &fromJSON); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(d.YAML(), &fromYAML); err != nil {
			t.Fatalf("%v in\n%s", err, d.YAML())
		}
		again, err := json.Marshal(fromYAML)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &fromYAML); err != nil || !reflect.DeepEqual(fromYAML, fromJSON) {
			t.Errorf("YAML and JSON differ (%v)", err)
		}
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two gateways make other bytes of the same input")
	}
}

const guardedProto = `syntax = "proto3";
package guarded.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Guarded {
  option (transom.v1.service) = { auth: { jwt: { allow_query: true cookie: "t" } scopes: "read" } };
  rpc Get(Question) returns (Question) { option (google.api.http) = { get: "/v1/get" }; option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Open(google.protobuf.Empty) returns (Question) { option (google.api.http) = { get: "/v1/open" }; option (transom.v1.method) = { auth: { anonymous: {} } }; }
  rpc Either(google.protobuf.Empty) returns (Question) { option (google.api.http) = { post: "/v1/either" }; option (transom.v1.method) = { auth: { mixed: {} roles: "staff" } }; }
  rpc Card(google.protobuf.Empty) returns (Question) { option (google.api.http) = { get: "/v1/card" }; option (transom.v1.method) = { auth: { mtls: {} } }; }
  rpc Pay(google.protobuf.Empty) returns (Question) {
    option (google.api.http) = { post: "/v1/pay" };
    option (transom.v1.method) = {
      idempotency_key: { required: true } rate_limit: { requests: 1 } concurrency: { max: 1 } timeout: { seconds: 3 } limits: { max_body_bytes: 1000 }
      status: { code: "DEADLINE_EXCEEDED" http_status: 408 }
    };
  }
}
message Question { string text = 1 [(buf.validate.field).string.min_len = 2]; }
`

// TestPolicies: Surface 220, 221 and 228: what the policies of a method ask for and answer is
// in its operation, and nothing else.
func TestPolicies(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"guarded.proto": guardedProto}, `auth: { jwt: [{ issuer: "https://id.example", secret: "a secret of more than 32 bytes, as it must be" }], session: { cookie: s } }
`)
	holds(t, root, map[string]string{
		"paths /v1/get get security":      `[{"token": ["read"]}, {"tokenInQuery": ["read"]}, {"tokenInCookie-t": ["read"]}]`,
		"paths /v1/get get x-idempotency": `"NO_SIDE_EFFECTS"`,
		"paths /v1/get get responses 400": `{"$ref": "#/components/responses/InvalidArgument"}`,
		"paths /v1/get get responses 401": `{"$ref": "#/components/responses/Unauthenticated"}`,
		"paths /v1/get get responses 403": `{"$ref": "#/components/responses/PermissionDenied"}`,
		"paths /v1/get get responses 429": "",
		"paths /v1/open get security":     `[]`,
		"paths /v1/open get responses": `{"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/guarded.v1.Question"}}}},
			"default": {"$ref": "#/components/responses/Error"}}`,
		"paths /v1/either post security":        `[{"token": []}, {"session": []}]`,
		"paths /v1/either post x-transom-roles": `["staff"]`,
		"paths /v1/card get security":           `[{"certificate": []}]`,
		"paths /v1/pay post parameters":         `[{"name": "Idempotency-Key", "in": "header", "description": "Calls with the same key have one effect, and the answer of the first.", "required": true, "schema": {"type": "string", "minLength": 1}}]`,
		"paths /v1/pay post responses 400":      `{"$ref": "#/components/responses/InvalidArgument"}`,
		"paths /v1/pay post responses 408":      `{"$ref": "#/components/responses/DeadlineExceeded408"}`,
		"paths /v1/pay post responses 409":      `{"$ref": "#/components/responses/Conflict"}`,
		"paths /v1/pay post responses 413":      `{"$ref": "#/components/responses/TooLarge"}`,
		"paths /v1/pay post responses 422":      `{"$ref": "#/components/responses/OtherRequest"}`,
		"paths /v1/pay post responses 429":      `{"$ref": "#/components/responses/TooManyRequests"}`,
		"paths /v1/pay post responses 503":      `{"$ref": "#/components/responses/Unavailable"}`,
		"paths /v1/pay post responses 504":      "",
		"components securitySchemes": `{"certificate": {"type": "mutualTLS", "description": "A certificate of the client."},
			"session": {"type": "apiKey", "in": "cookie", "name": "s", "description": "A session, which a login opens."},
			"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A signed JSON Web Token of ` + "`https://id.example`" + `."},
			"tokenInCookie-t": {"type": "apiKey", "in": "cookie", "name": "t", "description": "A signed JSON Web Token."},
			"tokenInQuery": {"type": "apiKey", "in": "query", "name": "access_token", "description": "A signed JSON Web Token."}}`,
		"components responses TooManyRequests headers Retry-After schema": `{"type": "integer", "minimum": 0}`,
	})
}
