package openapi_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const answersProto = `syntax = "proto3";
package answers.v1;
import "google/api/annotations.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "transom/v1/annotations.proto";
service Answers {
  rpc Inner(Thing) returns (Thing) { option (google.api.http) = { get: "/v1/inner" response_body: "below" }; }
  rpc List(Thing) returns (Thing) { option (google.api.http) = { get: "/v1/list" response_body: "names" }; }
  rpc Told(Thing) returns (Thing) {
    option (google.api.http) = { post: "/v1/told" body: "*" };
    option (transom.v1.method) = { response_metadata: { http_status: true headers: "location" } };
  }
}
message Thing {
  Thing below = 1; repeated string names = 2; google.protobuf.NullValue nothing = 3; google.protobuf.Int32Value maybe = 4;
  repeated google.protobuf.BoolValue flags = 5; map<int64, string> of = 6; map<bool, string> by = 7;
}
`

// TestAnswers: Surface 210, 212 and 220: a field that is not set is null as an answer, and no text of a query;
// a service may say other statuses where the policy lets it; keys of maps are texts of their type.
func TestAnswers(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"answers.proto": answersProto}})
	thing := `{"application/json": {"schema": {"$ref": "#/components/schemas/answers.v1.Thing"}}}`
	holds(t, rootOf(t, g, openapi.Options{}), map[string]string{
		"paths /v1/inner get responses 200 content application/json schema": `{"anyOf": [{"$ref": "#/components/schemas/answers.v1.Thing"}, {"type": "null"}]}`,
		"paths /v1/list get responses 200 content application/json schema":  `{"type": "array", "items": {"type": "string"}}`,

		"paths /v1/list get parameters 1 name":   `"nothing"`,
		"paths /v1/list get parameters 1 schema": `{"type": "string", "enum": ["NULL_VALUE"]}`,
		"paths /v1/list get parameters 2 schema": `{"type": "integer", "format": "int32"}`,
		"paths /v1/list get parameters 3 schema": `{"type": "array", "items": {"type": "boolean"}}`,
		"paths /v1/list get parameters 4 schema": `{"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"type": "string", "pattern": "^-?[0-9]+$"}}`,
		"paths /v1/list get parameters 5 schema": `{"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"enum": ["false", "true"]}}`,

		"components schemas answers.v1.Thing properties nothing": `{"type": "null"}`,
		"components schemas answers.v1.Thing properties maybe":   `{"type": ["integer", "null"], "format": "int32"}`,

		"paths /v1/told post responses 200 content": thing, "paths /v1/told post responses 2XX content": thing,
		"paths /v1/told post responses 200 headers Location schema": `{"type": "string"}`,
		"paths /v1/told post responses 204":                         `{"description": "A success without content, by the service."}`,
		"paths /v1/told post responses 3XX content":                 "",
		"paths /v1/list get responses 2XX":                          "",
		"paths /answers.v1.Answers/Told post responses 2XX":         "",
	})
}
