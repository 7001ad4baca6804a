package gateway_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestWebSocketExtra: a message behind all that the method takes ends the call, and
// says so; an empty one is a half-close.
func TestWebSocketExtra(t *testing.T) { overEach(t, testWebSocketExtra) }

func testWebSocketExtra(t *testing.T, over dialer) {
	b := newBlocking()
	log := new(logLines)
	g := startStubWith(t, &b.stub, gatewaytest.Options{Log: log})
	const service = "/bookstore.v1.BookstoreService/"
	for _, test := range []struct {
		name, path string
		frames     []string
		says       string
	}{
		{"a unary method", service + "SearchBooks", []string{"{}", "{}"}, "message 2: the call takes one message"},
		{"a server stream", service + "WatchBooks", []string{"{}", "", "{}"}, "message 3: the call takes one message"},
		{"a rule without a body", "/v1/shelves/1/books:watch", []string{"{}"}, "message 1: the call takes none"},
		{"behind the half-close", discussPath, []string{`{"text":"a"}`, "", `{"text":"b"}`}, "message 3: the empty message before it"},
		{"a long one", service + "WatchBooks", []string{"{}", strings.Repeat("x", 100_000)}, "message 2: the call takes one message"},
	} {
		t.Run("Semantics 313: "+test.name, func(t *testing.T) {
			s := over.dial(t, g, test.path, nil)
			for _, frame := range test.frames {
				s.send(frame)
			}
			text := s.read(websocket.MessageText)
			if strings.HasPrefix(text, `{"sequence"`) { // what the backend said before
				text = s.read(websocket.MessageText)
			}
			if contains(text, `{"error": {"code": 3}}`) != nil || !strings.Contains(text, test.says) {
				t.Errorf("%s, want %q", text, test.says)
			}
			if reason := s.closed(1008); !strings.Contains(reason, test.says) {
				t.Errorf("closed for %q", reason)
			}
		})
	}
	poll.Until(t, "the reason in the log", func() bool {
		log.mu.Lock()
		defer log.mu.Unlock()
		return strings.Contains(log.text.String(), `"reason":"message 1: the call takes none`)
	})
}

// TestChosenSubprotocol: Semantics 38: the answer to a handshake names a subprotocol
// that was offered, and a token only where nothing else was.
func TestChosenSubprotocol(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, test := range []struct {
		offered []string
		chosen  string
	}{
		{[]string{"transom.json", "bearer.s3cret"}, "transom.json"},
		{[]string{"bearer.s3cret", "transom.json"}, "transom.json"},
		{[]string{"bearer.s3cret", "chat"}, "chat"},
		{[]string{"chat", "bearer.s3cret", "transom.proto"}, "transom.proto"},
		{[]string{"bearer.s3cret"}, "bearer.s3cret"},
		{nil, ""},
	} {
		s := dialer{}.dial(t, g, discussPath, &websocket.DialOptions{Subprotocols: test.offered})
		if got := s.Subprotocol(); got != test.chosen {
			t.Errorf("%q of %q, want %q", got, test.offered, test.chosen)
		}
	}
}

// TestUpgradeHint: a plain GET where a WebSocket would open is told how.
func TestUpgradeHint(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `
http_rules: [{ selector: bookstore.v1.BookstoreService.Discuss, custom: { kind: websocket, path: /v1/live } }]
`})
	for path, hint := range map[string]bool{"/v1/live": true, "/v1/shelves/1/books:import": true, "/v1/shelves/1": false} {
		method := "GET"
		if !hint {
			method = "PATCH"
		}
		a := g.Do(t, method, path, "")
		if a.Status != 405 || strings.Contains(a.Body, "Upgrade: websocket") != hint {
			t.Errorf("Semantics 38: %s: %d %s", path, a.Status, a.Body)
		}
	}
}

// TestWebSocketWithBody: a handshake that announces a body, and falls silent, is refused
// in the client's form and holds nothing (Semantics 38).
func TestWebSocketWithBody(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, path := range []string{"/v1/shelves/1/books:watch", "/v1/discuss:stream"} { // a server's stream, and a client's
		t.Run(path, func(t *testing.T) { refusesBodies(t, g, path) })
	}
}

func refusesBodies(t *testing.T, g *gatewaytest.Gateway, path string) {
	t.Helper()
	head := "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for name, more := range map[string]string{
		"a length":                   "Content-Length: 5\r\n\r\n",
		"a part of it":               "Content-Length: 5\r\n\r\nab",
		"chunks":                     "Transfer-Encoding: chunked\r\n\r\n",
		"a part of a chunk":          "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
		"a length that is expected":  "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
		"chunks that are expected":   "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
		"a length beyond all limits": "Content-Length: 9000000000000000000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dialRaw(t, g.Addr, head+more)
			t.Parallel() // from here on: the server closes a second later
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), `{"code":3,"message":"a GET that opens a WebSocket has no body`) {
				t.Errorf("%s %s, %v", answer.Status, body, err)
			}
			poll.Until(t, "the call to end", func() bool { all, _ := g.InFlight(); return all == 0 })
		})
	}
	t.Run("none, as its length says", func(t *testing.T) {
		c := dialRaw(t, g.Addr, head+"Content-Length: 0\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%v, %v", answer, err)
		}
		_ = c.Close()
	})
}
