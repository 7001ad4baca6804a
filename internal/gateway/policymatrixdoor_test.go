package gateway_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// doorServices are services of one shape, each with a policy of its own. Theirs
// are the selectors door.v1.NAME.*.
var doorServices = []struct{ name, policy string }{
	{"Open", `{}`},
	{"Jwt", `{ auth: { jwt: { allow_query: true, cookie: token } } }`},
	{"Session", `{ auth: { session: {} } }`},
	{"Mixed", `{ auth: { mixed: { jwt: {} }, roles: [keeper] } }`},
	{"Roles", `{ auth: { jwt: {}, roles: [keeper, owner] } }`},
	{"Scopes", `{ auth: { jwt: {}, scopes: [doors.open, doors.shut] } }`},
	{"Claims", `{ auth: { jwt: {}, allow: "claims.team == 'blue' && headers['x-client'] != ''" } }`},
	{"Message", `{ auth: { jwt: {}, allow: "request.text != 'forbidden'" } }`},
	{"Rate", `{ rate_limit: [{ requests: 1, per: 3600s, key: HEADER, header: x-client }] }`},
	{"RateMessages", `{ rate_limit: [{ requests: 2, per: 3600s, key: HEADER, header: x-client, per_message: true }] }`},
	{"Busy", `{ concurrency: { max: 1 } }`},
	{"Small", `{ limits: { max_body_bytes: 200, max_message_bytes: 200, max_header_bytes: 2000 } }`},
	{"Idle", `{ idle_timeout: 0.1s }`},
	{"Heads", `{ headers: { request: { set: { x-in: "in ${header.x-client}" }, remove: [x-secret] }, response: { set: { x-said: "${method}" }, remove: [cache-control] }, security: {} } }`},
	{"Cors", `{ cors: { allowed_origins: ["https://shop.example"], allow_credentials: true }, auth: { jwt: {} } }`},
	{"Slow", ``}, // its policies stand at its methods, see doorConfig
	{"Gate", ``},
}

const doorSecret = "a secret of the tests, 32 bytes +"

// doorConfig is the configuration of all doors.
func doorConfig() string {
	var b strings.Builder
	b.WriteString("auth:\n" +
		"  jwt: [{ issuer: id, audience: doors, secret: \"" + doorSecret + "\", forward_claims: [team] }]\n" +
		"  session: { insecure: true }\n" +
		"metadata: { request_headers: [x-*] }\n" +
		"policies:\n" +
		"  - { selector: door.v1.Gate.Ask, policy: { login: { subject: text, session: {} } } }\n")
	for _, method := range []string{"Ask", "Watch", "Talk"} {
		fmt.Fprintf(&b, "  - { selector: door.v1.Slow.%s, policy: { timeout: 0.1s } }\n", method)
	}
	for _, s := range doorServices {
		if s.policy != "" {
			fmt.Fprintf(&b, "  - { selector: door.v1.%s.*, policy: %s }\n", s.name, s.policy)
		}
	}
	return b.String()
}

// doorProto is the schema of all doors.
func doorProto() string {
	var b strings.Builder
	b.WriteString(`syntax = "proto3";
package door.v1;
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
message Word { string text = 1 [(buf.validate.field).string.not_contains = "invalid"]; }
`)
	for _, s := range doorServices {
		fmt.Fprintf(&b, `service %[1]s {
  rpc Ask(Word) returns (Word) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { post: "/%[1]s/ask" body: "*" };
  }
  rpc Watch(Word) returns (stream Word) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/%[1]s/watch" };
  }
  rpc Talk(stream Word) returns (stream Word) {
    option (google.api.http) = { post: "/%[1]s/talk" body: "*" };
  }
}
`, s.name)
	}
	return b.String()
}

// doorBackend is the backend of all doors: it answers each word with the same, or
// as the word says, and remembers what each call was told.
type doorBackend struct {
	mu sync.Mutex
	// told is what each call was told, by the header x-case.
	told map[string][]metadata.MD

	// held hears of each call that was asked to wait.
	held chan struct{}
}

// of returns what the calls of a case were told. The backend may hear of a call
// that was broken off when the client has long gone on to the next one.
func (d *doorBackend) of(name string) []metadata.MD {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.told[name]
}

func (d *doorBackend) serve(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	d.mu.Lock()
	name := strings.Join(md.Get("x-case"), " ")
	d.told[name] = append(d.told[name], md)
	d.mu.Unlock()
	method, _ := grpc.MethodFromServerStream(stream)
	for {
		word := &emptypb.Empty{}
		if err := stream.RecvMsg(word); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := d.answer(stream, word); err != nil {
			return err
		}
		if !strings.HasSuffix(method, "Talk") || wordText(word.ProtoReflect().GetUnknown()) == "last" {
			return nil
		}
	}
}

func (d *doorBackend) answer(stream grpc.ServerStream, word *emptypb.Empty) error {
	switch text := wordText(word.ProtoReflect().GetUnknown()); text {
	case "fail 9", "fail 5002":
		var code codes.Code
		_, _ = fmt.Sscanf(text, "fail %d", &code)
		return status.Error(code, "as told")
	case "wait":
		d.held <- struct{}{}
		fallthrough
	case "silence":
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	case "header":
		if err := stream.SetHeader(metadata.Pairs("cache-control", "max-age=60", "x-said", "the backend", "etag", `"1"`)); err != nil {
			return err
		}
	}
	return stream.SendMsg(word)
}

// wordText is the text of a message Word on the wire.
func wordText(wire []byte) string {
	if len(wire) == 0 {
		return ""
	}
	_, _, n := protowire.ConsumeTag(wire)
	text, _ := protowire.ConsumeString(wire[max(n, 0):])
	return text
}

func wordWire(text string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), text)
}

// startDoors starts the doorBackend and a gateway in front of it.
func startDoors(t testing.TB) (*doorBackend, *gatewaytest.Gateway) {
	t.Helper()
	d := &doorBackend{held: make(chan struct{}, 100), told: map[string][]metadata.MD{}}
	return d, gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, d.serve), NoBookstore: true, Config: doorConfig(),
		Protos: map[string]string{"door/v1/door.proto": doorProto()},
	})
}

// doorToken signs a token; claims replace its own.
func doorToken(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{
		"iss": "id", "aud": "doors", "sub": "ada", "team": "blue", "exp": time.Now().Add(time.Hour).Unix(),
		"roles": []string{"keeper"}, "scope": "doors.open doors.shut",
	}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(doorSecret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// doorSession logs in and returns the session's cookie.
func doorSession(t testing.TB, g *gatewaytest.Gateway) string {
	t.Helper()
	a := g.Do(t, "POST", "/Gate/ask", `{"text": "grace"}`)
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	if a.Status != 200 || cookie == "" {
		t.Fatalf("the login answers %d %v %s", a.Status, a.Header, a.Body)
	}
	return cookie
}

// hold makes a call of a method that lasts until the function it returns is
// called.
func (d *doorBackend) hold(t testing.TB, g *gatewaytest.Gateway, method string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	conn := dial(t, g)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	word := &emptypb.Empty{}
	word.ProtoReflect().SetUnknown(wordWire("wait"))
	if err := stream.SendMsg(word); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	wait(t, d.held, "the call that waits")
	return func() {
		cancel()
		_ = stream.RecvMsg(word) // CANCELLED
	}
}
