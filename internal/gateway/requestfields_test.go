package gateway_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// bytesCodec passes messages as bytes.
type bytesCodec struct{}

// Marshal implements encoding.CodecV2.
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2.
func (bytesCodec) Name() string { return "proto" }

// startEcho starts a gateway for one proto file in front of a backend whose
// methods answer each message with itself.
func startEcho(t testing.TB, proto, config string) *gatewaytest.Gateway {
	t.Helper()
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		for {
			var message []byte
			if stream.RecvMsg(&message) != nil {
				return nil // the client has sent all
			}
			if err := stream.SendMsg(message); err != nil {
				return err
			}
		}
	}, grpc.ForceServerCodecV2(bytesCodec{}))
	return gatewaytest.Start(t, gatewaytest.Options{
		Backend: backend, NoBookstore: true, Config: config, Protos: map[string]string{"q.proto": proto},
	})
}

const fieldsProto = `
syntax = "proto3";
package q.v1;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
message Sub {
  string s = 1;
  Q q = 2;
  string other = 3;
}
message Q {
  oneof id { string user_id = 1; string email = 2; Sub sub = 3; int32 num = 4; }
  string bracket = 5 [json_name = "search[field]"];
  google.protobuf.FieldMask mask = 6;
  google.protobuf.Timestamp ts = 7;
  Sub plain = 8;
  map<int32, string> m = 9;
  Q kid = 10;
  map<string, string> odd = 11 [json_name = "map[odd]"];
  string dotted = 12 [json_name = "a.b"];
  string user_text = 13;
}
service S {
  rpc Get(Q) returns (Q) { option (google.api.http) = { get: "/q" }; }
  rpc Path(Q) returns (Q) { option (google.api.http) = { get: "/p/{user_id}" additional_bindings { put: "/p/{user_id}" body: "*" } additional_bindings { put: "/ps/{user_id}" body: "sub" } }; }
  rpc Deep(Q) returns (Q) { option (google.api.http) = { put: "/kid/{kid.email}" body: "kid" }; }
  rpc Body(Q) returns (Q) { option (google.api.http) = { post: "/b" body: "sub" }; }
  rpc All(Q) returns (Q) { option (google.api.http) = { post: "/all" body: "*" }; }
  rpc Chat(stream Q) returns (stream Q) { option (google.api.http) = { get: "/chat" additional_bindings { get: "/chat/{user_id}" } additional_bindings { post: "/talk/{user_id}" body: "*" } additional_bindings { post: "/subs" body: "sub" } }; }
}
`

// TestSemantics300 refuses requests of which a part would be lost.
func TestSemantics300(t *testing.T) {
	g := startEcho(t, fieldsProto, "")
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	ok := func(name, method, path, body, want string) scenario {
		return scenario{name: "Semantics 300: " + name, method: method, path: path, body: body, status: 200, want: want}
	}
	bad := func(name, method, path, body, message string) scenario {
		return scenario{name: "Semantics 300: " + name, method: method, path: path, body: body, status: 400, want: `{"code": 3, "message": "~` + message + `"}`}
	}
	play(t, g, []scenario{
		bad("body and query", "POST", "/b?num=5", `{"s": "body"}`, "second member of the oneof id"),
		ok("an empty body is none", "POST", "/b?num=5", "", `{"num": 5}`),
		ok("null is none", "POST", "/b?num=5", "null", `{"num": 5}`),
		bad("path and query", "GET", "/p/u?email=e", "", "second member of the oneof id"),
		bad("path and a message of the query", "GET", "/p/u?sub.s=e", "", "second member of the oneof id"),
		bad("path and body", "PUT", "/p/u", `{"email": "e"}`, "second member of the oneof id"),
		bad("path and a field that is the body", "PUT", "/ps/u", `{"s": "e"}`, "second member of the oneof id"),
		ok("Semantics 13: the path wins over its own field", "PUT", "/p/u", `{"userId": "v"}`, `{"userId": "u"}`),
		bad("below the body's field", "PUT", "/kid/e", `{"num": 1}`, "second member of the oneof id"),
		ok("Semantics 13: below the body's field", "PUT", "/kid/e", `{"email": "f", "bracket": ""}`, `{"kid": {"email": "e"}}`),
		bad("query alone", "GET", "/q?num=1&sub.s=a", "", "second member"),
		bad("a message as JSON, then its field", "GET", "/q?plain=%7B%22s%22:%22x%22%7D&plain.s=y", "", "plain.s"),
		bad("its field, then a message as JSON", "GET", "/q?plain.s=y&plain=%7B%22s%22:%22x%22%7D", "", "plain"),
		bad("a well-known type and its fields", "GET", "/q?ts=2020-01-01T00:00:00Z&ts.seconds=5", "", "ts.seconds"),
		bad("a mask and its paths", "GET", "/q?mask=a&mask.paths=b", "", "mask.paths"),
		bad("two spellings of a key", "GET", "/q?m%5B1%5D=a&m%5B01%5D=b", "", "key"),
		bad("a map as JSON, then its key", "GET", "/q?m=%7B%221%22:%22a%22%7D&m%5B1%5D=b", "", "key"),
		ok("keys that differ", "GET", "/q?m=%7B%221%22:%22a%22%7D&m%5B2%5D=b", "", `{"m": {"1": "a", "2": "b"}}`),
		{name: "Semantics 300: a form", method: "POST", path: "/all", body: "num=1&email=a", headers: form, status: 400, want: `{"message": "~second member"}`},
		{name: "Semantics 300: path and form", method: "PUT", path: "/p/u", body: "email=a", headers: form, status: 400, want: `{"message": "~second member"}`},
		{name: "Semantics 300: path and wire format", method: "PUT", path: "/p/u", body: "\x12\x01e", headers: []string{"Content-Type", "application/protobuf"}, status: 400, want: `{"message": "~second member"}`},
		bad("a stream: path and element", "POST", "/talk/u", `{"email":"e"}`, "element 0: body: email is a second member"),
		bad("a stream: query and the field that is the body", "POST", "/subs?num=1", `{"s":"e"}`, "element 0: body: sub is a second member"),
		ok("Semantics 17: a JSON name with brackets", "GET", "/q?search%5Bfield%5D=x", "", `{"search[field]": "x"}`),
		ok("Semantics 17: its proto name", "GET", "/q?bracket=x", "", `{"search[field]": "x"}`),
		ok("Semantics 17: a JSON name with brackets, below", "GET", "/q?kid.search%5Bfield%5D=x", "", `{"kid": {"search[field]": "x"}}`),
		ok("Semantics 17: a map whose JSON name has brackets", "GET", "/q?map%5Bodd%5D%5Ba.b%5D%5D=x&kid.map%5Bodd%5D%5Bk%5D=y", "", `{"map[odd]": {"a.b]": "x"}, "kid": {"map[odd]": {"k": "y"}}}`),
		ok("Semantics 17: a JSON name with a dot", "GET", "/q?a.b=x&kid.a.b=y", "", `{"a.b": "x", "kid": {"a.b": "y"}}`),
		{name: "Semantics 17: a JSON name with brackets in a form", method: "POST", path: "/all", body: "search[field]=x", headers: form, status: 200, want: `{"search[field]": "x"}`},
	})
}

// TestSemantics300Templates refuses templates whose variables take from each
// other.
func TestSemantics300Templates(t *testing.T) {
	for name, c := range map[string]struct{ get, want string }{
		"two members of a oneof":          {"/two/{user_id}/{email}", "sets a second member of the oneof id"},
		"two members of a oneof below":    {"/two/{kid.user_id}/{kid.sub.s}", "sets a second member of the oneof id"},
		"one field by two names":          {"/two/{user_text}/{userText}", "set the same field"},
		"a well-known type and its field": {"/two/{ts}/{ts.seconds}", "set the same field"},
	} {
		t.Run("Semantics 300: "+name, func(t *testing.T) {
			g := startEcho(t, fieldsProto, "")
			edit(t, g, "q.proto", `get: "/q"`, `get: "`+c.get+`"`)
			if _, err := g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "q.proto:25:") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestSemantics302Requests sends dotted names of a recursive message: the memory
// that they cost grows with their size.
func TestSemantics302Requests(t *testing.T) {
	g := startEcho(t, fieldsProto, "")
	send := func(method, target, body string) int {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	kid := func(n int, leaf string) string { return strings.Repeat("kid.", n) + leaf }
	many := func(n int) string { // n parameters of up to 100 fields
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "&%s[%d]=a", kid(i%99, "m"), i)
		}
		return b.String()[1:]
	}
	for _, c := range []struct {
		name    string
		request func(n int) (method, target, body string)
		n       int
		status  int
	}{
		{"a form that is one name", func(n int) (string, string, string) { return "POST", "/all", kid(n, "bracket=1") }, 50000, 400},
		{"a query that is one name", func(n int) (string, string, string) { return "GET", "/q?" + kid(n, "bracket=1"), "" }, 12000, 400},
		{"a form of many names", func(n int) (string, string, string) { return "POST", "/all", many(n) }, 400, 200},
		{"a query of many names", func(n int) (string, string, string) { return "GET", "/q?" + url.PathEscape(many(n)), "" }, 400, 200},
	} {
		t.Run("Semantics 302: "+c.name, func(t *testing.T) {
			cost := func(n int) (took uint64, size int) {
				method, target, body := c.request(n)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				status := send(method, target, body)
				runtime.ReadMemStats(&after)
				if n > 1 && status != c.status {
					t.Fatalf("status %d, want %d", status, c.status)
				}
				return after.TotalAlloc - before.TotalAlloc, len(target) + len(body)
			}
			cost(1) // what is made once
			once, size := cost(c.n)
			twice, double := cost(2 * c.n)
			const allowance = 1 << 20 // of both sides of the connection
			if once > 100*uint64(size)+allowance || twice > 100*uint64(double)+allowance {
				t.Errorf("%d bytes took %d, %d took %d", size, once, double, twice)
			}
			if twice > 3*once+allowance {
				t.Errorf("twice the size (%d bytes) took %d bytes of memory, the size %d", double, twice, once)
			}
		})
	}
}

// TestSemantics313 sends messages by WebSocket to a method that streams and whose
// rule has no body: each frame is the whole message.
func TestSemantics313(t *testing.T) {
	g := startEcho(t, fieldsProto, "")
	overEach(t, func(t *testing.T, over dialer) {
		s := over.dial(t, g, "/chat?ts=2020-01-01T00:00:00Z", nil)
		for _, text := range []string{"one", "two"} {
			s.send(`{"userText": "` + text + `"}`)
			s.expect(`{"userText": "` + text + `", "ts": "2020-01-01T00:00:00Z"}`)
		}
		s.send("")
		s.closed(1000)

		s = over.dial(t, g, "/chat/u", nil)
		s.send(`{"userId": "v", "a.b": "x"}`)
		s.expect(`{"userId": "u", "a.b": "x"}`) // Semantics 13
		s.send(`{"email": "e"}`)
		s.expect(`{"error": {"code": 3, "message": "~message 2: email is a second member of the oneof id"}}`)
		s.closed(4003)

		s = over.dial(t, g, "/chat?user_text=x", nil)
		s.send(`{"userText": "y"}`)
		s.expect(`{"error": {"code": 3, "message": "~user_text is set by the query too"}}`)
		s.closed(4003)

		s = over.dial(t, g, "/chat", nil)
		s.send(`{"nope": 1}`)
		s.expect(`{"error": {"code": 3, "message": "~unknown field"}}`)
		s.closed(4003)
	})
}

// TestSemantics301 refuses rules without a pattern, where they stand.
func TestSemantics301(t *testing.T) {
	g := startEcho(t, fieldsProto, "")
	rule := `option (google.api.http) = { get: "/q" };`
	for name, c := range map[string]struct{ rule, place string }{
		"a body alone":                 {`option (google.api.http) = { body: "*" };`, "q.proto:25:"},
		"nothing at all":               {`option (google.api.http) = {};`, "q.proto:25:"},
		"additional bindings alone":    {`option (google.api.http) = { additional_bindings { get: "/q" } };`, "q.proto:25:"},
		"an additional binding's body": {"option (google.api.http) = { get: \"/q\"\n additional_bindings { body: \"*\" } };", "q.proto:26:"},
	} {
		t.Run("Semantics 301: "+name, func(t *testing.T) {
			edit(t, g, "q.proto", rule, c.rule)
			defer edit(t, g, "q.proto", c.rule, rule)
			_, err := g.Reload(t.Context())
			if err == nil || !strings.Contains(err.Error(), "the rule has no pattern; expected one of get, put") || !strings.Contains(err.Error(), c.place) {
				t.Errorf("got %v, want a problem at %s", err, c.place)
			}
		})
	}
}

// TestSemantics313Warning: check warns of a rule that has no room for the stream
// of its method, at its place.
func TestSemantics313Warning(t *testing.T) {
	g := startEcho(t, fieldsProto+`
service More {
  rpc Sockets(stream Q) returns (Q) { option (google.api.http) = { custom { kind: "websocket" path: "/sockets" } }; }
  rpc Server(Q) returns (stream Q) { option (google.api.http) = { get: "/server" }; }
}
`, "http_rules: [{ selector: q.v1.S.Body, post: /b2 }]\n")
	var warned []string
	for _, p := range g.Status().Problems {
		if p.Warning && strings.Contains(p.Message, "the method takes a stream, and the rule has no body") {
			warned = append(warned, fmt.Sprintf("%d:%d", p.Line, p.Column))
		}
	}
	if got := strings.Join(warned, " "); got != "30:50 30:85" {
		t.Errorf("Semantics 313: warned at %s", got)
	}
	edit(t, g, "q.proto", "rpc Chat(stream Q)", "rpc Chat (stream Q)") // a new schema, warned of as well
	if _, err := g.Reload(t.Context()); err != nil || len(g.Status().Problems) != 2 {
		t.Errorf("%v %v", err, g.Status().Problems)
	}
}
