package gateway_test

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	_ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect" // WebSockets over HTTP/2
)

func TestWebSocketEnds(t *testing.T) { overEach(t, testWebSocketEnds) }

func testWebSocketEnds(t *testing.T, over dialer) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "defaults: { limits: { max_message_bytes: 1000 } }\n"})
	t.Run("Semantics 38: 4000 plus the code", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"failure": {"code": 9, "message": "not now"}}`)
		s.expect(`{"error": {"code": 9, "message": "not now", "details": []}}`)
		if reason := s.closed(4009); reason != "not now" {
			t.Errorf("reason %q", reason)
		}
	})
	t.Run("Semantics 55: a code of the backend's own", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"failure": {"code": 5002, "message": "odd"}}`)
		s.expect(`{"error": {"code": 5002}}`)
		s.closed(4999)
	})
	t.Run("Semantics 38: an error before the first message", func(t *testing.T) {
		s := over.dial(t, g, "/v1/shelves/99/books:watch", nil)
		s.expect(`{"error": {"code": 5}}`)
		s.closed(4005)
	})
	t.Run("Semantics 38: the reason is cut between characters", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"failure": {"code": 3, "message": "` + strings.Repeat("é", 200) + `"}}`)
		s.expect(`{"error": {"code": 3}}`)
		if reason := s.closed(4003); len(reason) != 122 || !utf8.ValidString(reason) {
			t.Errorf("%d bytes: %q", len(reason), reason)
		}
	})
	t.Run("Semantics 38: malformed JSON in message 3", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"text": "1"}`)
		s.expect(`{"sequence": "1"}`)
		s.send(`{"text": "2"}`)
		s.expect(`{"sequence": "2"}`)
		s.send(`{"text": `)
		s.expect(`{"error": {"code": 3, "message": "~message 3: "}}`)
		if reason := s.closed(4003); !strings.Contains(reason, "message 3") {
			t.Errorf("reason %q", reason)
		}
	})
	t.Run("a broken protobuf message", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		if err := s.Write(s.ctx, websocket.MessageBinary, []byte{0x0a, 5}); err != nil {
			t.Fatal(err)
		}
		s.expect(`{"error": {"code": 3, "message": "~message 1: "}}`)
		s.closed(4003)
	})
	t.Run("Semantics 38: a frame too large", func(t *testing.T) {
		s := over.dial(t, g, discussPath, nil)
		s.send(`{"text": "1"}`)
		s.expect(`{"sequence": "1"}`)
		s.send(`{"text": "` + strings.Repeat("x", 2000) + `"}`)
		s.expect(`{"error": {"code": 8, "message": "~message 2 "}}`)
		s.closed(1009)
	})
	t.Run("Semantics 38: a frame too large when inflated", func(t *testing.T) {
		s := over.dial(t, g, discussPath, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
		s.send(`{"text": "` + strings.Repeat("x", 4<<20) + `"}`)
		s.expect(`{"error": {"code": 8, "message": "~message 1 "}}`)
		s.closed(1009)
	})
	t.Run("Semantics 38: a path variable that is none", func(t *testing.T) {
		s := over.dial(t, g, "/v1/shelves/1/books:watch?count=x", nil)
		s.expect(`{"error": {"code": 3}}`)
		s.closed(4003)
	})
}

func TestWebSocketCancellation(t *testing.T) { overEach(t, testWebSocketCancellation) }

func testWebSocketCancellation(t *testing.T, over dialer) {
	b := newBlocking()
	g := startStub(t, &b.stub, "")
	const service = "/bookstore.v1.BookstoreService/"
	for _, test := range []struct {
		name, path string
		frames     []string
	}{
		{"unary", service + "SearchBooks", []string{"{}"}},
		{"server stream", watchPath, nil},
		{"server stream by frame", service + "WatchBooks", []string{"{}"}},
		{"client stream", "/v1/shelves/1/books:import", []string{"{}"}},
		{"client stream after the half-close", "/v1/shelves/1/books:import", []string{"{}", ""}},
		{"bidi", discussPath, nil},
		{"bidi after the half-close", discussPath, []string{"{}", ""}},
	} {
		for how, leave := range map[string]func(s socket) error{
			"closes": func(s socket) error { return s.Close(websocket.StatusNormalClosure, "") },
			"breaks": func(s socket) error { return s.CloseNow() },
		} {
			t.Run("Semantics 40: "+test.name+", the client "+how, func(t *testing.T) {
				s := over.dial(t, g, test.path, nil)
				for _, f := range test.frames {
					s.send(f)
				}
				wait(t, b.running, "the call to reach the backend")
				// Whatever the client has not read yet stands before the close frame.
				go func() { _ = leave(s) }()
				wait(t, b.cancelled, "the cancellation to reach the backend")
			})
		}
	}
}

// TestWebSocketHalfClose has a client that closes the socket of a bidi call: the
// backend sees its half-close before the cancellation.
func TestWebSocketHalfClose(t *testing.T) { overEach(t, testWebSocketHalfClose) }

func testWebSocketHalfClose(t *testing.T, over dialer) {
	running, ended := make(chan struct{}), make(chan error, 1)
	g := startStub(t, &stub{discuss: func(stream discussStream) error {
		close(running)
		_, err := stream.Recv()
		ended <- err
		return nil
	}}, "")
	s := over.dial(t, g, discussPath, nil)
	wait(t, running, "Semantics 38: the call to start at the upgrade")
	if err := s.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	if err := wait(t, ended, "the half-close"); err != io.EOF {
		t.Errorf("Semantics 38: the backend sees %v, want the half-close", err)
	}
}

func TestWebSocketDrain(t *testing.T) { overEach(t, testWebSocketDrain) }

func testWebSocketDrain(t *testing.T, over dialer) {
	b := newBlocking()
	g := startStub(t, &b.stub, "")
	bidi, unary := over.dial(t, g, discussPath, nil), over.dial(t, g, "/bookstore.v1.BookstoreService/SearchBooks", nil)
	bidi.expect(`{"sequence": "1"}`)
	wait(t, b.running, "the call to reach the backend")
	g.Drain()
	bidi.expect(`{"error": {"code": 14}}`)
	bidi.closed(1012)
	wait(t, b.cancelled, "the cancellation to reach the backend")
	unary.expect(`{"error": {"code": 14}}`)
	unary.closed(1012)
}
