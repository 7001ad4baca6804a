package openapi_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const restrictedProto = `syntax = "proto3";
package parts.v1;
import "google/api/annotations.proto";
import "google/api/visibility.proto";
service Parts {
  rpc Get(Part) returns (Part) { option (google.api.http) = { get: "/v1/part" }; }
  rpc Preview(Part) returns (Part) { option (google.api.http) = { get: "/v1/preview" }; option (google.api.method_visibility).restriction = "PREVIEW, INTERNAL"; }
}
service Inner {
  option (google.api.api_visibility).restriction = "INTERNAL";
  rpc Look(Part) returns (Part) { option (google.api.http) = { get: "/v1/inner" }; }
}
message Part {
  string name = 1;
  string cost = 2 [(google.api.field_visibility).restriction = "INTERNAL"];
  Secret secret = 3;
  map<string, Secret> secrets = 4;
  Kind kind = 5;
  oneof way { string road = 6; string tunnel = 7 [(google.api.field_visibility).restriction = "INTERNAL"]; }
}
message Secret { option (google.api.message_visibility).restriction = "INTERNAL"; string text = 1; }
enum Kind { KIND_UNSPECIFIED = 0; SMALL = 1; ODD = 2 [(google.api.value_visibility).restriction = "PREVIEW"]; }
`

// TestVisibility: Surface 224: what has a restriction is in no document that does not ask for it,
// nor what only it refers to.
func TestVisibility(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"parts.proto": restrictedProto}})
	holds(t, rootOf(t, g, openapi.Options{}), map[string]string{
		"paths /v1/preview": "", "paths /v1/inner": "", "tags 1": "",
		"components schemas parts.v1.Secret":          "",
		"components schemas parts.v1.Kind enum":       `["KIND_UNSPECIFIED", "SMALL"]`,
		"components schemas parts.v1.Part properties": `{"name": {"type": "string"}, "kind": {"$ref": "#/components/schemas/parts.v1.Kind"}, "road": {"type": "string"}}`,
		"components schemas parts.v1.Part x-oneof":    `{"way": ["road"]}`,
		"paths /v1/part get parameters 3":             "",
	})
	all := rootOf(t, g, openapi.Options{Visibility: []string{"INTERNAL"}})
	holds(t, all, map[string]string{
		"paths /v1/preview get operationId": `"Parts_Preview"`, "paths /v1/inner get operationId": `"Inner_Look"`,
		"components schemas parts.v1.Part x-oneof":           `{"way": ["road", "tunnel"]}`,
		"components schemas parts.v1.Kind enum":              `["KIND_UNSPECIFIED", "SMALL"]`,
		"components schemas parts.v1.Secret properties text": `{"type": "string"}`,
	})
	configured := documentOf(t, openapi.Options{}, map[string]string{"parts.proto": restrictedProto}, "openapi: { visibility: [PREVIEW] }\n")
	holds(t, configured, map[string]string{
		"paths /v1/preview get operationId": `"Parts_Preview"`, "paths /v1/inner": "", "components schemas parts.v1.Kind enum": `["KIND_UNSPECIFIED", "SMALL", "ODD"]`,
	})
}

// TestVisibilityOfPages: Surface 224 and 247: the documentation and what is said of a wrong name tell nothing of
// what has a restriction.
func TestVisibilityOfPages(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"parts.proto": restrictedProto},
		Config: "docs: { path: /docs }\nopenapi: { path: /openapi.json, visibility: [PREVIEW] }\n",
	})
	for path, want := range map[string]int{"/docs": 200, "/docs?service=parts.v1.Parts": 200, "/docs?service=parts.v1.Inne": 404, "/docs?service=parts.v1.Inner": 404, "/openapi.json": 200, "/openapi.json?service=parts.v1.Inne": 404} {
		a := g.Do(t, "GET", path, "")
		said := strings.ReplaceAll(a.Body, strconv.Quote("parts.v1.Inne"), "")
		if said = strings.ReplaceAll(said, `\"parts.v1.Inner\"`, ""); a.Status != want {
			t.Errorf("%s: %d\n%s", path, a.Status, a.Body)
		}
		for _, hidden := range []string{"v1.Inner;", "v1.Inner?", "Look", "tunnel", "Secret"} {
			if strings.Contains(said, hidden) {
				t.Errorf("%s tells of %s:\n%s", path, hidden, a.Body)
			}
		}
	}
	if a := g.Do(t, "GET", "/docs?service=parts.v1.Parts", ""); !strings.Contains(a.Body, "Preview") || !strings.Contains(a.Body, "ODD") {
		t.Errorf("the page lacks what is to be shown:\n%s", a.Body)
	}
}

// TestSettings: Surface 206, 208, 215 and 220: names, paths, oneofs and errors are those that the
// configuration asks for.
func TestSettings(t *testing.T) {
	protos := map[string]string{"library.proto": libraryProto, "other.proto": `syntax = "proto3";
package other.v1;
service Asking { rpc Ask(Kinds) returns (Kinds); }
message Kinds { Inner inner = 1; message Inner { string text = 1; } }
`}
	root := documentOf(t, openapi.Options{}, protos, "openapi: { naming: SHORT, path_style: TEMPLATE, oneofs: EXACT, errors: FULL }\n")
	schemas, _ := at(root, "components schemas").(map[string]any)
	for _, name := range []string{"Book", "Kind", "Inner", "Status", "library.v1.Kinds", "other.v1.Kinds", "Kind-proto_names.enums_as_numbers.int64_as_numbers"} {
		if schemas[name] == nil {
			t.Errorf("there is no schema %s among %q", name, slices.Sorted(maps.Keys(schemas)))
		}
	}
	holds(t, root, map[string]string{
		"paths /v1/{name} get parameters 0":                   `{"name": "name", "in": "path", "required": true, "x-multi-segment": true, "schema": {"type": "string", "pattern": "^shelves/[^/]+/books/[^/]+$"}}`,
		"paths /v1/{name} get x-transom-template":             `"/v1/{name=shelves/*/books/*}"`,
		"paths /v1/{book_name} patch operationId":             "",
		"components schemas Book properties sequel":           `{"$ref": "#/components/schemas/Book"}`,
		"components schemas Book oneOf":                       `[{"required": ["atHome"]}, {"required": ["lent"]}, {"not": {"anyOf": [{"required": ["atHome"]}, {"required": ["lent"]}]}}]`,
		"paths /v1/books/{kind} get responses 404":            `{"$ref": "#/components/responses/Status404NOT_FOUND"}`,
		"paths /v1/books/{kind} get responses 503":            `{"$ref": "#/components/responses/Status503UNAVAILABLE"}`,
		"components responses Status404NOT_FOUND description": `"NOT_FOUND."`,
	})
	bare := documentOf(t, openapi.Options{}, protos, "openapi: { errors: NONE }\n")
	holds(t, bare, map[string]string{
		"paths /v1/books/{kind} get responses default": "", "components responses": "",
	})
}

const ruledPartsProto = `syntax = "proto3";
package parts.v1;
import "buf/validate/validate.proto";
import "google/api/visibility.proto";
service Parts { rpc Get(Part) returns (Part); rpc Never(Closed) returns (Part); }
message Part {
  option (buf.validate.message).cel = { id: "open" message: "a name is short" expression: "size(this.name) < 9" };
  option (buf.validate.message).cel = { id: "closed" message: "it costs" expression: "!has(this.inner) || this.inner.cost > 3" };
  option (buf.validate.message).cel_expression = "has(this.inner) || this.name != ''";
  string name = 1;
  Inner inner = 2;
}
message Inner { int32 cost = 1 [(google.api.field_visibility).restriction = "INTERNAL"]; string text = 2; }
message Closed { string text = 1 [(buf.validate.field).cel = { id: "never" expression: "this != this" }, (buf.validate.field).required = true]; }
`

// TestVisibilityOfRules: Surface 217, 224 and 226: rules of a message in CEL are told, those that name a field which is not shown are not;
// the page says where its examples break one.
func TestVisibilityOfRules(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"parts.proto": ruledPartsProto}, Config: "docs: { path: /docs }\n"})
	part := "components schemas parts.v1.Part "
	holds(t, rootOf(t, g, openapi.Options{}), map[string]string{
		part + "x-cel":       `[{"id": "open", "message": "a name is short", "expression": "size(this.name) < 9"}, {"expression": "has(this.inner) || this.name != ''"}]`,
		part + "description": `"Rules: a name is short."`,
	})
	if all := rootOf(t, g, openapi.Options{Visibility: []string{"INTERNAL"}}); at(all, part+"x-cel 1 id") != "closed" {
		t.Errorf("the document of those inside is without a rule: %v", at(all, part+"x-cel"))
	}
	page := g.Do(t, "GET", "/docs?service=parts.v1.Parts", "").Body
	if n := strings.Count(page, "a rule in CEL asks for other values"); n != 1 || !strings.Contains(page, "parts.v1.Parts/Never") {
		t.Errorf("the page says %d times that its examples break a rule, want once", n)
	}
}

// TestVisibilityOfPackages: Surface 224: nothing names a package whose services are not shown, neither the title nor a path of a document.
func TestVisibilityOfPackages(t *testing.T) {
	inner := "syntax = \"proto3\";\npackage inner.v1;\nimport \"google/api/visibility.proto\";\nservice Inner { option (google.api.api_visibility).restriction = \"INTERNAL\"; rpc Look(M) returns (M); }\nmessage M { string a = 1; }\n"
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"parts.proto": restrictedProto, "inner.proto": inner},
		Config: "openapi: { path: /openapi.json, by_package: true }\ndocs: { path: /docs }\n"})
	if title := at(rootOf(t, g, openapi.Options{}), "info title"); title != "parts.v1" {
		t.Errorf("the title is %v", title)
	}
	if title := at(rootOf(t, g, openapi.Options{Visibility: []string{"INTERNAL"}}), "info title"); title != "inner.v1, parts.v1" {
		t.Errorf("the title of all is %v", title)
	}
	for path, status := range map[string]int{"/openapi.json": 200, "/openapi/parts.v1.json": 200, "/openapi/inner.v1.json": 404, "/openapi/none.v1.json": 404, "/docs": 200, "/docs?service=none.v1.None": 404} {
		answer := g.Do(t, "GET", path, "")
		if body := strings.ReplaceAll(answer.Body, path, ""); answer.Status != status || strings.Contains(body, "inner.v1") {
			t.Errorf("%s: %d %.300s", path, answer.Status, body)
		}
	}
}
