package kinds_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const protocolSecret = "a secret of the tests, 32 bytes +"

const protocolConfig = `
auth:
  jwt: [{ issuer: id, audience: books, secret: "` + protocolSecret + `", forward_claims: [team] }]
  session: { insecure: true }
policies:
  - { selector: "*", policy: { auth: { mixed: { jwt: {} }, roles: [reader] } } }
  - { selector: bookstore.v1.BookstoreService.CreateShelf, policy: { auth: { anonymous: {} }, login: { subject: name, roles: theme, session: {} } } }
  - { selector: bookstore.v1.BookstoreService.DeleteShelf, policy: { auth: { session: {} }, logout: {} } }
  - { selector: bookstore.v1.BookstoreService.ListShelves, policy: { auth: { jwt: {}, allow: "request.page_size < 10" } } }
`

// spy is a backend that answers every call with a shelf and remembers what it
// was told.
type spy struct {
	mu  sync.Mutex
	saw metadata.MD
}

func (s *spy) last() metadata.MD {
	s.mu.Lock()
	defer s.mu.Unlock()
	saw := s.saw
	s.saw = nil
	return saw
}

func (s *spy) serve(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	s.mu.Lock()
	s.saw = md
	s.mu.Unlock()
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	shelf := &emptypb.Empty{}
	if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "CreateShelf") {
		b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "shelves/1")
		shelf.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "reader"))
	}
	return stream.SendMsg(shelf)
}

func startSpy(t *testing.T) (*spy, string) {
	t.Helper()
	s := &spy{}
	return s, grpctest.ServeAny(t, s.serve)
}

func protocolToken(t *testing.T, role string, expires time.Duration) string {
	t.Helper()
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "id", "aud": "books", "sub": "ada", "team": "blue",
		"exp": time.Now().Add(expires).Unix(), "roles": role}).SignedString([]byte(protocolSecret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// caller calls one method in one protocol and tells the gRPC code and, where
// the protocol has them, the HTTP status and the challenge.
type caller func(t *testing.T, g *gatewaytest.Gateway, headers ...string) (codes.Code, int, string)

// httpCaller understands answers whose HTTP status tells the code.
func httpCaller(method, path, body string, own ...string) caller {
	return func(t *testing.T, g *gatewaytest.Gateway, headers ...string) (codes.Code, int, string) {
		a := g.Do(t, method, path, body, append(slices.Clone(own), headers...)...)
		code := map[int]codes.Code{200: codes.OK, 401: codes.Unauthenticated, 403: codes.PermissionDenied}
		got, ok := code[a.Status]
		if !ok {
			t.Fatalf("status %d, %s", a.Status, a.Body)
		}
		return got, a.Status, a.Header.Get("WWW-Authenticate")
	}
}

func grpcWebCaller(t *testing.T, g *gatewaytest.Gateway, headers ...string) (codes.Code, int, string) {
	a := g.Do(t, "POST", "/bookstore.v1.BookstoreService/GetShelf", "\x00\x00\x00\x00\x00", append([]string{"Content-Type", "application/grpc-web+proto"}, headers...)...)
	text := a.Header.Get("Grpc-Status")
	if _, trailer, ok := strings.Cut(a.Body, "grpc-status:"); ok {
		text = strings.TrimSpace(trailer[:strings.IndexByte(trailer, '\r')])
	}
	code := map[string]codes.Code{"0": codes.OK, "16": codes.Unauthenticated, "7": codes.PermissionDenied}
	got, ok := code[text]
	if !ok {
		t.Fatalf("grpc-status %q, %v, %q", text, a.Header, a.Body)
	}
	return got, a.Status, a.Header.Get("WWW-Authenticate")
}

func grpcCaller(t *testing.T, g *gatewaytest.Gateway, headers ...string) (codes.Code, int, string) {
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for i := 0; i < len(headers); i += 2 {
		headers[i] = strings.ToLower(headers[i])
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), headers...)
	err = conn.Invoke(ctx, "/bookstore.v1.BookstoreService/GetShelf", &emptypb.Empty{}, &emptypb.Empty{})
	return status.Code(err), 0, ""
}

func webSocketCaller(t *testing.T, g *gatewaytest.Gateway, headers ...string) (codes.Code, int, string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		if token, ok := strings.CutPrefix(headers[i+1], "Bearer "); ok { // as a browser must
			o.Subprotocols = []string{"transom.json", "bearer." + token}
			continue
		}
		o.HTTPHeader.Add(headers[i], headers[i+1])
	}
	conn, response, err := websocket.Dial(ctx, g.URL+"/v1/shelves/1/books:watch", o)
	if err != nil {
		if response == nil {
			t.Fatal(err)
		}
		return map[int]codes.Code{401: codes.Unauthenticated, 403: codes.PermissionDenied}[response.StatusCode],
			response.StatusCode, response.Header.Get("WWW-Authenticate")
	}
	defer func() { _ = conn.CloseNow() }()
	for err == nil {
		_, _, err = conn.Read(ctx)
	}
	if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Fatal(err)
	}
	return codes.OK, 101, ""
}

// TestAuthHoldsForAllProtocols: who may call does not depend on how.
func TestAuthHoldsForAllProtocols(t *testing.T) {
	backend, address := startSpy(t)
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, Config: protocolConfig})
	login := g.Do(t, "POST", "/v1/shelves", `{}`)
	cookie, _, _ := strings.Cut(login.Header.Get("Set-Cookie"), ";")
	if login.Status != 200 || !strings.HasPrefix(cookie, "transom-session=") {
		t.Fatalf("the login answers %d %v %s", login.Status, login.Header, login.Body)
	}
	good, other, expired := protocolToken(t, "reader", time.Hour), protocolToken(t, "cook", time.Hour), protocolToken(t, "reader", -time.Hour)

	for name, call := range map[string]caller{
		"rest":      httpCaller("GET", "/v1/shelves/1", ""),
		"connect":   httpCaller("POST", "/bookstore.v1.BookstoreService/GetShelf", "{}", "Connect-Protocol-Version", "1", "Content-Type", "application/json"),
		"sse":       httpCaller("GET", "/v1/shelves/1/books:watch", "", "Accept", "text/event-stream"),
		"ndjson":    httpCaller("GET", "/v1/shelves/1/books:watch", "", "Accept", "application/x-ndjson"),
		"grpc":      grpcCaller,
		"grpc-web":  grpcWebCaller,
		"websocket": webSocketCaller,
	} {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				name      string
				headers   []string
				want      codes.Code
				challenge string
				principal string
			}{
				{"nothing", nil, codes.Unauthenticated, `Bearer realm="transom"`, ""},
				{"a forged principal", []string{"X-Transom-Principal", "root", "X-Transom-Roles", "reader"}, codes.Unauthenticated, `Bearer realm="transom"`, ""},
				{"a token", []string{"Authorization", "Bearer " + good, "X-Transom-Principal", "root", "X-Transom-Claim-Team", "red"}, codes.OK, "", "ada"},
				{"a token without the role", []string{"Authorization", "Bearer " + other}, codes.PermissionDenied, "", ""},
				{"an expired token", []string{"Authorization", "Bearer " + expired}, codes.Unauthenticated, `Bearer realm="transom", error="invalid_token"`, ""},
				{"a bad token beside a session", []string{"Authorization", "Bearer x.y.z", "Cookie", cookie}, codes.Unauthenticated, `Bearer realm="transom", error="invalid_token"`, ""},
				{"a session", []string{"Cookie", cookie}, codes.OK, "", "shelves/1"},
				{"another session", []string{"Cookie", "transom-session=" + strings.Repeat("A", 43)}, codes.Unauthenticated, `Bearer realm="transom"`, ""},
			} {
				t.Run(test.name, func(t *testing.T) {
					backend.last()
					code, httpStatus, challenge := call(t, g, slices.Clone(test.headers)...)
					if code != test.want {
						t.Errorf("got %v (HTTP %d), want %v", code, httpStatus, test.want)
					}
					if httpStatus != 0 && challenge != test.challenge {
						t.Errorf("WWW-Authenticate %q, want %q", challenge, test.challenge)
					}
					saw := backend.last()
					if got := strings.Join(saw.Get("x-transom-principal"), " and "); got != test.principal {
						t.Errorf("the backend is told %q, want %q", got, test.principal)
					}
					if got := saw.Get("x-transom-claim-team"); test.principal == "ada" && !slices.Equal(got, []string{"blue"}) {
						t.Errorf("the backend is told the team %q", got)
					}
					if test.want != codes.OK && saw != nil {
						t.Error("the backend was called")
					}
				})
			}
		})
	}

	t.Run("a rule over the message", func(t *testing.T) {
		for query, want := range map[string]int{"?page_size=9": 200, "?page_size=10": 403} {
			if a := g.Do(t, "GET", "/v1/shelves"+query, "", "Authorization", "Bearer "+good); a.Status != want {
				t.Errorf("%s: got %d %s, want %d", query, a.Status, a.Body, want)
			}
		}
	})
	t.Run("logout", func(t *testing.T) {
		a := g.Do(t, "DELETE", "/v1/shelves/1", "", "Cookie", cookie)
		if a.Status != 200 || !strings.Contains(a.Header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("got %d %v", a.Status, a.Header)
		}
		if a := g.Do(t, "GET", "/v1/shelves/1", "", "Cookie", cookie); a.Status != 401 {
			t.Errorf("after the logout: %d", a.Status)
		}
	})
}
