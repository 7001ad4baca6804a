package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestSemantics307 sends headers whose names gRPC cannot carry by every protocol:
// the call goes on without them.
func TestSemantics307(t *testing.T) {
	g := startEcho(t, fieldsProto, "metadata: { request_headers: [\"*\"] }\n")
	for _, c := range []struct {
		name, method, path, body string
		client                   *http.Client
		headers                  []string
	}{
		{"REST, Grpc-Metadata-", "GET", "/q", "", g.Client, []string{"Grpc-Metadata-A!b", "x"}},
		{"REST, request_headers *", "GET", "/q", "", g.Client, []string{"X^a", "x"}},
		{"REST over HTTP/2", "GET", "/q", "", g.HTTP2, []string{"X|a", "x"}},
		{"Connect", "POST", "/q.v1.S/All", "{}", g.Client, []string{"Connect-Protocol-Version", "1", "X!a", "x"}},
		{"Connect streams", "POST", "/q.v1.S/Chat", "\x00\x00\x00\x00\x02{}", g.HTTP2, []string{"Content-Type", "application/connect+json", "X~a", "x"}},
		{"gRPC-Web", "POST", "/q.v1.S/All", "\x00\x00\x00\x00\x00", g.Client, []string{"Content-Type", "application/grpc-web+proto", "X'a", "x"}},
		{"gRPC", "POST", "/q.v1.S/All", "\x00\x00\x00\x00\x00", g.HTTP2, []string{"Content-Type", "application/grpc", "Te", "trailers", "X`a", "x"}},
	} {
		t.Run("Semantics 307: "+c.name, func(t *testing.T) {
			a := g.DoWith(t, c.client, c.method, c.path, c.body, c.headers...)
			if a.Status != 200 || a.Header.Get("Grpc-Status") > "0" || strings.Contains(a.Body, "internal") {
				t.Errorf("%d %v %q", a.Status, a.Header, a.Body)
			}
		})
	}
	overEach(t, func(t *testing.T, over dialer) {
		s := over.dial(t, g, "/chat", &websocket.DialOptions{HTTPHeader: http.Header{"X#a": {"x"}}})
		s.send(`{"userText": "one"}`)
		s.expect(`{"userText": "one"}`)
	})
}
