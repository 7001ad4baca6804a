package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

const formType = "application/x-www-form-urlencoded"

// repeatedProto has what only rest.repeated_path_values lets load. The backend
// does not serve it: 501 says that the route is there.
var repeatedProto = map[string]string{"repeated/repeated.proto": `
syntax = "proto3";
package repeated;
import "google/api/annotations.proto";
service Sums {
  rpc Sum(Numbers) returns (Numbers) { option (google.api.http) = {get: "/v1/sum/{numbers}"}; }
}
message Numbers { repeated int32 numbers = 1; }
`}

// A point is one thing that another gateway does otherwise: what the settings
// make of a request, which is the same with the word and with the setting alone.
type point struct {
	// setting is its YAML, such as "rest: { literal_plus: true }"; "" for one that
	// is a policy's (json).
	setting string
	// without is the status and the JSON of Transom's own way.
	scenario
	without scenario
}

// grpcGatewayPoints run against the bookstore.
var grpcGatewayPoints = []point{
	{
		setting:  "defaults: { json: { unset_messages_as_null: true } }",
		scenario: scenario{name: "unset messages are null", method: "GET", path: "/v1/echo/x", status: 200, want: `{"messageValue": null}`},
	},
	{
		setting:  "rest: { only_rules: true }",
		scenario: scenario{name: "a method's own path takes no JSON", method: "POST", path: "/bookstore.v1.BookstoreService/GetShelf", body: `{"name": "shelves/1"}`, status: 404, want: `{"code": 5}`},
		without:  scenario{status: 200, want: `{"name": "shelves/1"}`},
	},
	{
		setting:  "rest: { ignore_unknown_query: true }",
		scenario: scenario{name: "unknown query parameters are ignored", method: "GET", path: "/v1/shelves/1?nothing=1", status: 200},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { ignore_bound_query: true }",
		scenario: scenario{name: "query parameters of the path are ignored", method: "GET", path: "/v1/shelves/1?name=shelves/2", status: 200, want: `{"name": "shelves/1"}`},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { ignore_bound_query: true }",
		scenario: scenario{name: "query parameters beside a whole body are ignored", method: "POST", path: "/v1/books:search?query=x", body: `{"query": "lighthouse"}`, status: 200, want: `{"books": [{"name": "shelves/1/books/1"}]}`},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { ignore_unknown_fields: true }",
		scenario: scenario{name: "unknown JSON fields are ignored", method: "POST", path: "/v1/echo", body: `{"nothing": 1, "int32Value": 2}`, status: 200, want: `{"int32Value": 2}`},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { ignore_trailing_json: true }",
		scenario: scenario{name: "what follows the JSON is ignored", method: "POST", path: "/v1/echo", body: `{"int32Value": 2} {]`, status: 200, want: `{"int32Value": 2}`},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { any_content_type: true }",
		scenario: scenario{name: "a body is JSON whatever it says", method: "POST", path: "/v1/echo", body: `{"int32Value": 2}`, headers: []string{"Content-Type", "text/plain"}, status: 200, want: `{"int32Value": 2}`},
		without:  scenario{status: 415},
	},
	{
		setting:  "rest: { any_content_type: true }",
		scenario: scenario{name: "JSON as curl -d sends it", method: "POST", path: "/v1/echo", body: `{"int32Value": 2}`, headers: []string{"Content-Type", formType}, status: 200, want: `{"int32Value": 2}`},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { form_method_override: true }",
		scenario: scenario{name: "a form POST reaches GET, and is its query", method: "POST", path: "/v1/echo/x", body: "specimen.int32Value=7", headers: []string{"Content-Type", formType}, status: 200, want: `{"int32Value": 7, "stringValue": "x"}`},
		without:  scenario{status: 405},
	},
	{
		setting:  "rest: { form_method_override: true }",
		scenario: scenario{name: "a form POST with X-HTTP-Method-Override", method: "POST", path: "/v1/shelves/nope", body: "force=true", headers: []string{"Content-Type", formType, "X-HTTP-Method-Override", "delete"}, status: 404, want: `{"message": "~shelves/nope"}`},
		without:  scenario{status: 405},
	},
	{
		setting:  "rest: { wrong_method_unimplemented: true }",
		scenario: scenario{name: "a known path with another method is 501", method: "DELETE", path: "/v1/books:search", status: 501, want: `{"code": 12}`},
		without:  scenario{status: 405},
	},
	{
		setting:  "rest: { stream_envelope: true }",
		scenario: scenario{name: "a stream's error is in its envelope", method: "GET", path: "/v1/shelves/nope/books:watch", status: 404, want: `{"error": {"code": 5}}`},
		without:  scenario{status: 404, want: `{"code": 5}`},
	},
}

// envoyPoints run against the bookstore.
var envoyPoints = []point{
	{
		setting:  "defaults: { json: { omit_defaults: true } }",
		scenario: scenario{name: "default values are left out", method: "GET", path: "/v1/echo/x?specimen.int32Value=0", status: 200, want: `{"stringValue": "x", "int32Value": "absent"}`},
		without:  scenario{status: 200, want: `{"stringValue": "x", "int32Value": 0}`},
	},
	{
		setting:  "rest: { only_rules: true }",
		scenario: scenario{name: "a method's own path takes no JSON", method: "POST", path: "/bookstore.v1.BookstoreService/GetShelf", body: `{"name": "shelves/1"}`, status: 404},
		without:  scenario{status: 200},
	},
	{
		setting:  "rest: { literal_plus: true }",
		scenario: scenario{name: "a plus in the query is a plus", method: "GET", path: "/v1/echo/x?specimen.optionalString=a+b%2Bc%20d", status: 200, want: `{"optionalString": "a+b+c d"}`},
		without:  scenario{status: 200, want: `{"optionalString": "a b+c d"}`},
	},
	{
		setting:  "rest: { ignore_unknown_fields: true }",
		scenario: scenario{name: "unknown JSON fields are ignored", method: "POST", path: "/v1/echo", body: `{"nothing": 1, "int32Value": 2}`, status: 200, want: `{"int32Value": 2}`},
		without:  scenario{status: 400},
	},
	{
		setting:  "rest: { any_content_type: true }",
		scenario: scenario{name: "a body is JSON whatever it says", method: "POST", path: "/v1/echo", body: `{"int32Value": 2}`, headers: []string{"Content-Type", "text/plain"}, status: 200, want: `{"int32Value": 2}`},
		without:  scenario{status: 415},
	},
	{
		setting:  "rest: { status_headers: true }",
		scenario: scenario{name: "an error is in the headers", method: "GET", path: "/v1/shelves/nope", status: 404, header: [2]string{"Grpc-Status", "5"}},
		without:  scenario{status: 404, want: `{"code": 5}`},
	},
	{
		setting:  "rest: { accept_trailing_slash: true }",
		scenario: scenario{name: "a trailing slash", method: "GET", path: "/v1/shelves/", status: 200},
		without:  scenario{status: 404},
	},
	{
		setting:  "rest: { ignore_unknown_fields: true, ignore_unknown_enums: false }",
		scenario: scenario{name: "unknown enum values are refused", method: "POST", path: "/v1/echo", body: `{"nothing": 1, "enumValue": "NOTHING"}`, status: 400, want: `{"code": 3}`},
	},
	{
		scenario: scenario{name: "the gateway's own errors are said in JSON", method: "GET", path: "/v1/shelves/1?nothing=1", status: 400, want: `{"code": 3}`},
	},
	{
		scenario: scenario{name: "an unknown route is 404", method: "GET", path: "/v1/nothing", status: 404, want: `{"code": 5}`},
	},
}

// TestCompatibility: each point holds under the word, under its setting alone,
// and not without.
func TestCompatibility(t *testing.T) {
	for _, c := range []struct {
		word   string
		points []point
	}{{"GRPC_GATEWAY", grpcGatewayPoints}, {"ENVOY", envoyPoints}} {
		backend := gatewaytest.StartBookstore(t)
		start := func(config string) *gatewaytest.Gateway {
			return gatewaytest.Start(t, gatewaytest.Options{Backend: backend, Config: config})
		}
		compatible, plain := start("compatibility: "+c.word), start("")
		alone := map[string]*gatewaytest.Gateway{}
		for _, p := range c.points {
			t.Run("Semantics 56: "+c.word+": "+p.name, func(t *testing.T) {
				p.check(t, compatible)
				if p.setting == "" {
					return
				}
				if alone[p.setting] == nil {
					alone[p.setting] = start(p.setting)
				}
				p.check(t, alone[p.setting])
				own := p.scenario
				own.status, own.want, own.header = p.without.status, p.without.want, p.without.header
				if own.status != 0 {
					own.check(t, plain)
				}
			})
		}
	}
}

// TestSemantics327 writes beside the word what it sets otherwise, and asks.
func TestSemantics327(t *testing.T) {
	backend := gatewaytest.StartBookstore(t)
	for config, s := range map[string]scenario{
		"compatibility: GRPC_GATEWAY\ndefaults: { json: { omit_defaults: true } }": {method: "GET", path: "/v1/echo/x?specimen.int32Value=0", status: 200, want: `{"stringValue": "x", "int32Value": "absent"}`},
		"compatibility: GRPC_GATEWAY\nrest: { ignore_unknown_query: false }":       {method: "GET", path: "/v1/shelves/1?nothing=1", status: 400},
		"compatibility: GRPC_GATEWAY\nrest: { stream_array: true }":                {method: "GET", path: "/v1/shelves/nope/books:watch", status: 404, want: `{"code": 5}`},
		"compatibility: ENVOY\ndefaults: { json: { omit_defaults: false } }":       {method: "GET", path: "/v1/echo/x", status: 200, want: `{"int32Value": 0}`},
		"compatibility: ENVOY\nrest: { status_headers: false }":                    {method: "GET", path: "/v1/shelves/nope", status: 404, want: `{"code": 5}`},
		"rest: { ignore_unknown_enums: true }":                                     {method: "POST", path: "/v1/echo", body: `{"enumValue": "NOTHING", "int32Value": 2}`, status: 200, want: `{"int32Value": 2}`},
	} {
		t.Run("Semantics 327: "+config, func(t *testing.T) {
			s.check(t, gatewaytest.Start(t, gatewaytest.Options{Backend: backend, Config: config}))
		})
	}
}

func (s scenario) check(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	a := g.Do(t, s.method, s.path, s.body, s.headers...)
	if a.Status != s.status {
		t.Fatalf("status %d, want %d\n%s", a.Status, s.status, a.Body)
	}
	// A field that must not be there is "absent".
	want := strings.ReplaceAll(s.want, `, "int32Value": "absent"`, "")
	if want != s.want && strings.Contains(a.Body, "int32Value") {
		t.Errorf("int32Value is written: %s", a.Body)
	}
	if want != "" {
		if err := contains(a.Body, want); err != nil {
			t.Errorf("%v\n%s", err, a.Body)
		}
	}
	if s.header[0] != "" && a.Header.Get(s.header[0]) != s.header[1] {
		t.Errorf("%s = %q, want %q", s.header[0], a.Header.Get(s.header[0]), s.header[1])
	}
}

// startTelling starts a stub that keeps the metadata it got and answers with
// metadata and trailers of its own.
func startTelling(t *testing.T, config string, got *metadata.MD) *gatewaytest.Gateway {
	s := &stub{
		search: func(ctx context.Context, _ *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error) {
			*got, _ = metadata.FromIncomingContext(ctx)
			err := grpc.SetHeader(ctx, metadata.Pairs("x-said", "hi", "etag", `"1"`))
			if err == nil {
				err = grpc.SetTrailer(ctx, metadata.Pairs("x-last", "bye"))
			}
			if err == nil && len(got.Get("x-fail")) > 0 {
				err = status.Error(codes.NotFound, "gone: 100%")
			}
			return &pb.SearchBooksResponse{}, err
		},
		watch: func(r *pb.WatchBooksRequest, stream watchStream) error {
			if err := send(stream, 2); err != nil {
				return err
			}
			return status.Error(codes.Aborted, "enough")
		},
	}
	return startStub(t, s, config)
}

// headersOf keeps the headers that carry metadata, as "Name: value", sorted.
func headersOf(h http.Header) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, "Grpc-") || name == "X-Said" || name == "X-Last" || name == "Etag" {
			lines = append(lines, fmt.Sprintf("%s: %s", name, h.Get(name)))
		}
	}
	return strings.Join(lines, "\n")
}

// TestCompatibilityMetadata: which metadata crosses, under the words and under
// the settings alone.
func TestCompatibilityMetadata(t *testing.T) {
	for _, c := range []struct {
		name, config string
		// header and trailer are what comes back for TE: trailers.
		header, trailer string
		// crosses and stays are metadata names that the service sees and does not.
		crosses, stays []string
	}{
		{
			"GRPC_GATEWAY", "compatibility: GRPC_GATEWAY",
			"Grpc-Metadata-Etag: \"1\"\nGrpc-Metadata-X-Said: hi", "Grpc-Trailer-X-Last: bye",
			[]string{"x-a", "authorization", "grpcgateway-authorization", "grpcgateway-cookie", "grpcgateway-user-agent", "grpcgateway-origin", "x-forwarded-for", "x-forwarded-host"},
			[]string{"x-own", "cookie"},
		},
		{
			"ENVOY", "compatibility: ENVOY",
			"Etag: \"1\"\nX-Said: hi", "",
			[]string{"x-own", "cookie", "origin", "authorization", "x-forwarded-for"},
			[]string{"grpcgateway-cookie", "content-length", "x-forwarded-evil"},
		},
		{
			"http_trailers alone", "metadata: { http_trailers: true, trailer_prefix: T- }",
			"Etag: \"1\"\nGrpc-Metadata-X-Said: hi", "T-X-Last: bye", nil, []string{"x-own"},
		},
		{
			"trailer_prefix alone", "metadata: { trailer_prefix: Grpc-Trailer- }",
			"Etag: \"1\"\nGrpc-Metadata-X-Said: hi\nGrpc-Trailer-X-Last: bye", "", nil, nil,
		},
		{
			"prefix_all alone", "metadata: { prefix_all: true }",
			"Grpc-Metadata-Etag: \"1\"\nGrpc-Metadata-X-Said: hi", "", nil, nil,
		},
		{
			"permanent_prefix alone", "metadata: { permanent_prefix: http- }",
			"Etag: \"1\"\nGrpc-Metadata-X-Said: hi", "", []string{"http-cookie"}, []string{"x-own"},
		},
		{
			"all response headers alone", `metadata: { response_headers: ["*"] }`,
			"Etag: \"1\"\nX-Said: hi", "", nil, []string{"x-own"},
		},
		{
			"all request headers alone", `metadata: { request_headers: ["*"] }`,
			"Etag: \"1\"\nGrpc-Metadata-X-Said: hi", "", []string{"x-own", "cookie"}, []string{"x-forwarded-evil"},
		},
	} {
		t.Run("Semantics 56: "+c.name, func(t *testing.T) {
			var got metadata.MD
			g := startTelling(t, c.config, &got)
			for _, client := range []*http.Client{g.Client, g.HTTP2} {
				header, trailer := tell(t, client, g.URL)
				if header != c.header {
					t.Errorf("header\n%s\nwant\n%s", header, c.header)
				}
				if trailer != c.trailer {
					t.Errorf("trailer %q, want %q", trailer, c.trailer)
				}
				for _, name := range c.crosses {
					if len(got[name]) != 1 {
						t.Errorf("%s is %q, want one value", name, got[name])
					}
				}
				for _, name := range c.stays {
					if len(got[name]) != 0 {
						t.Errorf("%s is %q, want none", name, got[name])
					}
				}
			}
		})
	}
}

// tell sends headers of all kinds and returns the metadata that comes back.
func tell(t *testing.T, client *http.Client, url string) (header, trailer string) {
	response := open(t, client, "GET", url+"/v1/books:search", nil, "TE", "trailers",
		"Grpc-Metadata-X-A", "a", "Authorization", "Basic eDp5", "Cookie", "a=b", "Origin", url, "X-Own", "o",
		"X-Forwarded-Evil", "e", "X-Forwarded-For", "192.0.2.1")
	if _, err := readPlain(response); err != nil {
		t.Fatal(err)
	}
	for name := range response.Trailer {
		trailer += name + ": " + response.Trailer.Get(name)
	}
	return headersOf(response.Header), trailer
}

// TestCompatibilityStreams: what a stream looks like that fails in its middle.
func TestCompatibilityStreams(t *testing.T) {
	for _, c := range []struct{ name, config, contentType, want string }{
		{"GRPC_GATEWAY", "compatibility: GRPC_GATEWAY", "application/json", `{"result":`},
		{"stream_envelope alone", "rest: { stream_envelope: true }", "application/json", `{"result":`},
		{"ENVOY", "compatibility: ENVOY", "application/json", `[{"`},
		{"stream_array alone", "rest: { stream_array: true }", "application/json", `[{"`},
		{"neither", "", "application/x-ndjson", `{"`},
	} {
		t.Run("Semantics 56: "+c.name, func(t *testing.T) {
			var got metadata.MD
			g := startTelling(t, c.config, &got)
			response := open(t, g.Client, "GET", g.URL+watchPath, nil)
			text, err := readPlain(response)
			if contentType := response.Header.Get("Content-Type"); contentType != c.contentType {
				t.Errorf("Content-Type %s, want %s", contentType, c.contentType)
			}
			if !strings.HasPrefix(string(text), c.want) {
				t.Errorf("%s, want it to begin with %s", text, c.want)
			}
			array := c.want == `[{"`
			if broken := err != nil; broken != array {
				t.Errorf("reading it: %v", err)
			}
			if !array && !strings.Contains(string(text), `{"error":{"code":10`) {
				t.Errorf("%s, want the error as its last line", text)
			}
		})
	}
}

// TestCompatibilityErrors: the error of Envoy is headers without a body.
func TestCompatibilityErrors(t *testing.T) {
	var got metadata.MD
	g := startTelling(t, "compatibility: ENVOY", &got)
	a := g.Do(t, "GET", "/v1/books:search", "", "X-Fail", "1")
	if a.Status != 404 || a.Body != "" || a.Header.Get("Grpc-Status") != "5" || a.Header.Get("Grpc-Message") != "gone: 100%25" {
		t.Errorf("Semantics 56: ENVOY: status %d, %v\n%s", a.Status, a.Header, a.Body)
	}
}

// TestReservedEscapes: what a path variable of several segments decodes.
func TestReservedEscapes(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{"compatibility: ENVOY\nrest: { status_headers: false }", "~shelves/a%23b c%3f"},
		{"rest: { keep_reserved_escapes: true }", "~shelves/a%23b c%3f"},
		{"", "~shelves/a#b c?"},
	} {
		t.Run("Semantics 56: "+c.config, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Config: c.config})
			a := g.Do(t, "GET", "/v1/shelves/a%23b%20c%3f", "")
			if err := contains(a.Body, `{"code": 5, "message": "`+c.want+`"}`); err != nil {
				t.Errorf("%v\n%s", err, a.Body)
			}
		})
	}
}

// TestRepeatedPathValues: the rule loads under the word and the setting. That the
// values arrive is tested against grpc-gateway itself, in interop.
func TestRepeatedPathValues(t *testing.T) {
	for _, config := range []string{"compatibility: GRPC_GATEWAY", "rest: { repeated_path_values: true }"} {
		t.Run("Semantics 56: "+config, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Config: config, Protos: repeatedProto})
			if a := g.Do(t, "GET", "/v1/sum/1,2", ""); a.Status != 501 || !strings.Contains(a.Body, "repeated.Sums") {
				t.Errorf("status %d\n%s", a.Status, a.Body)
			}
			if a := g.Do(t, "GET", "/v1/sum/1,x", ""); a.Status != 400 {
				t.Errorf("status %d\n%s", a.Status, a.Body)
			}
		})
	}
}

// TestCompatibilityIsOverruled: what the configuration says itself wins.
func TestCompatibilityIsOverruled(t *testing.T) {
	for _, c := range []struct {
		config, path string
		status       int
	}{
		{"compatibility: GRPC_GATEWAY\nrest: { ignore_unknown_query: false }", "/v1/shelves/1?nothing=1", 400},
		{"compatibility: GRPC_GATEWAY\nrest: { unknown_route_unimplemented: true }", "/v1/nothing", 501},
	} {
		t.Run("Semantics 56: "+c.config, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Config: c.config})
			if a := g.Do(t, "GET", c.path, ""); a.Status != c.status {
				t.Errorf("status %d, want %d\n%s", a.Status, c.status, a.Body)
			}
		})
	}
}
