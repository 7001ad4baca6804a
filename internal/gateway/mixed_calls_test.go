package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const mixedProto = `syntax = "proto3";
package mixed.v1;
import "google/api/annotations.proto";
message Said { string text = 1; }
service Mixed {
  rpc Plain(Said) returns (Said) { option (google.api.http) = { post: "/v1/plain" body: "*" }; }
  rpc Keyed(Said) returns (Said) { option (google.api.http) = { post: "/v1/keyed" body: "*" }; }
  rpc Kept(Said) returns (Said) { option idempotency_level = NO_SIDE_EFFECTS; option (google.api.http) = { get: "/v1/kept" additional_bindings { post: "/v1/kept" body: "*" } }; }
  rpc Many(Said) returns (stream Said) { option (google.api.http) = { post: "/v1/many" body: "*" }; }
}`

const mixedConfig = toyIssuer + `
cache: { status_header: true }
metadata: { request_headers: ["X-WHO", "x-Odd-*"] }
defaults: { auth: { jwt: {} } }
policies:
  - { selector: mixed.v1.Mixed.Keyed, policy: { idempotency_key: { in_flight: WAIT } } }
  - { selector: mixed.v1.Mixed.Plain, policy: { retry: { hedge_after: 1ms, idempotency_level: NO_SIDE_EFFECTS } } }
  - { selector: mixed.v1.Mixed.Kept, policy: { cache: {} } }
`

// mixed is a service.
type mixed struct {
	late sync.Map // of messages that no other call has: what ends the call while it is answered
}

// serve answers who asked, by what the gateway and the client say of them, and with the text.
func (m *mixed) serve(_ any, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	said := strings.Join([]string{
		strings.Join(md.Get("x-transom-principal"), "+"), strings.Join(md.Get("x-who"), "+"),
		strings.Join(md.Get("x-odd-name"), "+"), strings.Join(md.Get("x-odd-bin"), "+"), strings.Join(md.Get("x-stays"), "+"),
	}, "|")
	// What is kept is stale at once, so that it is given while a new one is fetched behind the call.
	if err := stream.SetHeader(metadata.Pairs("x-said", said, "cache-control", "max-age=0, stale-while-revalidate=600")); err != nil {
		return err
	}
	stream.SetTrailer(metadata.Pairs("x-behind", said))
	times := 1
	if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "Many") {
		times = 3
	}
	if end, ok := m.late.Load(string(message)); ok {
		go end.(context.CancelFunc)()
	}
	for range times {
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
	return nil
}

// mixedCall is one call of somebody, with a text that nobody else has.
type mixedCall struct {
	g                  *gatewaytest.Gateway
	client             *http.Client
	method, who, text  string
	bearer, key, wants string

	again *atomic.Int64 // answers that were given again
}

// message is what the call says.
func (c *mixedCall) message() []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), c.text)
}

// request makes the call by one of the protocols.
func (c *mixedCall) request(ctx context.Context, protocol int) (*http.Request, error) {
	message := c.message()
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	path, kind, body := "/mixed.v1.Mixed/"+c.method, "", []byte(nil)
	switch protocol {
	case 0:
		path, kind, body = "/v1/"+strings.ToLower(c.method), "application/json", fmt.Appendf(nil, `{"text":%q}`, c.text)
	case 1:
		kind, body = "application/grpc", framed
	case 2:
		kind, body = "application/grpc-web+proto", framed
	case 3:
		kind, body = "application/proto", message
		if c.method == "Many" {
			kind, body = "application/connect+proto", framed
		}
	}
	verb := http.MethodPost
	if protocol == 0 && c.method == "Kept" {
		verb, body, path = http.MethodGet, nil, path+"?text="+url.QueryEscape(c.text)
	}
	r, err := http.NewRequestWithContext(ctx, verb, c.g.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{
		"Authorization": {c.bearer}, "x-wHo": {c.who}, "X-ODD-name": {c.who, c.who}, "x-odd-bin": {base64.RawStdEncoding.EncodeToString([]byte(c.who))},
	}
	if protocol == 0 {
		r.Header["X-STAYS"] = []string{c.who} // no list has it: it crosses for clients of RPC alone
	} else {
		r.Header["Te"] = []string{"trailers"}
	}
	if kind != "" && body != nil {
		r.Header["Content-Type"] = []string{kind}
	}
	if c.key != "" {
		r.Header["Idempotency-Key"] = []string{c.key}
	}
	return r, nil
}

// make makes the call, and compares what comes. An answer that was given up may break off.
func (c *mixedCall) make(ctx context.Context, protocol int, givenUp func() bool) error {
	r, err := c.request(ctx, protocol)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(r)
	if err != nil {
		if givenUp() {
			return nil
		}
		return err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // it was read
	if err != nil && givenUp() {
		return nil
	}
	if answer.Header.Get("Idempotent-Replayed") != "" || strings.Contains(answer.Header.Get("Cache-Status"), "stale-while-revalidate") {
		c.again.Add(1)
	}
	times := 1
	if c.method == "Many" {
		times = 3
	}
	said := answer.Header.Get("X-Said") + answer.Header.Get("Grpc-Metadata-X-Said")
	if err != nil || answer.StatusCode != 200 || said != c.wants || strings.Count(string(body), c.text) != times || strings.Count(string(body), "text ") != times {
		return fmt.Errorf("%s by %d, %s of %s: %d %q %q: %.300q, %w", c.method, protocol, c.text, c.who, answer.StatusCode, said, answer.Trailer, body, err)
	}
	return nil
}

// TestMixedCalls: Semantics 52, Traffic 116: of many calls at once, of all protocols and by whom ever, with
// answers that are kept, with streams and with clients that go, each has its own message and metadata,
// and tells the backend its own.
func TestMixedCalls(t *testing.T) {
	m := new(mixed)
	options := gatewaytest.Options{
		Backend: grpctest.ServeAny(t, m.serve, grpc.ForceServerCodecV2(bytesCodec{})), NoBookstore: true,
		Config: mixedConfig, Protos: map[string]string{"mixed.proto": mixedProto},
	}
	t.Run("HTTP/1.1 and HTTP/2", func(t *testing.T) {
		g := gatewaytest.Start(t, options)
		mixCalls(t, m, g, g.Client, g.HTTP2)
	})
	t.Run("HTTP/3", func(t *testing.T) {
		g, _, _ := startHTTP3(t, options, nil)
		mixCalls(t, m, g, g.Client, g.Client)
	})
}

// mixCalls makes calls to a gateway; http2 is a client for gRPC.
func mixCalls(t *testing.T, m *mixed, g *gatewaytest.Gateway, client, http2 *http.Client) {
	bearers := map[string]string{}
	for i := range 4 {
		who := fmt.Sprint("who", i)
		bearers[who] = bearerOf(t, who)[1]
	}
	var all sync.WaitGroup
	var done, again atomic.Int64
	for i := range 16 {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		all.Go(func() {
			for n := range 60 {
				who := fmt.Sprint("who", random.IntN(4))
				c := &mixedCall{
					g: g, client: []*http.Client{client, http2}[random.IntN(2)], who: who, bearer: bearers[who], again: &again,
					method: []string{"Plain", "Keyed", "Kept", "Many"}[random.IntN(4)],
					text:   fmt.Sprintf("text %d-%d %s", i, n, strings.Repeat("x", random.IntN(3000))),
				}
				protocol := random.IntN(4)
				if protocol == 1 {
					c.client = http2
				}
				c.wants = strings.Join([]string{who, who, who + "+" + who, who, ""}, "|")
				switch c.method {
				case "Keyed":
					c.key = fmt.Sprint("key-", n)
					c.text = fmt.Sprint("text of ", who, " ", n)
				case "Kept":
					c.text = fmt.Sprint("text ", random.IntN(10))
				}
				ctx, cancel := context.WithCancel(t.Context())
				gives := random.IntN(5) == 0
				switch {
				case gives && (c.method == "Plain" || c.method == "Many"):
					m.late.Store(string(c.message()), cancel)
				case gives:
					go cancel()
				}
				if err := c.make(ctx, protocol, func() bool { return gives }); err != nil {
					t.Error(err)
				} else {
					done.Add(1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if n, twice := done.Load(), again.Load(); n != 16*60 || twice < 100 {
		t.Errorf("%d calls were as they are to be, and %d answers given again", n, twice)
	}
}
