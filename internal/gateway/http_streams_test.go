package gateway_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"net/http/httptest"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestEventsThroughRoutes: each event of a stream is with the client before the server
// writes the next one (Traffic 144).
func TestEventsThroughRoutes(t *testing.T) {
	const events = 200
	next := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for n := range events {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			_, _ = fmt.Fprintf(w, "data: %d\n\n", n)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site }]\n",
	})
	for by, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		t.Run("Traffic 144: events by "+by, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), rawPatience)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Accept", "text/event-stream")
			response, err := client.Do(request) // its header comes without an event
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			r := bufio.NewReader(response.Body)
			for n := range events {
				next <- struct{}{}
				line, err := r.ReadString('\n')
				if want := fmt.Sprintf("data: %d\n", n); err != nil || line != want {
					t.Fatalf("%q, %v, want %q", line, err, want)
				}
				if _, err := r.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("behind the events: %q, %v", rest, err)
			}
		})
	}
}

// echoSite starts a server whose WebSockets answer what they are told, and returns its
// address.
func echoSite(t *testing.T) string {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, text, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, text); err != nil {
				return
			}
		}
	}))
	t.Cleanup(site.Close)
	return strings.TrimPrefix(site.URL, "http://")
}

// TestWebSocketsOutliveReloads opens WebSockets through a route and reloads the
// configuration many times: with another route beside theirs, with theirs changed, and
// without their route and upstream (Traffic 151).
func TestWebSocketsOutliveReloads(t *testing.T) {
	const sockets, reloads = 50, 100
	const route = "routes: [{ match: { path_prefix: /chat }, upstream: site"
	address := echoSite(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, // whose compilation would be what the reloads take
		Protos:      map[string]string{"small.proto": `syntax = "proto3"; package small.v1; service Small { rpc Do(M) returns (M); } message M {}`},
		Upstreams:   fmt.Sprintf("site: { http: { servers: [%q] } }", address),
		Config:      route + " }]\n",
	})
	first, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(first), route)
	without := strings.Replace(head, fmt.Sprintf(", site: { http: { servers: [%q] } }", address), "", 1)
	if without == head {
		t.Fatal("the upstream is not found in the configuration")
	}
	configs := []string{
		string(first),
		head + route + " }, { match: { path_prefix: /other }, upstream: site }]\n",
		head + route + ", policy: { headers: { response: { set: { X-A: b } } } } }]\n",
		without,
		head + "routes: [{ match: { path_prefix: /chat }, respond: { body: gone } }]\n",
	}
	open := make([]*websocket.Conn, sockets)
	for i := range open {
		c, response, err := websocket.Dial(t.Context(), g.URL+"/chat", nil)
		if err != nil {
			t.Fatalf("%v, %v", response, err)
		}
		open[i] = c
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	// By HTTP/2, too.
	second := gatewaytest.ExtendedConnect(t)
	for i := range 5 {
		c, response, err := websocket.Dial(t.Context(), g.URL+"/chat", &websocket.DialOptions{HTTPClient: second})
		if err != nil {
			t.Fatalf("%d by HTTP/2: %v, %v", i, response, err)
		}
		open = append(open, c)
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	for n := range reloads {
		if err := os.WriteFile(g.Config, []byte(configs[n%len(configs)]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatalf("reload %d: %v", n, err)
		}
		if c := open[n%len(open)]; !echoes(t, c, n) {
			t.Fatalf("Traffic 151: a WebSocket is lost by reload %d", n)
		}
	}
	lost := 0
	for n, c := range open {
		if !echoes(t, c, n) {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("Traffic 151: %d of %d WebSockets were lost by %d reloads", lost, len(open), reloads)
	}
}

func echoes(t *testing.T, c *websocket.Conn, n int) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rawPatience)
	defer cancel()
	want := fmt.Sprint("message ", n)
	if err := c.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
		t.Log(err)
		return false
	}
	_, got, err := c.Read(ctx)
	if err != nil {
		t.Log(err)
	}
	return string(got) == want
}

// TestStreamsOutliveReloads: an answer that goes on is not ended by a reload without its
// route (Traffic 151).
func TestStreamsOutliveReloads(t *testing.T) {
	more := make(chan string)
	site := rawSite(t, func(c net.Conn, r *bufio.Reader) {
		if _, ok := readRequest(r); !ok {
			return
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
			return
		}
		for text := range more {
			if _, err := fmt.Fprintf(c, "%x\r\n%s\r\n", len(text), text); err != nil {
				return
			}
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	var once sync.Once
	end := func() { once.Do(func() { close(more) }) }
	t.Cleanup(end)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", site),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site }]\n",
	})
	ctx, cancel := context.WithTimeout(t.Context(), rawPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := g.Client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "routes:")
	head = strings.Replace(head, fmt.Sprintf(", site: { http: { servers: [%q] } }", site), "", 1)
	if err := os.WriteFile(g.Config, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := g.Do(t, "GET", "/x", ""); a.Status != 404 {
		t.Errorf("the route is still there: %d", a.Status)
	}
	for n := range 10 {
		piece := binary.BigEndian.AppendUint32(nil, uint32(n))
		more <- string(piece)
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != string(piece) {
			t.Fatalf("Traffic 151: %x, %v", got, err)
		}
	}
	end()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		t.Errorf("Traffic 151: at the end %q, %v", rest, err)
	}
}

// TestTrailersBehindALength: a server of HTTP/2 may say how long its body is and announce a
// trailer behind it. Clients of HTTP/1.1 get both in chunks (Traffic 147).
func TestTrailersBehindALength(t *testing.T) {
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "yes")
	}))
	site.Config.Protocols = new(http.Protocols)
	site.Config.Protocols.SetUnencryptedHTTP2(true)
	site.Start()
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q], protocol: H2C } }", strings.TrimPrefix(site.URL, "http://")),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site }]\n",
	})
	for by, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			request, err := http.NewRequestWithContext(t.Context(), method, g.URL+"/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if method == http.MethodHead {
				if err != nil || response.ContentLength != 4 {
					t.Errorf("Traffic 147: HEAD by %s: length %d, %v", by, response.ContentLength, err)
				}
				continue
			}
			if err != nil || string(body) != "body" || response.Trailer.Get("X-Sum") != "yes" {
				t.Errorf("Traffic 147: by %s: %q, trailer %v, %v", by, body, response.Trailer, err)
			}
		}
	}
}
