package gateway_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	_ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect" // WebSockets over HTTP/2
)

const discussPath = "/v1/discuss:stream"

// socket is a WebSocket client whose failures end the test.
type socket struct {
	*websocket.Conn
	t   testing.TB
	ctx context.Context
}

// dialer opens WebSockets; with a client, by it.
type dialer struct{ client *http.Client }

// overEach runs a test over HTTP/1.1 and over HTTP/2.
func overEach(t *testing.T, test func(t *testing.T, over dialer)) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, dialer{}) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, dialer{gatewaytest.ExtendedConnect(t)}) })
}

func (d dialer) options(o *websocket.DialOptions) *websocket.DialOptions {
	var copied websocket.DialOptions
	if o != nil {
		copied = *o
	}
	copied.HTTPClient = d.client
	return &copied
}

// dial opens a WebSocket. Options may be nil.
func (d dialer) dial(t testing.TB, g *gatewaytest.Gateway, path string, o *websocket.DialOptions) socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	conn, response, err := websocket.Dial(ctx, "ws://"+g.Addr+path, d.options(o))
	if err != nil {
		cancel()
		t.Fatalf("opening %s: %v", path, err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d", response.StatusCode)
	}
	conn.SetReadLimit(8 << 20)
	t.Cleanup(func() {
		_ = conn.CloseNow()
		cancel()
	})
	return socket{conn, t, ctx}
}

// refused tries to open a WebSocket and returns the answer that it gets.
func (d dialer) refused(t testing.TB, g *gatewaytest.Gateway, path string, o *websocket.DialOptions) (httpStatus int, body string) {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), "ws://"+g.Addr+path, d.options(o))
	if err == nil {
		_ = conn.CloseNow()
		t.Fatalf("%s was upgraded", path)
	}
	if response == nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body) // as much as the client keeps
	return response.StatusCode, string(text)
}

func (s socket) send(text string) {
	s.t.Helper()
	if err := s.Write(s.ctx, websocket.MessageText, []byte(text)); err != nil {
		s.t.Fatalf("sending %q: %v", text, err)
	}
}

func (s socket) sendBinary(m proto.Message) {
	s.t.Helper()
	wire, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Write(s.ctx, websocket.MessageBinary, wire); err != nil {
		s.t.Fatal(err)
	}
}

// read returns the next frame, which must be of the kind.
func (s socket) read(kind websocket.MessageType) string {
	s.t.Helper()
	got, data, err := s.Read(s.ctx)
	if err != nil {
		s.t.Fatalf("the socket ended: %v", err)
	}
	if got != kind {
		s.t.Fatalf("a %v frame, want %v", got, kind)
	}
	return string(data)
}

// expect reads a text frame that must contain the JSON.
func (s socket) expect(want string) {
	s.t.Helper()
	if got := s.read(websocket.MessageText); contains(got, want) != nil {
		s.t.Fatalf("%s, want %s", got, want)
	}
}

// closed reads the close frame.
func (s socket) closed(code int) (reason string) {
	s.t.Helper()
	kind, data, err := s.Read(s.ctx)
	if err == nil {
		s.t.Fatalf("a %v frame %q, want the end", kind, data)
	}
	var e websocket.CloseError
	if !errors.As(err, &e) || int(e.Code) != code {
		s.t.Fatalf("the socket ended with %v, want close code %d", err, code)
	}
	return e.Reason
}

// uploadRule gives WriteContent a path that it need not share with ReadContent.
const uploadRule = `
http_rules: [{ selector: bookstore.v1.BookstoreService.WriteContent, post: "/v1/{name=shelves/*/books/*}:upload", body: content }]
`

func TestWebSocketFrames(t *testing.T) { overEach(t, testWebSocketFrames) }

func testWebSocketFrames(t *testing.T, over dialer) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: uploadRule})
	t.Run("Semantics 38: a text frame is one JSON message", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"text": "a"}`)
		s.expect(`{"sequence": "1", "text": "You said: a"}`)
		s.send(`{"monologue": 2}`)
		s.expect(`{"sequence": "2"}`)
		s.expect(`{"sequence": "3"}`)
	})
	t.Run("Semantics 38: a binary frame is one protobuf message", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.sendBinary(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: "a"}})
		var answer pb.DiscussResponse
		if err := proto.Unmarshal([]byte(s.read(websocket.MessageBinary)), &answer); err != nil || answer.GetText() != "You said: a" {
			t.Errorf("%v %v", &answer, err)
		}
		s.send(`{"text": "JSON, too"}`)
		if err := proto.Unmarshal([]byte(s.read(websocket.MessageBinary)), &answer); err != nil || answer.GetText() != "You said: JSON, too" {
			t.Errorf("answers keep the kind of the first frame: %v %v", &answer, err)
		}
	})
	t.Run("Semantics 38: an empty text frame is the half-close", func(t *testing.T) {
		s := over.dial(t, g, "/v1/shelves/1/books:import", nil)
		s.send(`{"title": "a"}`)
		s.send(`{"title": "b"}`)
		s.send("")
		s.expect(`{"count": 2}`)
		s.closed(1000)
	})
	t.Run("Semantics 38: the answers go on after it", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"monologue": 3}`)
		s.send("")
		for i := range 3 {
			s.expect(fmt.Sprintf(`{"sequence": "%d"}`, i+1))
		}
		s.closed(1000)
	})
	t.Run("Semantics 38: a server stream from the path needs no frame", func(t *testing.T) {
		s := over.dial(t, g, "/v1/shelves/1/books:watch?count=1&interval=0s", nil)
		s.expect(`{"sequence": "1"}`)
	})
	t.Run("Semantics 38: the method's own path, server stream", func(t *testing.T) {
		s := over.dial(t, g, "/bookstore.v1.BookstoreService/WatchBooks", nil)
		s.send(`{"parent": "shelves/3", "count": 1, "interval": "0s"}`)
		for {
			if kind, _, err := s.Read(s.ctx); err != nil {
				if websocket.CloseStatus(err) != 1000 {
					t.Error(err)
				}
				return
			} else if kind != websocket.MessageText {
				t.Fatal(kind)
			}
		}
	})
	t.Run("Semantics 38: the method's own path, unary", func(t *testing.T) {
		s := over.dial(t, g, "/bookstore.v1.BookstoreService/GetShelf", nil)
		s.send(`{"name": "shelves/1"}`)
		s.expect(`{"name": "shelves/1"}`)
		s.closed(1000)
	})
	t.Run("Semantics 38: text that is no UTF-8", func(t *testing.T) {
		s := over.dial(t, g, "/v1/shelves/1/books/1:upload", nil)
		s.send("text\xff")
		s.expect(`{"error": {"code": 3, "message": "message 1: a text frame is UTF-8, and this one is not; bytes go into binary frames"}}`)
		s.closed(1007)
	})
	t.Run("Semantics 24: an upload, text and binary", func(t *testing.T) {
		s := over.dial(t, g, "/v1/shelves/1/books/1:upload", nil)
		s.send("some text, ")
		if err := s.Write(s.ctx, websocket.MessageBinary, []byte{0, 255}); err != nil {
			t.Fatal(err)
		}
		s.send("")
		s.expect(`{"size": "13", "chunks": 2}`)
		s.closed(1000)
	})
}

func TestWebSocketSubprotocols(t *testing.T) { overEach(t, testWebSocketSubprotocols) }

func testWebSocketSubprotocols(t *testing.T, over dialer) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, test := range []struct {
		offered []string
		want    string
	}{
		{nil, ""},
		{[]string{"transom.json"}, "transom.json"},
		{[]string{"other", "transom.proto"}, "transom.proto"},
		{[]string{"transom.json", "bearer.abc"}, "transom.json"},
		{[]string{"bearer.abc"}, "bearer.abc"},
		{[]string{"bearer.abc", "other"}, "other"},
	} {
		t.Run(fmt.Sprintf("Semantics 38: of %q one is echoed", test.offered), func(t *testing.T) {
			s := over.dial(t, g, discussPath, &websocket.DialOptions{Subprotocols: test.offered})
			if s.Subprotocol() != test.want {
				t.Errorf("%q, want %q", s.Subprotocol(), test.want)
			}
		})
	}
	t.Run("Semantics 38: transom.proto makes answers binary", func(t *testing.T) {
		s := over.dial(t, g, discussPath, &websocket.DialOptions{Subprotocols: []string{"transom.proto"}})
		s.send(`{"text": "a"}`)
		s.read(websocket.MessageBinary)
	})
	t.Run("Semantics 38: transom.json makes answers text", func(t *testing.T) {
		s := over.dial(t, g, discussPath, &websocket.DialOptions{Subprotocols: []string{"transom.json"}})
		s.sendBinary(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: "a"}})
		s.expect(`{"text": "You said: a"}`)
	})
}

func TestWebSocketCompression(t *testing.T) { overEach(t, testWebSocketCompression) }

func testWebSocketCompression(t *testing.T, over dialer) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	s := over.dial(t, g, discussPath, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1})
	for range 3 {
		text := strings.Repeat(rand.Text(), 500)
		s.send(`{"text": "` + text + `"}`)
		s.expect(`{"text": "You said: ` + text + `"}`)
	}
}

func TestWebSocketRefusals(t *testing.T) { overEach(t, testWebSocketRefusals) }

func testWebSocketRefusals(t *testing.T, over dialer) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: uploadRule + `
auth: { jwt: [{ issuer: i, secret: "0123456789abcdef0123456789abcdef" }] }
policies:
  - { selector: bookstore.v1.BookstoreService.ImportBooks, policy: { auth: { jwt: {} } } }
  - { selector: bookstore.v1.BookstoreService.WriteContent, policy: { rate_limit: [{ requests: 1, per: 3600s, burst: 1, key: ROUTE }] } }
  - { selector: bookstore.v1.BookstoreService.Discuss, policy: { cors: { allowed_origins: ["https://friend.example"] } } }
`})
	origin := func(o string) *websocket.DialOptions {
		return &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {o}}}
	}
	for _, test := range []struct {
		name, path string
		options    *websocket.DialOptions
		status     int
		want       string
	}{
		{"no such route", "/v1/nothing", nil, 404, `{"code": 5}`},
		{"a unary route", "/v1/shelves/1", nil, 404, `{"code": 5}`},
		{"no token", "/v1/shelves/1/books:import", nil, 401, `{"code": 16}`},
		{"a bad token", "/v1/shelves/1/books:import", &websocket.DialOptions{Subprotocols: []string{"bearer.x.y.z"}}, 401, `{"code": 16}`},
		{"another origin", "/v1/shelves/1/books:watch", origin("https://evil.example"), 403, `{"code": 7}`},
		{"an origin that the policy does not list", discussPath, origin("https://evil.example"), 403, `{"code": 7}`},
		{"the origin null", "/v1/shelves/1/books:watch", origin("null"), 403, `{"code": 7}`},
		{"two origins", discussPath, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://friend.example", "https://evil.example"}}}, 403, `{"code": 7}`},
		{"a bad timeout", discussPath, &websocket.DialOptions{HTTPHeader: http.Header{"X-Request-Timeout": {"soon"}}}, 400, `{"code": 3}`},
	} {
		t.Run("Semantics 38: "+test.name, func(t *testing.T) {
			if code, body := over.refused(t, g, test.path, test.options); code != test.status || contains(body, test.want) != nil {
				t.Errorf("%d %q", code, body)
			}
		})
	}
	t.Run("Semantics 38: 429", func(t *testing.T) {
		over.dial(t, g, "/v1/shelves/1/books/1:upload", nil)
		if code, body := over.refused(t, g, "/v1/shelves/1/books/1:upload", nil); code != 429 || contains(body, `{"code": 8}`) != nil {
			t.Errorf("%d %q", code, body)
		}
	})
	for name, o := range map[string]*websocket.DialOptions{"same origin": origin("http://" + g.Addr), "listed origin": origin("https://friend.example")} {
		t.Run("Semantics 38: "+name, func(t *testing.T) { over.dial(t, g, discussPath, o) })
	}
	for _, test := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"another version", []string{"Sec-WebSocket-Version", "8", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}, http.StatusUpgradeRequired},
		{"no key", []string{"Sec-WebSocket-Version", "13"}, http.StatusBadRequest},
		{"a short key", []string{"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAA"}, http.StatusBadRequest},
	} {
		t.Run("no handshake: "+test.name, func(t *testing.T) {
			a := g.Do(t, "GET", discussPath, "", append(test.headers, "Connection", "Upgrade", "Upgrade", "websocket")...)
			if a.Status != test.status || contains(a.Body, `{"code": 3}`) != nil {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
}

func TestWebSocketPolicy(t *testing.T) { overEach(t, testWebSocketPolicy) }

func testWebSocketPolicy(t *testing.T, over dialer) {
	cancelled := make(chan error, 1)
	g := startStub(t, &stub{discuss: func(stream discussStream) error {
		for {
			r, err := stream.Recv()
			if err != nil {
				cancelled <- err
				return err
			}
			if err := stream.Send(&pb.DiscussResponse{Text: r.GetText()}); err != nil {
				return err
			}
		}
	}}, `
auth: { jwt: [{ issuer: i, audience: a, secret: "0123456789abcdef0123456789abcdef" }] }
policies: [{ selector: bookstore.v1.BookstoreService.Discuss, policy: { auth: { jwt: {}, allow: "request.text != 'secret'" } } }]
`)
	claims := jwt.MapClaims{"iss": "i", "aud": "a", "sub": "x", "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	s := over.dial(t, g, discussPath, &websocket.DialOptions{Subprotocols: []string{"transom.json", "bearer." + token}})
	s.send(`{"text": "a"}`)
	s.expect(`{"text": "a"}`)
	s.send(`{"text": "secret"}`)
	s.expect(`{"error": {"code": 7}}`)
	s.closed(1008)
	if err := wait(t, cancelled, "the cancellation to reach the backend"); status.Code(err) != codes.Canceled {
		t.Errorf("Semantics 38: the backend sees %v", err)
	}
}
