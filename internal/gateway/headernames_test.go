package gateway_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
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

// TestSemantics307Response: metadata whose name only HTTP's tokens allow reaches
// clients of every protocol, and breaks no answer.
func TestSemantics307Response(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	backend := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["X!y|z"], h["Trailer"] = []string{"application/grpc"}, []string{"v"}, []string{"Grpc-Status, X~end"}
		_, _ = w.Write([]byte("\x00\x00\x00\x00\x00")) // an error means that the gateway has gone
		h["Grpc-Status"], h["X~end"] = []string{"0"}, []string{"w"}
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = backend.Serve(l) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = backend.Close()
		<-served
	})
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: l.Addr().String(), NoBookstore: true, Protos: map[string]string{"q.proto": fieldsProto},
	})
	for _, c := range []struct {
		name, method, path, body, header string
		headers                          []string
	}{
		{"REST", "GET", "/q", "", "Grpc-Metadata-X!y|z", nil},
		{"Connect", "POST", "/q.v1.S/All", "{}", "X!y|z", []string{"Connect-Protocol-Version", "1"}},
		{"gRPC-Web", "POST", "/q.v1.S/All", "\x00\x00\x00\x00\x00", "X!y|z", []string{"Content-Type", "application/grpc-web+proto"}},
	} {
		for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			t.Run("Semantics 307: "+c.name+" over "+version, func(t *testing.T) {
				a := g.DoWith(t, client, c.method, c.path, c.body, c.headers...)
				value := ""
				for name, values := range a.Header {
					if strings.EqualFold(name, c.header) {
						value = values[0]
					}
				}
				if a.Status != 200 || value != "v" {
					t.Errorf("%d %v %q", a.Status, a.Header, a.Body)
				}
				if c.name == "gRPC-Web" && !strings.Contains(a.Body, "x~end:w\r\n") {
					t.Errorf("the trailer is %q", a.Body)
				}
			})
		}
	}
}
