package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// thingProto is a service whose backend shapes its answer as the request says.
const thingProto = `syntax = "proto3";
package thing.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";

service Things {
  rpc Make(Order) returns (Thing) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { post: "/v1/things" body: "*" };
  }
  rpc Feed(Order) returns (stream Thing) {
    option (google.api.http) = { get: "/v1/feed" };
  }
  rpc Collect(stream Order) returns (Thing) {
    option (google.api.http) = { post: "/v1/collect" body: "*" };
  }
  rpc Read(Order) returns (stream google.api.HttpBody) {
    option (google.api.http) = { get: "/v1/read" };
  }
  rpc Bare(Order) returns (Thing) {
    option (google.api.http) = { post: "/v1/bare" body: "*" };
  }
}
message Order {
  repeated string header = 1;  // "name=value"
  repeated string trailer = 2;
  int32 code = 3;
}
message Thing {
  enum Kind { KIND_UNSPECIFIED = 0; LARGE_KIND = 1; }
  int64 long_number = 1;
  Kind kind = 2;
  string some_text = 3;
  Inner inner = 4;
  repeated uint64 list = 5;
  map<string, int32> map = 6;
  optional int32 maybe = 7;
}
message Inner { string text = 1; }
`

// serveThings is the backend: one answer, with the metadata and the code of the
// request.
func serveThings(_ any, stream grpc.ServerStream) error {
	order := &emptypb.Empty{}
	if err := stream.RecvMsg(order); err != nil {
		return err
	}
	code := codes.OK
	for wire := []byte(order.ProtoReflect().GetUnknown()); len(wire) > 0; {
		number, kind, n := protowire.ConsumeTag(wire)
		wire = wire[n:]
		if kind == protowire.VarintType {
			v, n := protowire.ConsumeVarint(wire)
			code, wire = codes.Code(v), wire[n:]
			continue
		}
		text, n := protowire.ConsumeString(wire)
		wire = wire[n:]
		name, value, _ := strings.Cut(text, "=")
		if number == 2 {
			stream.SetTrailer(metadata.Pairs(name, value))
		} else if err := stream.SetHeader(metadata.Pairs(name, value)); err != nil {
			return err
		}
	}
	if code != codes.OK {
		return status.Error(code, "as told")
	}
	method, _ := grpc.MethodFromServerStream(stream)
	thing := &emptypb.Empty{}
	thing.ProtoReflect().SetUnknown(thingWire(strings.HasSuffix(method, "Read")))
	return stream.SendMsg(thing)
}

// thingWire is a Thing with a number, a kind and a list, or an HttpBody.
func thingWire(raw bool) []byte {
	if raw {
		b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "text/plain")
		return protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "pieces")
	}
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1<<53+1)
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), 1)
	return protowire.AppendBytes(protowire.AppendTag(b, 5, protowire.BytesType), protowire.AppendVarint(nil, 7))
}

// startThings starts the backend and a gateway that has a policy for all its
// methods but Bare.
func startThings(t testing.TB, config string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, serveThings), NoBookstore: true,
		Protos: map[string]string{"thing/v1/thing.proto": thingProto}, Config: config})
}

// order is a request for metadata.
func order(header ...string) string {
	text, _ := json.Marshal(map[string]any{"header": header}) // strings have a JSON form
	return string(text)
}

// shaped has a policy at each method but Bare.
func shaped(policy string) string {
	text := "policies:\n"
	for _, method := range []string{"Make", "Feed", "Collect", "Read"} {
		text += "  - { selector: thing.v1.Things." + method + ", policy: { " + policy + " } }\n"
	}
	return text
}

func TestResponseMetadata(t *testing.T) {
	g := startThings(t, shaped("response_metadata: { http_status: true, headers: [location, set-cookie, x-mine, x-bytes-bin] }"))
	for _, test := range []struct {
		name   string
		body   string
		status int
		header map[string]string
		empty  bool
	}{
		{"200 by default", order("x-mine=a"), 200, map[string]string{"X-Mine": "a", "Content-Type": "application/json"}, false},
		{"201 and location", order("x-http-code=201", "location=/v1/things/1"), 201,
			map[string]string{"Location": "/v1/things/1", "Content-Type": "application/json", "X-Http-Code": "", "Grpc-Metadata-X-Http-Code": ""}, false},
		{"204", order("x-http-code=204"), 204, map[string]string{"Content-Type": "", "Content-Length": ""}, true},
		{"302", order("x-http-code=302", "location=https://other.example/"), 302, map[string]string{"Location": "https://other.example/"}, false},
		{"304", order("x-http-code=304", `etag="1"`), 304, map[string]string{"Etag": `"1"`, "Content-Type": ""}, true},
		{"206", order("x-http-code=206"), 206, nil, false},
		{"two cookies", order("set-cookie=a=1; HttpOnly", "set-cookie=b=2"), 200, map[string]string{"Set-Cookie": "a=1; HttpOnly and b=2"}, false},
		{"binary metadata is base64", order("x-bytes-bin=\x01"), 200, map[string]string{"X-Bytes-Bin": "AQ"}, false},
		{"a header that is not named", order("x-other=a"), 200, map[string]string{"X-Other": "", "Grpc-Metadata-X-Other": "a"}, false},
		{"the gateway's own headers", order("x-transom-principal=root", "te=a", "x-mine=a"), 200,
			map[string]string{"X-Transom-Principal": "", "Grpc-Metadata-X-Transom-Principal": "", "Te": "", "X-Mine": "a"}, false},
		{"no number", order("x-http-code=teapot"), 200, nil, false},
		{"too small a number", order("x-http-code=101"), 200, nil, false},
		{"too large a number", order("x-http-code=600"), 200, nil, false},
		{"two numbers", order("x-http-code=201", "x-http-code=202"), 200, nil, false},
		{"of an error: the status is the code's", `{"header": ["x-http-code=201", "location=/v1/things/1"], "code": 5}`, 404, map[string]string{"Location": "/v1/things/1"}, false},
		{"in the trailer: nothing", `{"trailer": ["x-http-code=201"]}`, 200, nil, false},
	} {
		for _, path := range []string{"/v1/things", "/v1/collect"} {
			t.Run("Semantics 30: "+test.name+", "+path, func(t *testing.T) {
				a := g.Do(t, "POST", path, test.body)
				checkShape(t, a, test.status, test.header)
				if (a.Body == "") != test.empty {
					t.Errorf("body %q", a.Body)
				}
			})
		}
	}
	t.Run("Semantics 30: not without the policy", func(t *testing.T) {
		a := g.Do(t, "POST", "/v1/bare", order("x-http-code=201", "location=/x", "set-cookie=a=1"))
		checkShape(t, a, 200, map[string]string{"Location": "", "Set-Cookie": "", "X-Http-Code": "", "Grpc-Metadata-X-Http-Code": ""})
	})
	t.Run("Semantics 30: a server stream", func(t *testing.T) {
		query := url.Values{"header": {"x-http-code=206", "x-mine=a"}}.Encode()
		for path, accept := range map[string]string{"/v1/feed": "application/x-ndjson", "/v1/read": "*/*"} {
			checkShape(t, g.Do(t, "GET", path+"?"+query, "", "Accept", accept), 206, map[string]string{"X-Mine": "a"})
		}
		none := url.Values{"header": {"x-http-code=204"}}.Encode()
		if a := g.Do(t, "GET", "/v1/feed?"+none, ""); a.Status != 200 || a.Body == "" {
			t.Errorf("a status that has no body, with one: %d %q", a.Status, a.Body)
		}
	})
	t.Run("Semantics 30: Connect has a status of its own", func(t *testing.T) {
		a := g.Do(t, "POST", "/thing.v1.Things/Make", order("x-http-code=302", "location=/x"), "Connect-Protocol-Version", "1")
		checkShape(t, a, 200, map[string]string{"X-Http-Code": "302", "Location": "/x"})
	})
	t.Run("Semantics 30: gRPC has metadata", func(t *testing.T) {
		stream := &emptypb.Empty{}
		stream.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "x-http-code=302"))
		var header metadata.MD
		if err := dial(t, g).Invoke(t.Context(), "/thing.v1.Things/Make", stream, &emptypb.Empty{}, grpc.Header(&header)); err != nil {
			t.Fatal(err)
		}
		if got := header.Get("x-http-code"); !slices.Equal(got, []string{"302"}) {
			t.Errorf("x-http-code is %q", got)
		}
	})
}

func checkShape(t *testing.T, a gatewaytest.Answer, status int, header map[string]string) {
	t.Helper()
	if a.Status != status {
		t.Errorf("status %d %s, want %d", a.Status, a.Body, status)
	}
	for name, want := range header {
		if got := strings.Join(a.Header.Values(name), " and "); got != want {
			t.Errorf("the header %s is %q, want %q", name, got, want)
		}
	}
}

// TestStatusMapping: a policy maps codes, in each form an error has.
func TestStatusMapping(t *testing.T) {
	g := startThings(t, shaped(`status: [{ code: NOT_FOUND, http_status: 410 }, { code: "5002", http_status: 422 }, { code: INVALID_ARGUMENT, http_status: 418 },
    { code: ABORTED, http_status: 202 }, { code: ALREADY_EXISTS, http_status: 304 }, { code: CANCELED, http_status: 460 }, { code: "14", http_status: 521 }]`))
	for _, test := range []struct{ code, made, bare int }{{5, 410, 404}, {5002, 422, 500}, {7, 403, 403}, {3, 418, 400}, {17, 500, 500}, {1, 460, 499}, {14, 521, 503}} {
		t.Run(fmt.Sprintf("Semantics 25: %d", test.code), func(t *testing.T) {
			body := fmt.Sprintf(`{"code": %d}`, test.code)
			query := fmt.Sprintf("?code=%d", test.code)
			for name, a := range map[string]gatewaytest.Answer{
				"REST":          g.Do(t, "POST", "/v1/things", body),
				"client stream": g.Do(t, "POST", "/v1/collect", body),
				"SSE":           g.Do(t, "GET", "/v1/feed"+query, "", "Accept", "text/event-stream"),
				"NDJSON":        g.Do(t, "GET", "/v1/feed"+query, ""),
				"HttpBody":      g.Do(t, "GET", "/v1/read"+query, ""),
			} {
				if a.Status != test.made || contains(a.Body, fmt.Sprintf(`{"code": %d, "message": "as told"}`, test.code)) != nil {
					t.Errorf("%s: %d %s, want %d and the code", name, a.Status, a.Body, test.made)
				}
			}
			if a := g.Do(t, "POST", "/thing.v1.Things/Make", body, "Connect-Protocol-Version", "1"); a.Status != test.made || contains(a.Body, `{"message": "as told"}`) != nil {
				t.Errorf("Connect: %d %s, want %d", a.Status, a.Body, test.made)
			}
			if a := g.Do(t, "POST", "/v1/bare", body); a.Status != test.bare {
				t.Errorf("another method: %d, want %d", a.Status, test.bare)
			}
		})
	}
	t.Run("Semantics 25: a status of a success", func(t *testing.T) {
		for code, made := range map[int]int{10: 202, 6: 304} {
			body := fmt.Sprintf(`{"code": %d}`, code)
			if a := g.Do(t, "POST", "/v1/things", body); a.Status != made {
				t.Errorf("REST: %d, want %d", a.Status, made)
			}
			// Connect's clients would take the error for the message.
			if a := g.Do(t, "POST", "/thing.v1.Things/Make", body, "Connect-Protocol-Version", "1"); a.Status != 409 || contains(a.Body, `{"message": "as told"}`) != nil {
				t.Errorf("Connect: %d %s, want 409", a.Status, a.Body)
			}
		}
	})
	t.Run("Semantics 25: the gateway's own errors", func(t *testing.T) {
		if a := g.Do(t, "POST", "/v1/things", `{`); a.Status != 418 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a := g.Do(t, "POST", "/v1/things", `x`, "Content-Type", "text/plain"); a.Status != 415 {
			t.Errorf("a status that an error brings itself: %d %s", a.Status, a.Body)
		}
	})
	t.Run("Semantics 25: gRPC and gRPC-Web stay 200", func(t *testing.T) {
		wire := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 5)
		for _, kind := range []string{"application/grpc", "application/grpc-web+proto"} {
			a := g.DoWith(t, g.HTTP2, "POST", "/thing.v1.Things/Make", string(envelope(wire)), "Content-Type", kind, "Te", "trailers")
			if a.Status != 200 || a.Header.Get("Grpc-Status") != "5" {
				t.Errorf("%s: %d %v", kind, a.Status, a.Header)
			}
		}
	})
}

// TestJSONSettings holds each setting against every protocol that has JSON.
func TestJSONSettings(t *testing.T) {
	const number, text = "9007199254740993", `"9007199254740993"`
	for _, test := range []struct{ name, policy, rest, connect string }{
		{"none", "", `{"longNumber":` + text + `,"kind":"LARGE_KIND","someText":"","list":["7"],"map":{}}`,
			`{"longNumber":` + text + `,"kind":"LARGE_KIND","list":["7"]}`},
		{"omit_defaults", "omit_defaults: true", `{"longNumber":` + text + `,"kind":"LARGE_KIND","list":["7"]}`, ""},
		{"omit_defaults: false", "omit_defaults: false", `{"longNumber":` + text + `,"kind":"LARGE_KIND","someText":"","list":["7"],"map":{}}`, ""},
		{"unset_messages_as_null", "omit_defaults: false, unset_messages_as_null: true",
			`{"longNumber":` + text + `,"kind":"LARGE_KIND","someText":"","inner":null,"list":["7"],"map":{}}`, ""},
		{"proto_names", "omit_defaults: true, proto_names: true", `{"long_number":` + text + `,"kind":"LARGE_KIND","list":["7"]}`, ""},
		{"enums_as_numbers", "omit_defaults: true, enums_as_numbers: true", `{"longNumber":` + text + `,"kind":1,"list":["7"]}`, ""},
		{"int64_as_numbers", "omit_defaults: true, int64_as_numbers: true", `{"longNumber":` + number + `,"kind":"LARGE_KIND","list":[7]}`, ""},
	} {
		g := startThings(t, shaped("json: { "+test.policy+" }"))
		connect := test.connect
		if connect == "" {
			connect = test.rest
		}
		for protocol, got := range jsonAnswers(t, g) {
			want := test.rest
			if strings.HasPrefix(protocol, "Connect") {
				want = connect
			}
			t.Run("Semantics 29: "+test.name+", "+protocol, func(t *testing.T) {
				if !sameJSON(got, want) {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
		t.Run("Semantics 29: "+test.name+", another method", func(t *testing.T) {
			if a := g.Do(t, "POST", "/v1/bare", "{}"); !sameJSON(a.Body, `{"longNumber":`+text+`,"kind":"LARGE_KIND","someText":"","list":["7"],"map":{}}`) {
				t.Errorf("%s", a.Body)
			}
		})
	}
}

// sameJSON compares JSON whatever its order, numbers by their digits.
func sameJSON(a, b string) bool {
	decode := func(text string) (v any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return fmt.Errorf("no JSON: %s", text) // equal to nothing
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

// TestIgnoreUnknownFields is the one JSON setting of requests.
func TestIgnoreUnknownFields(t *testing.T) {
	g := startThings(t, shaped("json: { ignore_unknown_fields: true }"))
	const body = `{"nobody": {"knows": ["this"]}}`
	for path, want := range map[string]int{"/v1/things": 200, "/thing.v1.Things/Make": 200, "/v1/collect": 200, "/v1/bare": 400, "/thing.v1.Things/Bare": 400} {
		if a := g.Do(t, "POST", path, body); a.Status != want {
			t.Errorf("Semantics 20: %s: %d %s, want %d", path, a.Status, a.Body, want)
		}
	}
}

// jsonAnswers is one Thing in every protocol that writes it as JSON.
func jsonAnswers(t *testing.T, g *gatewaytest.Gateway) map[string]string {
	t.Helper()
	trim := strings.TrimSpace
	answers := map[string]string{
		"REST":          trim(g.Do(t, "POST", "/v1/things", "{}").Body),
		"client stream": trim(g.Do(t, "POST", "/v1/collect", "{}").Body),
		"NDJSON":        trim(g.Do(t, "GET", "/v1/feed", "", "Accept", "application/x-ndjson").Body),
		"SSE":           events(g.Do(t, "GET", "/v1/feed", "", "Accept", "text/event-stream").Body)[0].data,
		"Connect":       g.Do(t, "POST", "/thing.v1.Things/Make", "{}", "Connect-Protocol-Version", "1").Body,
	}
	array := trim(g.Do(t, "GET", "/v1/feed", "", "Accept", "application/json").Body)
	answers["JSON array"] = trim(strings.TrimSuffix(strings.TrimPrefix(array, "["), "]"))
	stream := g.Do(t, "POST", "/thing.v1.Things/Feed", string(envelope([]byte("{}"))), "Content-Type", "application/connect+json")
	if messages, _ := envelopes(t, []byte(stream.Body), 2); len(messages) > 0 {
		answers["Connect stream"] = string(messages[0])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, g.URL+"/v1/feed", nil)
	if err != nil {
		t.Fatalf("%v %v", response, err)
	}
	defer func() { _ = conn.CloseNow() }()
	_, frame, err := conn.Read(ctx)
	if err != nil && err != io.EOF {
		t.Fatal(err)
	}
	answers["WebSocket"] = string(frame)
	return answers
}
