package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	cloudevents "github.com/transom-gateway/transom/events"
	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const callsProto = `syntax = "proto3";
package shared.v1;
import "bookstore/v1/book.proto";
import "bookstore/v1/bookstore.proto";
import "google/api/annotations.proto";
service Service {
  rpc Read(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/shared/{name=shelves/*}" additional_bindings { post: "/v1/shared:read" body: "*" } };
  }
  rpc Watch(bookstore.v1.GetShelfRequest) returns (stream bookstore.v1.Shelf) {
    option (google.api.http) = { get: "/v1/watched/{name=shelves/*}" };
  }
  rpc Kept(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/kept/{name=shelves/*}" };
  }
  rpc Pay(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) { option (google.api.http) = { post: "/v1/pay" body: "*" }; }
  rpc Login(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) { option (google.api.http) = { post: "/v1/login" body: "*" }; }
  rpc Logout(bookstore.v1.GetShelfRequest) returns (bookstore.v1.Shelf) { option (google.api.http) = { post: "/v1/logout" body: "*" }; }
}`

const callsConfig = `auth:
  jwt: [{ issuer: id, audience: doors, secret: "` + doorSecret + `" }]
  session: { insecure: true }
policies:
  - { selector: "shared.v1.Service.*", policy: { auth: { mixed: { jwt: {} } } } }
  - { selector: shared.v1.Service.Kept, policy: { cache: { ttl: 3600s } } }
  - { selector: shared.v1.Service.Pay, policy: { idempotency_key: {} } }
  - { selector: shared.v1.Service.Login, policy: { auth: { anonymous: {} }, login: { subject: name, session: {} } } }
  - { selector: shared.v1.Service.Logout, policy: { logout: {} } }
routes:
  - { match: { path_prefix: /site/ }, upstream: site, policy: { auth: { mixed: { jwt: {} } } } }
  - { match: { path_prefix: /down/ }, upstream: down }
  - { match: { path: /own }, respond: { status: 204 } }
  - { match: { path: /moved }, redirect: { path: /own } }
`

// callsServer is the gRPC server behind.
func callsServer(_ any, stream grpc.ServerStream) error {
	request := new(pb.GetShelfRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	switch request.GetName() {
	case "shelves/none":
		return status.Error(codes.NotFound, "no shelf")
	case "nobody":
		return status.Error(codes.Unauthenticated, "no such user")
	}
	return stream.SendMsg(&pb.Shelf{Name: request.GetName()})
}

// bearing adds a token to requests.
type bearing struct {
	token string
	next  http.RoundTripper
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Header.Get("Authorization") == "" && r.Header.Get("Cookie") == "" && r.Header.Get("X-Nobody") == "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// calling is a gateway whose events of calls are recorded, and its clients, whose token is ann's.
type calling struct {
	*gatewaytest.Gateway
	events *eventtest.Recorder
	conn   *grpc.ClientConn
	how    string // "publish" or "store"
	seen   int
}

func startCalling(t *testing.T, delivery string) *calling {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/none") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "page")
	}))
	t.Cleanup(site.Close)
	var rules []string
	for _, kind := range []string{"api.request", "api.response", "api.error", "auth.login", "auth.logout", "auth.failure"} {
		rules = append(rules, fmt.Sprintf("{ type: %s, delivery: %s }", kind, delivery))
	}
	c := &calling{events: new(eventtest.Recorder), how: map[string]string{"BEST_EFFORT": "publish", "AT_LEAST_ONCE": "store"}[delivery]}
	c.Gateway = gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, callsServer), Events: c.events, Protos: map[string]string{"shared.proto": callsProto},
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }, down: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://"), loopback.Address(t)),
		Config:    callsConfig + "events: { gateway: [" + strings.Join(rules, ", ") + "] }\n",
	})
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "id", "aud": "doors", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}).SignedString([]byte(doorSecret))
	if err != nil {
		t.Fatal(err)
	}
	c.Client.Transport, c.HTTP2.Transport = bearing{token, c.Client.Transport}, bearing{token, c.HTTP2.Transport}
	c.conn, err = grpc.NewClient(c.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(
		func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), method, request, reply, conn, options...)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

// told is what the events of a call shall say.
type told struct {
	kinds      string // sorted, with spaces between them
	principal  string
	httpStatus int
	code       string
	protocol   string
}

// hold makes a call and holds that its events are these, each once. Others than these would be taken for those of
// the next call.
func (c *calling) hold(t *testing.T, want told, call func()) {
	t.Helper()
	began := time.Now()
	call()
	kinds := strings.Fields(want.kinds)
	all := c.events.Wait(t, c.seen+len(kinds))
	took := time.Since(began)
	got := all[c.seen:]
	c.seen = len(all)
	var names []string
	for _, e := range got {
		names = append(names, e.Type)
		said := new(transomv1.CallEvent)
		if err := protojson.Unmarshal(e.Data, said); err != nil || e.How != c.how {
			t.Errorf("%s: %s %s: %v", e.How, e.Type, e.Data, err)
		}
		principal := want.principal
		if e.Type == "api.request" && strings.HasSuffix(want.kinds, "auth.login") {
			principal = "anonymous" // until then
		}
		if said.GetPrincipal() != principal || said.GetProtocol() != want.protocol {
			t.Errorf("%s: got %s by %s, want %s by %s", e.Type, said.GetPrincipal(), said.GetProtocol(), principal, want.protocol)
		}
		if e.Type == "api.request" {
			continue
		}
		if int(said.GetHttpStatus()) != want.httpStatus || said.GetCode() != want.code {
			t.Errorf("%s: got %d %s, want %d %s", e.Type, said.GetHttpStatus(), said.GetCode(), want.httpStatus, want.code)
		}
		if d := said.GetDuration().AsDuration(); d <= 0 || d > took {
			t.Errorf("%s: got the duration %v of a call that took less than %v", e.Type, d, took)
		}
	}
	slices.Sort(names)
	if strings.Join(names, " ") != want.kinds {
		t.Errorf("got %q, want %q", names, want.kinds)
	}
}

// TestEventsOfCalls: Events 130, 136 and 203: each call has each of its events once, with who has called, the
// status that the client got and how long it took: by every protocol, on routes of plain HTTP, from caches and
// under keys, refused, and for logins and logouts.
func TestEventsOfCalls(t *testing.T) {
	for _, delivery := range []string{"BEST_EFFORT", "AT_LEAST_ONCE"} {
		t.Run(delivery, func(t *testing.T) {
			c := startCalling(t, delivery)
			t.Run("protocols", c.protocols)
			t.Run("streams", c.streams)
			t.Run("REST", c.rest)
			t.Run("plain HTTP", c.plain)
			t.Run("sessions", c.sessions)
			if n := len(c.events.All()); n != c.seen {
				t.Errorf("there are %d more events", n-c.seen)
			}
		})
	}
}

const (
	callAnswered = "api.request api.response"
	callFailed   = "api.error api.request"
	callRefused  = "api.error auth.failure"
)

func (c *calling) protocols(t *testing.T) {
	for _, client := range sharedClients(c.conn) {
		protocol, _, _ := strings.Cut(strings.ToLower(client.name), " ")
		protocol, _, _ = strings.Cut(protocol, ",")
		notFound := 404
		if strings.HasPrefix(protocol, "grpc") {
			notFound = 200
		}
		c.hold(t, told{callAnswered, "ann", 200, "OK", protocol}, func() {
			if a, err := client.ask(t.Context(), c.Gateway, "shelves/1"); err != nil || a.code != codes.OK {
				t.Fatalf("%s: %v %v", client.name, a, err)
			}
		})
		c.sizes(t, client.name)
		c.hold(t, told{callFailed, "ann", notFound, "NOT_FOUND", protocol}, func() {
			if a, err := client.ask(t.Context(), c.Gateway, "shelves/none"); err != nil || a.code != codes.NotFound {
				t.Fatalf("%s: %v %v", client.name, a, err)
			}
		})
	}
}

// sizes holds that the last call's messages, a shelf's name each way, have the sizes that they have.
func (c *calling) sizes(t *testing.T, how string) {
	t.Helper()
	for _, e := range c.events.All()[c.seen-len(strings.Fields(callAnswered)) : c.seen] {
		said := new(transomv1.CallEvent)
		if err := protojson.Unmarshal(e.Data, said); err != nil {
			t.Fatal(err)
		}
		if want := uint64(len("\n\tshelves/1")); e.Type == "api.response" && (said.GetRequestBytes() != want || said.GetResponseBytes() != want) {
			t.Errorf("%s: %d bytes up and %d down, want %d each", how, said.GetRequestBytes(), said.GetResponseBytes(), want)
		}
	}
}

func (c *calling) streams(t *testing.T) {
	for protocol, accept := range map[string]string{"sse": "text/event-stream", "ndjson": "application/x-ndjson"} {
		c.hold(t, told{callAnswered, "ann", 200, "OK", protocol}, func() { c.Do(t, "GET", "/v1/watched/shelves/1", "", "Accept", accept) })
		c.sizes(t, protocol)
	}
	c.hold(t, told{callFailed, "ann", 404, "NOT_FOUND", "ndjson"}, func() { c.Do(t, "GET", "/v1/watched/shelves/none", "", "Accept", "application/x-ndjson") })
	c.hold(t, told{callAnswered, "ann", 101, "OK", "websocket"}, func() {
		conn, _, err := websocket.Dial(t.Context(), c.URL+"/v1/watched/shelves/1", &websocket.DialOptions{HTTPClient: c.Client})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, _, err = conn.Read(t.Context())
		}
		if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Error(err)
		}
	})
	c.hold(t, told{callRefused, "anonymous", 401, "UNAUTHENTICATED", "websocket"}, func() {
		if _, _, err := websocket.Dial(t.Context(), c.URL+"/v1/watched/shelves/1", nil); err == nil {
			t.Error("nobody is let in")
		}
	})
}

// ask makes a request whose answer has a status.
func (c *calling) ask(t *testing.T, httpStatus int, method, path, body string, header ...string) func() {
	return func() {
		t.Helper()
		if a := c.Do(t, method, path, body, header...); a.Status != httpStatus {
			t.Errorf("%s %s: got %d %s, want %d", method, path, a.Status, a.Body, httpStatus)
		}
	}
}

func (c *calling) rest(t *testing.T) {
	c.hold(t, told{callRefused, "anonymous", 401, "UNAUTHENTICATED", "rest"}, c.ask(t, 401, "GET", "/v1/shared/shelves/1", "", "X-Nobody", "1"))
	c.hold(t, told{callFailed, "ann", 400, "INVALID_ARGUMENT", "rest"}, c.ask(t, 400, "POST", "/v1/shared:read", "{"))
	for range 2 { // the second is of the cache
		c.hold(t, told{callAnswered, "ann", 200, "OK", "rest"}, c.ask(t, 200, "GET", "/v1/kept/shelves/1", ""))
	}
	tag := c.Do(t, "GET", "/v1/kept/shelves/1", "").Header.Get("Etag")
	c.seen += 2
	c.events.Wait(t, c.seen)
	c.hold(t, told{callAnswered, "ann", 304, "OK", "rest"}, c.ask(t, 304, "GET", "/v1/kept/shelves/1", "", "If-None-Match", tag))
	for range 2 { // the second is kept under its key
		c.hold(t, told{callAnswered, "ann", 200, "OK", "rest"}, c.ask(t, 200, "POST", "/v1/pay", `{"name":"a"}`, "Idempotency-Key", "1"))
	}
	c.hold(t, told{callFailed, "ann", 422, "INVALID_ARGUMENT", "rest"}, c.ask(t, 422, "POST", "/v1/pay", `{"name":"b"}`, "Idempotency-Key", "1"))
}

func (c *calling) plain(t *testing.T) {
	c.hold(t, told{callAnswered, "ann", 200, "", "http"}, c.ask(t, 200, "GET", "/site/a", ""))
	c.hold(t, told{callFailed, "ann", 404, "", "http"}, c.ask(t, 404, "GET", "/site/none", ""))
	c.hold(t, told{callRefused, "anonymous", 401, "UNAUTHENTICATED", "http"}, c.ask(t, 401, "GET", "/site/a", "", "X-Nobody", "1"))
	c.hold(t, told{callFailed, "anonymous", 502, "UNAVAILABLE", "http"}, c.ask(t, 502, "GET", "/down/a", ""))
	c.hold(t, told{callAnswered, "anonymous", 204, "", "http"}, c.ask(t, 204, "GET", "/own", ""))
	c.hold(t, told{callAnswered, "anonymous", 301, "", "http"}, c.ask(t, 301, "GET", "/moved", ""))
}

func (c *calling) sessions(t *testing.T) {
	var cookie string
	c.hold(t, told{"api.request api.response auth.login", "eve", 200, "OK", "rest"}, func() {
		a := c.Do(t, "POST", "/v1/login", `{"name":"eve"}`, "X-Nobody", "1")
		cookie, _, _ = strings.Cut(a.Header.Get("Set-Cookie"), ";")
		if a.Status != 200 || cookie == "" {
			t.Fatal(a)
		}
	})
	c.hold(t, told{"api.error api.request auth.failure", "anonymous", 401, "UNAUTHENTICATED", "rest"}, c.ask(t, 401, "POST", "/v1/login", `{"name":"nobody"}`, "X-Nobody", "1"))
	c.hold(t, told{callAnswered, "eve", 200, "OK", "rest"}, c.ask(t, 200, "GET", "/v1/shared/shelves/1", "", "Cookie", cookie))
	c.hold(t, told{"api.request api.response auth.logout", "eve", 200, "OK", "rest"}, c.ask(t, 200, "POST", "/v1/logout", `{}`, "Cookie", cookie))
	c.hold(t, told{callRefused, "anonymous", 401, "UNAUTHENTICATED", "rest"}, c.ask(t, 401, "GET", "/v1/shared/shelves/1", "", "Cookie", cookie))
}

// TestStoredBeforePlain: Events 136: on a route of plain HTTP the event of an answer is stored before its header
// leaves, by rules of the route, too; the event of a call whose answer breaks off is stored all the same.
func TestStoredBeforePlain(t *testing.T) {
	recorder := new(eventtest.Recorder)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/none") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, strings.Repeat("page", 100))
		if strings.HasSuffix(r.URL.Path, "/broken") {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Events: recorder, Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config: `events: { gateway: [{ type: api.response, delivery: AT_LEAST_ONCE }, { type: api.error, delivery: AT_LEAST_ONCE }] }
routes:
  - match: { path_prefix: /site/ }
    upstream: site
    policy: { events: [{ type: page.seen, delivery: AT_LEAST_ONCE, intent: true }, { type: page.failed, on: [ERROR], delivery: AT_LEAST_ONCE }] }
`,
	})
	for path, want := range map[string]string{
		"/site/a": "begin page.seen, store api.response, complete page.seen", "/site/none": "begin page.seen, store api.error, store page.failed, withdraw page.seen",
		"/site/broken": "begin page.seen, store api.response, complete page.seen",
	} {
		recorder.Reset()
		ctx, answered := context.WithCancel(t.Context())
		recorder.Stored = func(e *cloudevents.Event) {
			if ctx.Err() != nil {
				t.Errorf("%s: %s is stored when the client has its answer", path, e.Type)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+path, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := g.Client.Do(r)
		answered()
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if broken := err != nil; broken != strings.HasSuffix(path, "broken") {
			t.Errorf("%s: %v", path, err)
		}
		var got []string
		size := any("400") // as the header says
		if strings.HasSuffix(path, "broken") {
			size = nil
		}
		for _, e := range recorder.Wait(t, strings.Count(want, ",")+1) {
			got = append(got, e.How+" "+e.Type)
			if data := map[string]any{}; strings.HasPrefix(e.Type, "api.") && (json.Unmarshal(e.Data, &data) != nil || data["httpStatus"] != float64(response.StatusCode) || data["requestBytes"] != "5" || data["responseBytes"] != size) {
				t.Errorf("%s: %s", path, e.Data)
			}
		}
		slices.Sort(got[1:])
		if wanted := strings.Split(want, ", "); !slices.Equal(got, slices.Concat(wanted[:1], slices.Sorted(slices.Values(wanted[1:])))) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
