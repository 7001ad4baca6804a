package gateway_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestStreamOfCaller holds Events 181, and Events 180 for who calls: a stream is its caller's, and ends with the
// caller's token.
func TestStreamOfCaller(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "data_directory: " + t.TempDir() + `
shutdown_timeout: 0.2s
auth: { jwt: [{ issuer: id, audience: doors, algorithms: [HS256], leeway: 0s, secret: "` + doorSecret + `" }] }
policies: [{ selector: transom.v1.EventService.Subscribe, policy: { auth: { jwt: {} } } }]
events:
  behaviour: { delivery: AT_LEAST_ONCE }
  streams: [{ topic: user_behaviors, allow: "'keeper' in roles && event.data.anonymousId == claims.team" }]
`})
	const path = "/v1/events/user_behaviors"
	if a := g.Do(t, "GET", path, ""); a.Status != 401 {
		t.Errorf("without a token: %v", a)
	}
	other := bearer(doorToken(t, jwt.MapClaims{"roles": []string{"guest"}}))
	if a := g.Do(t, "GET", path, "", other...); a.Status != 404 {
		t.Errorf("a caller who gets no event: %v", a)
	}
	s := listen(t, g, path, bearer(doorToken(t, jwt.MapClaims{"exp": time.Now().Add(4 * time.Second).Unix()}))...)
	s.next()
	publishUser(t, g, "red", "blue")
	if b := s.next(); b["event"] != "" || b["id"] == "" {
		t.Errorf("got %v", b)
	}
	if b := s.next(); b["event"] != "error" {
		t.Errorf("the stream went on with %v", b)
	}
}

// TestStreamOfCallerByAll holds Events 181 for the other protocols: each has its own form of the end.
func TestStreamOfCallerByAll(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "data_directory: " + t.TempDir() + `
auth: { jwt: [{ issuer: id, audience: doors, algorithms: [HS256], leeway: 0s, secret: "` + doorSecret + `" }] }
policies: [{ selector: transom.v1.EventService.Subscribe, policy: { auth: { jwt: {} } } }]
events:
  behaviour: {}
  streams: [{ topic: user_behaviors }]
`})
	const path = "/v1/events/user_behaviors"
	headers := func() http.Header {
		h := http.Header{}
		of := bearer(doorToken(t, jwt.MapClaims{"exp": time.Now().Add(3 * time.Second).Unix()}))
		h.Set(of[0], of[1])
		return h
	}
	for name, option := range map[string]connect.ClientOption{"Connect": connect.WithClientOptions(), "gRPC-Web": connect.WithGRPCWeb(), "gRPC": connect.WithGRPC()} {
		t.Run("Events 181: "+name, func(t *testing.T) {
			t.Parallel()
			client := connect.NewClient[transomv1.SubscribeRequest, transomv1.SubscribeResponse](g.HTTP2, g.URL+"/transom.v1.EventService/Subscribe", option)
			r := connect.NewRequest(&transomv1.SubscribeRequest{Topic: "user_behaviors"})
			for name, values := range headers() {
				r.Header()[name] = values
			}
			s, err := client.CallServerStream(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			for s.Receive() { // where it begins
			}
			if connect.CodeOf(s.Err()) != connect.CodeUnauthenticated {
				t.Errorf("it ended with %v", s.Err())
			}
		})
	}
	t.Run("Events 181: NDJSON", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), "GET", g.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = headers()
		a, err := g.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		last := ""
		for lines := bufio.NewScanner(a.Body); lines.Scan(); {
			last = lines.Text()
		}
		if !strings.HasPrefix(last, `{"error":{"code":16,`) {
			t.Errorf("it ended with %s", last)
		}
	})
	t.Run("Events 181: WebSocket", func(t *testing.T) {
		t.Parallel()
		s := dialer{}.dial(t, g, path, &websocket.DialOptions{HTTPHeader: headers()})
		var err error
		for err == nil {
			_, _, err = s.Read(s.ctx)
		}
		if websocket.CloseStatus(err) != 4016 {
			t.Errorf("it ended with %v", err)
		}
	})
}

// TestStreamOfSession holds Events 181 for who logs out, here or at another gateway.
func TestStreamOfSession(t *testing.T) {
	server := redistest.Start(t)
	backend := grpctest.ServeAny(t, (&doorBackend{held: make(chan struct{}, 100), told: map[string][]metadata.MD{}}).serve)
	start := func() *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{Backend: backend, NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
			Config: doorConfig() + `  - { selector: door.v1.Open.Ask, policy: { logout: {} } }
  - { selector: transom.v1.EventService.Subscribe, policy: { auth: { session: {} } } }
stores: { redis: { url: "` + server.URL + `", timeout: 5s } }
data_directory: ` + t.TempDir() + `
events: { behaviour: {}, streams: [{ topic: user_behaviors }] }
`})
	}
	here, elsewhere := start(), start()
	for name, at := range map[string]*gatewaytest.Gateway{"here": here, "elsewhere": elsewhere} {
		t.Run("Events 181: "+name, func(t *testing.T) {
			cookie := doorSession(t, here)
			s := listen(t, here, "/v1/events/user_behaviors", "Cookie", cookie)
			s.next()
			if a := at.Do(t, "POST", "/Open/ask", `{"text": "bye"}`, "Cookie", cookie); a.Status != 200 {
				t.Fatal(a)
			}
			if b := s.next(); b["event"] != "error" || !strings.Contains(b["data"], `"code":16`) {
				t.Errorf("it went on with %v", b)
			}
		})
	}
}
