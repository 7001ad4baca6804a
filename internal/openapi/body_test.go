package openapi_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const bodiesProto = `syntax = "proto3";
package bodies.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/api/httpbody.proto";
service Bodies {
  rpc Loose(Free) returns (Note) { option (google.api.http) = { post: "/v1/loose" body: "*" }; }
  rpc Strict(Order) returns (Note) { option (google.api.http) = { post: "/v1/strict" body: "*" }; }
  rpc InPath(Order) returns (Note) { option (google.api.http) = { post: "/v1/strict/{buyer}" body: "*" }; }
  rpc Field(Parts) returns (Note) { option (google.api.http) = { post: "/v1/field" body: "order" }; }
  rpc NeededField(Needed) returns (Note) { option (google.api.http) = { post: "/v1/needed" body: "note" }; }
  rpc Choice(Either) returns (Note) { option (google.api.http) = { post: "/v1/choice" body: "*" }; }
  rpc Upload(google.api.HttpBody) returns (Note) { option (google.api.http) = { post: "/v1/upload" body: "*" }; }
  rpc Stream(stream Note) returns (Note) { option (google.api.http) = { post: "/v1/stream" body: "*" }; }
  rpc Own(Order) returns (Note);
}
// A "note",   with   spaces.
message Note { string text = 1 [(buf.validate.field).string = { prefix: "a  b\tc " }]; }
message Free { string text = 1; }
message Order { string buyer = 1 [(buf.validate.field).string.min_len = 1]; string made = 2 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = OUTPUT_ONLY]; }
message Parts { Order order = 1; }
message Needed { Note note = 1 [(google.api.field_behavior) = REQUIRED]; }
message Either { oneof way { option (buf.validate.oneof).required = true; string road = 1; string rail = 2; } }
`

// TestBodyIsRequired: Surface 212: a body is required where a request without one is not valid, as the gateway has it.
func TestBodyIsRequired(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"bodies.proto": bodiesProto}})
	root := rootOf(t, g, openapi.Options{})
	for path, required := range map[string]bool{
		"/v1/loose": false, "/v1/strict": true, "/v1/strict/{buyer}": false, "/v1/field": false, "/v1/choice": true,
		"/v1/upload": false, "/v1/stream": false, "/bodies.v1.Bodies/Own": true,
	} {
		if got := at(root, "paths "+path+" post requestBody required") == true; got != required {
			t.Errorf("%s: the body is required: %v, want %v", path, got, required)
		}
		answer := g.Do(t, "POST", strings.ReplaceAll(path, "{buyer}", "b"), "")
		if refused := answer.Status == 400; refused != required {
			t.Errorf("%s: without a body the gateway answers %d %s, and the document says that it is required: %v", path, answer.Status, answer.Body, required)
		}
	}
	if at(root, "paths /v1/needed post requestBody required") != true {
		t.Error("the body that is a required field is not required")
	}
}

// TestBodyLikeGRPCGateway: Surface 227: generated clients keep the signatures that protoc-gen-openapiv2 gives them.
func TestBodyLikeGRPCGateway(t *testing.T) {
	root := documentOf(t, openapi.Options{}, map[string]string{"bodies.proto": bodiesProto}, "compatibility: GRPC_GATEWAY\n")
	if at(root, "paths /v1/loose post requestBody required") != true {
		t.Error("the body is not required")
	}
}

// TestStreamSnippet: Surface 247: the line of a stream to paste has its message on one line, as it is.
func TestStreamSnippet(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"bodies.proto": bodiesProto}, Config: "docs: { path: /docs }\n"})
	page := html.UnescapeString(g.Do(t, "GET", "/docs?service=bodies.v1.Bodies", "").Body)
	if !strings.Contains(page, `-d '{"text":"a  b\tc `) {
		t.Errorf("found %q", regexp.MustCompile(`x-ndjson' -d .*`).FindAllString(page, -1))
	}
}
