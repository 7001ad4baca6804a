package httpbackend_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	_ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect" // WebSockets over HTTP/2
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// echo is a server of WebSockets that sends back what it gets.
func echo(t testing.TB) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
		if err != nil {
			t.Errorf("the server refuses: %v", err)
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(1 << 20)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	}
}

// TestWebSocket passes a WebSocket through over HTTP/1.1 (Traffic 149), and over HTTP/2,
// where it becomes one over HTTP/1.1 (Traffic 150).
func TestWebSocket(t *testing.T) {
	handler := echo(t)
	for name, protocol := range map[string]httpbackend.Protocol{"H1": httpbackend.H1, "beside H2C": httpbackend.H2C} {
		g := newRig(t, serve(t, handler), httpbackend.Options{Protocol: protocol})
		for client, c := range map[string]*http.Client{"HTTP/1.1": g.Clients["HTTP/1.1"].Client, "HTTP/2": gatewaytest.ExtendedConnect(t)} {
			t.Run(name+" client "+client, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				before := g.count()
				socket, response, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(g.Clients["HTTP/1.1"].URL, "http"), &websocket.DialOptions{HTTPClient: c, Subprotocols: []string{"chat"}})
				if err != nil {
					t.Fatal(err)
				}
				if response.Header.Get("Sec-Websocket-Protocol") != "chat" {
					t.Errorf("%v", response.Header)
				}
				socket.SetReadLimit(1 << 20)
				for _, message := range []string{"one", "two", strings.Repeat("large", 30_000)} {
					if err := socket.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
						t.Fatal(err)
					}
					if _, got, err := socket.Read(ctx); string(got) != message || err != nil {
						t.Fatalf("%d bytes, %v", len(got), err)
					}
				}
				if err := socket.Close(websocket.StatusNormalClosure, "bye"); err != nil {
					t.Error(err)
				}
				waitFor(t, "the exchange to end", func() bool { return g.count() > before })
				result := g.last()
				if client == "HTTP/2" && status.Code(result.Err) == codes.Canceled {
					result.Err, result.Aborted = nil, false // its library resets a stream that the server has not ended yet
				}
				if result.Err != nil || !result.Upgraded || result.Aborted || result.Sent < 150_000 || result.Received < 150_000 {
					t.Errorf("%+v", result)
				}
			})
		}
	}
}

// TestWebSocketRefused: a server's refusal is an ordinary answer, and 200 over HTTP/2 is
// not taken for a WebSocket that is open (Traffic 149, 150).
func TestWebSocketRefused(t *testing.T) {
	g := newRig(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ok" {
			_, _ = io.WriteString(w, "a page")
			return
		}
		w.Header().Set("X-Why", "no")
		http.Error(w, "not here", http.StatusForbidden)
	}), httpbackend.Options{})
	for client, c := range map[string]*http.Client{"HTTP/1.1": g.Clients["HTTP/1.1"].Client, "HTTP/2": gatewaytest.ExtendedConnect(t)} {
		for path, want := range map[string]int{"/": 403, "/ok": map[string]int{"HTTP/1.1": 200, "HTTP/2": 502}[client]} {
			_, response, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(g.Clients["HTTP/1.1"].URL, "http")+path, &websocket.DialOptions{HTTPClient: c})
			if err == nil || response == nil || response.StatusCode != want || want == 403 && response.Header.Get("X-Why") != "no" {
				t.Errorf("client %s %s: %v, %v", client, path, response, err)
			}
		}
	}
}

// TestWebSocketKey: a server that did not read the key is not taken for one that opens
// WebSockets (Traffic 150).
func TestWebSocketKey(t *testing.T) {
	g := newRig(t, answers(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"), httpbackend.Options{})
	_, response, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(g.Clients["HTTP/1.1"].URL, "http"), &websocket.DialOptions{HTTPClient: gatewaytest.ExtendedConnect(t)})
	if err == nil || response.StatusCode != 502 {
		t.Errorf("%v, %v", response, err)
	}
}

// shout is a server of the protocol "shout": it says hello, sends back what it gets in
// capitals, and ends when its client ends.
func shout(t testing.TB, early string) string {
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		head, err := readHead(r)
		if err != nil {
			return
		}
		if !strings.Contains(head, "Upgrade: shout\r\n") || !strings.Contains(head, "Connection: Upgrade\r\n") {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nplain")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"+early)
		for {
			b, err := r.ReadByte()
			if err != nil {
				break
			}
			_, _ = c.Write([]byte(strings.ToUpper(string(b))))
		}
		_, _ = io.WriteString(c, " END")
	})
}

// TestUpgrade: a token that the route lists passes, no other; what either side sends
// behind its head is not lost, and each half ends by itself (Traffic 149).
func TestUpgrade(t *testing.T) {
	g := newRig(t, shout(t, "HELLO "), httpbackend.Options{})
	const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: other, Shout, more\r\n\r\n"
	if got := g.raw(t, request); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
		t.Errorf("without a list: %q", got)
	}
	g.change = func(x *httpbackend.Exchange) { x.Upgrades = []string{"shout"} }
	if got := g.raw(t, strings.Replace(request, "\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbody", 1)); !strings.HasPrefix(got, "HTTP/1.1 200 OK") {
		t.Errorf("with a body: %q", got)
	}
	g2 := newRig(t, shoutAnyCase(t), httpbackend.Options{})
	g2.change = g.change
	c := g2.dial(t)
	_, _ = io.WriteString(c, request+"early ")
	reader := bufio.NewReader(c)
	head, err := readHead(reader)
	if err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: shout\r\n") || !strings.Contains(head, "Connection: Upgrade\r\n") {
		t.Fatalf("%q, %v", head, err)
	}
	_, _ = io.WriteString(c, "late")
	_ = c.CloseWrite()
	if rest, err := io.ReadAll(reader); string(rest) != "HELLO EARLY LATE END" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	waitFor(t, "the exchange to end", func() bool { return g2.count() == 1 })
	if result := g2.last(); result.Err != nil || !result.Upgraded || result.Sent != 10 || result.Received != 20 {
		t.Errorf("%+v", result)
	}
}

func shoutAnyCase(t testing.TB) string {
	return serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		head, err := readHead(r)
		if err != nil {
			return
		}
		if !strings.Contains(head, "\r\nUpgrade: Shout\r\n") {
			t.Errorf("the server gets %q", head)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nHELLO ")
		all, _ := io.ReadAll(r)
		_, _ = io.WriteString(c, strings.ToUpper(string(all))+" END")
	})
}

// TestUpgradeOfAnother: a server that changes to a protocol nobody asked for is at fault.
func TestUpgradeOfAnother(t *testing.T) {
	for _, upgrade := range []string{"", "Upgrade: websocket\r\n", "Upgrade: shout, websocket\r\n"} {
		g := newRig(t, answers(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"+upgrade+"\r\n"), httpbackend.Options{})
		g.change = func(x *httpbackend.Exchange) { x.Upgrades = []string{"shout"} }
		if got := g.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 502") {
			t.Errorf("%q: %q", upgrade, got)
		}
	}
}

// TestUpgradedEnds: what was upgraded ends when nothing passes for its time, and when the
// gateway ends its calls (Traffic 149, 151).
func TestUpgradedEnds(t *testing.T) {
	handler := echo(t)
	for name, idle := range map[string]time.Duration{"idle": 50 * time.Millisecond, "the end": time.Hour} {
		g := newRig(t, serve(t, handler), httpbackend.Options{Times: httpbackend.Times{Upgraded: idle}})
		for client, c := range map[string]*http.Client{"HTTP/1.1": g.Clients["HTTP/1.1"].Client, "HTTP/2": gatewaytest.ExtendedConnect(t)} {
			if name == "the end" && client == "HTTP/2" {
				continue // there is one end for both
			}
			before := g.count()
			socket, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(g.Clients["HTTP/1.1"].URL, "http"), &websocket.DialOptions{HTTPClient: c})
			if err != nil {
				t.Fatal(err)
			}
			if name == "the end" {
				g.End()
			}
			if _, _, err := socket.Read(t.Context()); err == nil {
				t.Errorf("%s: the socket goes on", name)
			}
			waitFor(t, "the exchange to end", func() bool { return g.count() > before })
			if result := g.last(); result.Err == nil || !result.Upgraded {
				t.Errorf("%s client %s: %+v", name, client, result)
			}
			_ = socket.CloseNow()
		}
	}
}
