package gateway_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const placesProto = `syntax = "proto3";
package places.v1;
import "google/api/annotations.proto";
import "google/protobuf/wrappers.proto";
message Shelf { string name = 1; int64 number = 2; }
message Request { string name = 1; Shelf shelf = 2; repeated string tags = 3; double weight = 4; }
service Places {
  rpc Get(Request) returns (google.protobuf.StringValue) { option (google.api.http) = { get: "/v1/get/{name}" }; }
  rpc Post(Request) returns (google.protobuf.StringValue) { option (google.api.http) = { post: "/v1/post" body: "*" }; }
  rpc Look(Request) returns (google.protobuf.StringValue) { option idempotency_level = NO_SIDE_EFFECTS; option (google.api.http) = { get: "/v1/look/{name}" }; }
  rpc Watch(Request) returns (stream google.protobuf.StringValue) { option (google.api.http) = { get: "/v1/watch" }; }
}`

// namedServer answers each call with its address.
type namedServer struct {
	*grpc.Server
	address string

	mu      sync.Mutex
	cookies []string // that arrived
}

func startNamed(t testing.TB, address string) *namedServer {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &namedServer{address: l.Addr().String()}
	s.Server = grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		s.mu.Lock()
		s.cookies = append(s.cookies, md["cookie"]...)
		s.mu.Unlock()
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return stream.SendMsg(wrapperspb.String(s.address))
	}))
	grpctest.ServeOn(t, l, s.Server)
	return s
}

// startNamedServers starts n of them, and returns a target that is all of them.
func startNamedServers(t testing.TB, n int) (servers []*namedServer, target string) {
	t.Helper()
	r := manual.NewBuilderWithScheme("servers" + regexp.MustCompile("[^a-z]").ReplaceAllString(strings.ToLower(t.Name()), ""))
	var state resolver.State
	for range n {
		s := startNamed(t, "127.0.0.1:0")
		servers = append(servers, s)
		state.Addresses = append(state.Addresses, resolver.Address{Addr: s.address})
	}
	r.InitialState(state)
	resolver.Register(r)
	return servers, r.Scheme() + ":///servers"
}

// placesGateway is a gateway whose upstream has n servers, all of them connected.
func placesGateway(t testing.TB, n int, balancing, config string) (*gatewaytest.Gateway, []*namedServer) {
	t.Helper()
	servers, target := startNamedServers(t, n)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: target, Upstream: "balancing: " + balancing, NoBookstore: true, Protos: map[string]string{"places.proto": placesProto}, Config: config,
	})
	seen := map[string]bool{}
	poll.Until(t, "calls to all servers", func() bool {
		client := fmt.Sprintf("10.1.%d.%d", rand.N(256), rand.N(256))
		seen[g.Do(t, "GET", "/v1/watch", "", "X-Forwarded-For", client).Body] = true
		return len(seen) == n
	})
	return g, servers
}

// byConnect returns who answers a Connect call.
func byConnect(t testing.TB, g *gatewaytest.Gateway, body string, headers ...string) string {
	t.Helper()
	return g.Do(t, "POST", "/places.v1.Places/Post", body, append([]string{"Connect-Protocol-Version", "1"}, headers...)...).Body
}

// byGRPCWeb returns the text in the answer of a gRPC-Web call with a request's name.
func byGRPCWeb(t testing.TB, g *gatewaytest.Gateway, name string, headers ...string) string {
	t.Helper()
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
	body := append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	a := g.Do(t, "POST", "/places.v1.Places/Post", string(body), append([]string{"Content-Type", "application/grpc-web+proto"}, headers...)...)
	if at := strings.Index(a.Body, "127.0.0.1:"); at >= 0 {
		end := strings.IndexByte(a.Body[at:], 0x80) // the frame of the trailers
		return `"` + a.Body[at:at+end] + `"`
	}
	return a.Body
}

// byGRPC returns who answers a gRPC call with a request's name, and the header.
func byGRPC(t testing.TB, conn *grpc.ClientConn, name string, headers ...string) (string, metadata.MD) {
	t.Helper()
	var header metadata.MD
	answer := new(wrapperspb.StringValue) // on the wire, Request with a name is one
	ctx := metadata.AppendToOutgoingContext(t.Context(), headers...)
	if err := conn.Invoke(ctx, "/places.v1.Places/Post", wrapperspb.String(name), answer, grpc.Header(&header)); err != nil {
		t.Fatal(err)
	}
	return `"` + answer.GetValue() + `"`, header
}

func dialGateway(t testing.TB, g *gatewaytest.Gateway) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// sameEverywhere holds that each key's calls have one server, whatever the protocol, and
// that keys are spread.
func sameEverywhere(t *testing.T, ways map[string]func(key string) string) {
	t.Helper()
	servers := map[string]bool{}
	for i := range 20 {
		key, first := fmt.Sprintf("key-%d", i), ""
		for name, call := range ways {
			got := call(key)
			if !strings.HasPrefix(got, `"127.0.0.1:`) {
				t.Fatalf("%s: %q", name, got)
			}
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s: %s is answered by %s, by another protocol %s", key, name, got, first)
			}
		}
		servers[first] = true
	}
	if len(servers) < 3 {
		t.Errorf("20 keys are at %d servers of 4", len(servers))
	}
}

// TestHash: Traffic 166: by each protocol, calls of one key are answered by one server.
func TestHash(t *testing.T) {
	t.Run("a field", func(t *testing.T) {
		g, _ := placesGateway(t, 4, `{ hash: { field: "{name}" } }`, "")
		conn := dialGateway(t, g)
		sameEverywhere(t, map[string]func(string) string{
			"REST": func(k string) string { return g.Do(t, "GET", "/v1/get/"+k, "").Body },
			"REST, a body": func(k string) string {
				return g.Do(t, "POST", "/v1/post", `{"shelf": {"number": 7}, "name": "`+k+`"}`).Body
			},
			"Connect":  func(k string) string { return byConnect(t, g, `{"name": "`+k+`"}`) },
			"gRPC-Web": func(k string) string { return byGRPCWeb(t, g, k) },
			"gRPC":     func(k string) string { who, _ := byGRPC(t, conn, k); return who },
		})
	})
	t.Run("a field within", func(t *testing.T) {
		g, _ := placesGateway(t, 4, `{ policy: hash, hash: { key: FIELD, field: shelf.number } }`, "")
		sameEverywhere(t, map[string]func(string) string{
			"REST": func(k string) string { return g.Do(t, "GET", "/v1/get/x?shelf.number=1"+k[4:], "").Body },
			"Connect": func(k string) string {
				return byConnect(t, g, `{"name": "y", "shelf": {"name": "z", "number": 1`+k[4:]+`}}`)
			},
		})
	})
	header := func(t *testing.T, balancing, config string, of func(key string) []string) {
		t.Helper()
		g, _ := placesGateway(t, 4, balancing, config)
		conn := dialGateway(t, g)
		lower := func(k string) []string {
			pair := of(k)
			return []string{strings.ToLower(pair[0]), pair[1]}
		}
		sameEverywhere(t, map[string]func(string) string{
			"REST":     func(k string) string { return g.Do(t, "GET", "/v1/get/"+k+"x", "", of(k)...).Body },
			"NDJSON":   func(k string) string { return strings.TrimSpace(g.Do(t, "GET", "/v1/watch", "", of(k)...).Body) },
			"Connect":  func(k string) string { return byConnect(t, g, "{}", of(k)...) },
			"gRPC-Web": func(k string) string { return byGRPCWeb(t, g, "n", of(k)...) },
			"gRPC":     func(k string) string { who, _ := byGRPC(t, conn, "n", lower(k)...); return who },
		})
	}
	t.Run("a header", func(t *testing.T) {
		header(t, `{ hash: { header: x-tenant } }`, "", func(k string) []string { return []string{"X-Tenant", k} })
	})
	t.Run("a cookie", func(t *testing.T) {
		header(t, `{ hash: { cookie: cart } }`, "", func(k string) []string { return []string{"Cookie", "a=b; cart=" + k} })
	})
	t.Run("the client's address", func(t *testing.T) {
		header(t, `{ hash: { key: CLIENT_IP } }`, "trusted_proxies: [127.0.0.0/8]", func(k string) []string { return []string{"X-Forwarded-For", "10.0.0." + k[4:]} })
	})
}

// TestHashPrincipal: Traffic 166: calls of one caller are answered by one server.
func TestHashPrincipal(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	g, _ := placesGateway(t, 4, `{ hash: { key: PRINCIPAL } }`, `
auth: { jwt: [{ issuer: i, audience: a, secret: "`+string(secret)+`" }] }
policies: [{ selector: places.v1.Places.Post, policy: { auth: { jwt: {} } } }]
`)
	bearer := func(k string) []string {
		claims := jwt.MapClaims{"iss": "i", "aud": "a", "sub": k, "exp": time.Now().Add(time.Hour).Unix()}
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"Authorization", "Bearer " + token}
	}
	sameEverywhere(t, map[string]func(string) string{
		"REST":    func(k string) string { return g.Do(t, "POST", "/v1/post", "{}", bearer(k)...).Body },
		"Connect": func(k string) string { return byConnect(t, g, "{}", bearer(k)...) },
	})
}

// TestHashFieldMissing: Traffic 166: a hash of a field that no method has is refused.
func TestHashFieldMissing(t *testing.T) {
	g, _ := placesGateway(t, 2, `{}`, "")
	for field, want := range map[string]string{
		"nam":        `transom.yaml:2:111: upstreams.backend.grpc.balancing.hash.field: no unary method of the upstream has the field "nam" in its request; did you mean name?`,
		"shelf.size": `no unary method of the upstream has the field "shelf.size" in its request`,
		"shelf":      "places.v1.Request.shelf is a message; expected a field with a text",
		"tags":       "places.v1.Request.tags is a list",
		"weight":     "places.v1.Request.weight is a floating-point number",
		"name.x":     "places.v1.Request.name has no fields",
		"{name}":     "",
	} {
		rewrite(t, g, "balancing: {}", "balancing: { hash: { field: \""+field+"\" } }")
		_, err := g.Reload(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", field, err, want)
		}
		rewrite(t, g, "balancing: { hash: { field: \""+field+"\" } }", "balancing: {}")
	}
}

// rewrite replaces a part of the gateway's configuration.
func rewrite(t *testing.T, g *gatewaytest.Gateway, part, by string) {
	t.Helper()
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), part) {
		t.Fatalf("the configuration has no %q", part)
	}
	if err := os.WriteFile(g.Config, []byte(strings.Replace(string(text), part, by, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHashNobody: Traffic 166: a hash of callers whom no method knows is warned of.
func TestHashNobody(t *testing.T) {
	_, target := startNamedServers(t, 1)
	var log logtext.Text
	gatewaytest.Start(t, gatewaytest.Options{
		Backend: target, Upstream: "balancing: { hash: { key: PRINCIPAL } }", NoBookstore: true, Protos: map[string]string{"places.proto": placesProto}, Log: &log,
	})
	const want = "upstreams.backend.grpc.balancing.hash.key: PRINCIPAL has no effect, as no method of the upstream has auth.jwt"
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log says %s; want %q", log.String(), want)
	}
}

// cookieOf returns the cookie that an answer sets, nil for none.
func cookieOf(t *testing.T, h http.Header) *http.Cookie {
	t.Helper()
	if len(h["Set-Cookie"]) == 0 {
		return nil
	}
	c, err := http.ParseSetCookie(h["Set-Cookie"][0])
	if err != nil || len(h["Set-Cookie"]) > 1 {
		t.Fatalf("%v: %v", h["Set-Cookie"], err)
	}
	return c
}

// TestSticky: Traffic 167: a client with the gateway's cookie comes back to its server;
// where that is gone, to another one with another cookie.
func TestSticky(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	g, servers := placesGateway(t, 4, `{ sticky: { cookie: stuck, secret: `+secret+` } }`, "")
	first := g.Do(t, "POST", "/v1/post", "{}")
	cookie := cookieOf(t, first.Header)
	if cookie == nil || cookie.Name != "stuck" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.MaxAge != 0 {
		t.Fatalf("the answer sets %v", first.Header["Set-Cookie"])
	}
	if first.Header.Get("Cache-Control") != "private" {
		t.Errorf("an answer with the cookie may be kept: %q", first.Header.Get("Cache-Control"))
	}
	if strings.Contains(cookie.Value, "127") || len(cookie.Value) != 24 {
		t.Errorf("the cookie is %q", cookie.Value)
	}
	sent := []string{"Cookie", "a=b; stuck=" + cookie.Value}
	conn := dialGateway(t, g)
	for name, call := range map[string]func() string{
		"REST":     func() string { return g.Do(t, "POST", "/v1/post", "{}", sent...).Body },
		"NDJSON":   func() string { return strings.TrimSpace(g.Do(t, "GET", "/v1/watch", "", sent...).Body) },
		"Connect":  func() string { return byConnect(t, g, "{}", sent...) },
		"gRPC-Web": func() string { return byGRPCWeb(t, g, "n", sent...) },
		"gRPC":     func() string { who, _ := byGRPC(t, conn, "n", "cookie", sent[1]); return who },
	} {
		for range 8 {
			if got := call(); got != first.Body {
				t.Fatalf("%s: %s answers, want %s", name, got, first.Body)
			}
		}
	}
	if a := g.Do(t, "POST", "/v1/post", "{}", sent...); cookieOf(t, a.Header) != nil || a.Header.Get("Cache-Control") != "" {
		t.Errorf("the cookie that the client has is set again: %v", a.Header)
	}
	if _, header := byGRPC(t, conn, "n"); len(header["set-cookie"]) != 1 {
		t.Errorf("a gRPC client gets %v", header)
	}
	if c := cookieOf(t, g.Do(t, "GET", "/v1/watch", "").Header); c == nil {
		t.Error("the answer of a stream sets no cookie")
	}
	if c := cookieOf(t, g.Do(t, "POST", "/v1/post", "{}", "Cookie", "stuck=forged").Header); c == nil || c.Value == "forged" {
		t.Errorf("for a forged cookie: %v", c)
	}
	if c := cookieOf(t, g.Do(t, "POST", "/v1/post", "{}", "X-Forwarded-Proto", "https").Header); c == nil || c.Secure {
		t.Errorf("of a client whose word for TLS does not count: %v", c)
	}
	for _, s := range servers {
		s.mu.Lock()
		for _, c := range s.cookies {
			if strings.Contains(c, "stuck") {
				t.Fatalf("a backend gets the cookie: %q", c)
			}
		}
		s.mu.Unlock()
	}

	// Another gateway with the same secret knows the cookie; a reload leaves it.
	other := gatewaytest.Start(t, gatewaytest.Options{
		Backend: g.Backend, Upstream: "balancing: { policy: round_robin, sticky: { cookie: stuck, secret: " + secret + " } }", NoBookstore: true,
		Protos: map[string]string{"places.proto": placesProto},
	})
	poll.Until(t, "the other gateway to know the cookie", func() bool {
		a := other.Do(t, "POST", "/v1/post", "{}", sent...)
		return a.Body == first.Body && cookieOf(t, a.Header) == nil
	})
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := g.Do(t, "POST", "/v1/post", "{}", sent...); a.Body != first.Body {
		t.Errorf("after a reload %s answers, want %s", a.Body, first.Body)
	}

	for _, s := range servers {
		if `"`+s.address+`"` == first.Body {
			s.Stop()
		}
	}
	poll.Until(t, "another server to answer, with another cookie", func() bool {
		a := g.Do(t, "POST", "/v1/post", "{}", sent...)
		c := cookieOf(t, a.Header)
		return a.Status == 200 && a.Body != first.Body && c != nil && c.Value != cookie.Value
	})
}

// TestStickySecure: Traffic 167: over TLS the cookie is Secure; without a secret it is known
// until the gateway ends.
func TestStickySecure(t *testing.T) {
	g, _ := placesGateway(t, 3, `{ policy: hash, hash: { key: CLIENT_IP }, sticky: { cookie: stuck, same_site: CROSS_SITE } }`, "trusted_proxies: [127.0.0.0/8]")
	tls := []string{"X-Forwarded-Proto", "https", "X-Forwarded-For", "10.0.0.1"}
	a := g.Do(t, "POST", "/v1/post", "{}", tls...)
	c := cookieOf(t, a.Header)
	if c == nil || !c.Secure || c.SameSite != http.SameSiteNoneMode {
		t.Fatalf("over TLS: %v", c)
	}
	if plain := cookieOf(t, g.Do(t, "POST", "/v1/post", "{}").Header); plain == nil || plain.Secure || plain.SameSite != 0 {
		t.Errorf("in cleartext: %v", plain)
	}
	for i := range 20 {
		b := g.Do(t, "POST", "/v1/post", "{}", "X-Forwarded-For", fmt.Sprintf("10.0.1.%d", i), "Cookie", "stuck="+c.Value)
		if b.Body != a.Body {
			t.Fatalf("%s answers, want %s", b.Body, a.Body)
		}
	}
}
