package openapi_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/openapi"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const plainConfig = `auth: { jwt: [{ issuer: "https://id.example", secret: "a secret of more than 32 bytes, as it must be" }] }
routes:
  - { match: { path_prefix: /site }, upstream: site, policy: { auth: { jwt: {}, scopes: [site] }, rate_limit: [{ requests: 1 }], idempotency_key: {} } }
  - { match: { path: /hi, methods: [GET], host: "*.example.com", headers: { X-A: b }, query: { q: "1" } }, respond: { body: hello, status: 201 } }
  - { match: { path: /old, methods: [POST, GET] }, redirect: { path: /new } }
`

// TestPlainRoutes: Surface 204, 220 and 221: plain routes are in the document of all, with what
// they match and with the answers of their policies; what a server answers nobody knows.
func TestPlainRoutes(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: "127.0.0.1:1", NoBookstore: true, Protos: map[string]string{"library.proto": libraryProto},
		Upstreams: `site: { http: { servers: ["127.0.0.1:1"] } }`, Config: plainConfig})
	root := rootOf(t, g, openapi.Options{})
	holds(t, root, map[string]string{
		"tags 1 name":                                `"http"`,
		"paths /site/{path} get operationId":         `"http_get_site_path"`,
		"paths /site/{path} get parameters 0":        `{"name": "path", "in": "path", "description": "Anything below.", "required": true, "x-multi-segment": true, "schema": {"type": "string"}}`,
		"paths /site/{path} get security":            `[{"token": ["site"]}]`,
		"paths /site/{path} get responses 429":       `{"$ref": "#/components/responses/TooManyRequests"}`,
		"paths /site/{path} get requestBody":         "",
		"paths /site/{path} post requestBody":        `{"content": {"*/*": {"schema": {}}}}`,
		"paths /site/{path} post responses 409":      `{"$ref": "#/components/responses/Conflict"}`,
		"paths /site/{path} post parameters 1 in":    `"header"`,
		"paths /site/{path} patch responses default": `{"description": "What the server answers.", "content": {"*/*": {"schema": {}}}}`,
		"paths /hi get responses":                    `{"201": {"description": "The answer of the gateway.", "content": {"text/plain": {"schema": {}}}}, "default": {"$ref": "#/components/responses/Error"}}`,
		"paths /hi get security":                     `[]`,
		"paths /hi get servers 0":                    `{"url": "//{subdomain}.example.com", "variables": {"subdomain": {"default": "www", "description": "Any name below example.com."}}}`,
		"paths /hi get parameters": `[{"name": "q", "in": "query", "required": true, "schema": {"type": "string", "const": "1"}},
			{"name": "X-A", "in": "header", "required": true, "schema": {"type": "string", "const": "b"}}]`,
		"paths /hi put": "",
		"paths /old get responses 301 headers Location schema type":  `"string"`,
		"paths /old post responses 308 headers Location schema type": `"string"`,
	})
	one := rootOf(t, g, openapi.Options{Service: "library.v1.Library"})
	holds(t, one, map[string]string{"paths /hi": "", "tags 1": ""})
}

// TestWebSockets: Surface 222: the GET that opens a WebSocket is an operation, which says what
// messages go either way.
func TestWebSockets(t *testing.T) {
	protos := map[string]string{"library.proto": libraryProto, "talk.proto": `syntax = "proto3";
package talk.v1;
import "google/api/annotations.proto";
service Talk {
  rpc Speak(stream Word) returns (stream Answer) { option (google.api.http) = { post: "/v1/{text}:speak" body: "*" }; }
  rpc Only(Word) returns (stream Answer) { option (google.api.http) = { custom { kind: "websocket" path: "/v1/only" } }; }
}
message Word { string text = 1; string more = 2; }
message Answer { string text = 1; }
`}
	root := documentOf(t, openapi.Options{}, protos, "")
	holds(t, root, map[string]string{
		"paths /v1/{text}:speak get operationId":                           `"Talk_Speak_WebSocket"`,
		"paths /v1/{text}:speak get requestBody":                           "",
		"paths /v1/{text}:speak get x-transom-websocket receive":           `{"$ref": "#/components/schemas/talk.v1.Answer"}`,
		"paths /v1/{text}:speak get x-transom-websocket send properties":   `{"more": {"type": "string"}}`,
		"paths /v1/{text}:speak get x-transom-websocket sends":             `"MANY"`,
		"paths /v1/{text}:speak get responses 200":                         "",
		"paths /v1/{text}:speak get responses default":                     `{"$ref": "#/components/responses/Error"}`,
		"paths /v1/{text}:speak post x-transom-websocket receives":         `"MANY"`,
		"paths /v1/{text}:speak post responses 101":                        "",
		"paths /v1/only x-transom-operations":                              "",
		"paths /v1/only get x-transom-websocket":                           `{"receive": {"$ref": "#/components/schemas/talk.v1.Answer"}, "sends": "ONE", "receives": "MANY"}`,
		"paths /v1/watch/{name} get operationId":                           `"Library_Watch"`,
		"paths /v1/watch/{name} get x-transom-websocket receive":           `{"$ref": "#/components/schemas/library.v1.Book"}`,
		"paths /talk.v1.Talk/Speak get operationId":                        "",
		"paths /v1/shelves/{place}/books/{volume} get x-transom-websocket": "",
	})
	for _, path := range []string{"paths /v1/{text}:speak get responses 101 description", "paths /v1/watch/{name} get responses 101 description"} {
		if at(root, path) == nil {
			t.Errorf("there is no %s", path)
		}
	}
}
