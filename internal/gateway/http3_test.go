package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// startHTTP3 starts a gateway whose URL is called by HTTP/3.
func startHTTP3(t *testing.T, o gatewaytest.Options, more func(*transomv1.Listener)) (*gatewaytest.Gateway, *http3.Transport, *tls.Config) {
	t.Helper()
	listener, trust := gatewaytest.ServeTLS(t)
	o.Listener = func(l *transomv1.Listener) {
		listener(l)
		if more != nil {
			more(l)
		}
	}
	g := gatewaytest.Start(t, o)
	return g, g.ByHTTP3(t, trust), trust
}

// TestHTTP3: Traffic 188: a listener with http3 serves HTTP/3 at the UDP port of the same number,
// and tells clients of the other versions so.
func TestHTTP3(t *testing.T) {
	g, _, trust := startHTTP3(t, gatewaytest.Options{}, nil)
	t.Run("REST", func(t *testing.T) {
		a := g.Do(t, "GET", "/v1/shelves/1", "")
		if a.Status != 200 || !strings.Contains(a.Body, `"shelves/1"`) || a.Header.Get("Alt-Svc") != "" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("Alt-Svc", func(t *testing.T) {
		for _, http2 := range []bool{false, true} {
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!http2)
			protocols.SetHTTP2(http2)
			transport := &http.Transport{Protocols: protocols, TLSClientConfig: trust.Clone()}
			defer transport.CloseIdleConnections()
			port := g.Addr[strings.LastIndexByte(g.Addr, ':'):]
			for _, path := range []string{"/v1/shelves/1", "/nothing"} {
				a := g.DoWith(t, &http.Client{Transport: transport}, "GET", path, "")
				if got, want := a.Header.Get("Alt-Svc"), `h3="`+port+`"; ma=3600`; got != want {
					t.Errorf("HTTP/2 %v, %s: Alt-Svc is %q, want %q", http2, path, got, want)
				}
			}
		}
	})
	t.Run("gRPC", func(t *testing.T) {
		message := "\x0a\x09shelves/1"
		frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
		for name, want := range map[string]string{"GetShelf": "0", "Nothing": "12"} {
			request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/bookstore.v1.BookstoreService/"+name, bytes.NewReader(frame))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/grpc")
			request.Header.Set("Te", "trailers")
			response, err := g.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			status := response.Trailer.Get("Grpc-Status") + response.Header.Get("Grpc-Status")
			if response.Proto != "HTTP/3.0" || status != want || want == "0" && !bytes.Contains(body, []byte("shelves/1")) {
				t.Errorf("%s: %s %v, %q, trailer %v", name, response.Proto, response.Header, body, response.Trailer)
			}
		}
	})
	t.Run("refusals", func(t *testing.T) {
		for _, c := range []struct {
			method, path, body string
			headers            []string
			want               int
		}{
			{"GET", "/v1/shelves/99", "", nil, 404},
			{"POST", "/v1/shelves", `{"theme": 1`, nil, 400},
			{"POST", "/v1/shelves", `{"theme":"` + strings.Repeat("x", 5<<20) + `"}`, nil, 413},
			{"GET", "/v1/shelves/1", "", []string{"X-Large", strings.Repeat("x", 80<<10)}, 431},
		} {
			if a := g.Do(t, c.method, c.path, c.body, c.headers...); a.Status != c.want {
				t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.Status, a.Body, c.want)
			}
		}
	})
}

// TestHTTP3Streams: Semantics 37: streams of both directions are full duplex over HTTP/3, and a
// client that leaves ends its call.
func TestHTTP3Streams(t *testing.T) {
	g, transport, _ := startHTTP3(t, gatewaytest.Options{}, nil)
	t.Run("NDJSON both ways", func(t *testing.T) {
		body, in := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/v1/discuss:stream", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-ndjson")
		answered := make(chan *http.Response, 1)
		go func() {
			response, err := g.Client.Do(request)
			if err != nil {
				t.Error(err)
			}
			answered <- response
		}()
		if _, err := io.WriteString(in, `{"text":"one"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		response := <-answered
		if response == nil {
			t.FailNow()
		}
		lines := bufio.NewScanner(response.Body)
		for _, remark := range []string{"one", "two", "three"} {
			if remark != "one" {
				if _, err := io.WriteString(in, `{"text":"`+remark+`"}`+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			if !lines.Scan() || !strings.Contains(lines.Text(), remark) {
				t.Fatalf("%q %v, want %s in it", lines.Text(), lines.Err(), remark)
			}
		}
		_ = in.Close()
		if lines.Scan() {
			t.Errorf("after the end: %q", lines.Text())
		}
		_ = response.Body.Close()
	})
	t.Run("events", func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, "GET", g.URL+"/v1/shelves/1/books:watch", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "text/event-stream")
		response, err := g.Client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil {
			t.Error(err)
		}
		leave()
		_ = response.Body.Close()
		poll.Until(t, "the call ends with its client", func() bool { all, _ := g.InFlight(); return all == 0 })
	})
	t.Run("WebSocket", func(t *testing.T) {
		socket, _, err := websocket.Dial(t.Context(), g.URL+"/v1/discuss:stream", &websocket.DialOptions{HTTPClient: gatewaytest.ExtendedConnect3(transport)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = socket.CloseNow() }()
		for _, remark := range []string{"one", "two"} {
			if err := socket.Write(t.Context(), websocket.MessageText, []byte(`{"text":"`+remark+`"}`)); err != nil {
				t.Fatal(err)
			}
			if _, text, err := socket.Read(t.Context()); err != nil || !strings.Contains(string(text), remark) {
				t.Fatalf("%s %v, want %s in it", text, err, remark)
			}
		}
		if err := socket.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
		poll.Until(t, "the call ends with its socket", func() bool { all, _ := g.InFlight(); return all == 0 })
	})
}

// TestHTTP3Ends: Traffic 188: who is served by HTTP/3 gets an answer when the gateway stops, and
// nobody new is served.
func TestHTTP3Ends(t *testing.T) {
	g, transport, trust := startHTTP3(t, gatewaytest.Options{}, nil)
	body, in := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/v1/shelves", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answered := make(chan string, 1)
	go func() {
		response, err := g.Client.Do(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		answered <- fmt.Sprint(response.StatusCode, string(text), err)
	}()
	if _, err := io.WriteString(in, `{"theme":`); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the call is under way", func() bool { all, _ := g.InFlight(); return all == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- g.Server.Shutdown(t.Context()) }()
	poll.Until(t, "nobody new is served", func() bool {
		late := &http3.Transport{TLSClientConfig: trust.Clone()}
		defer func() { _ = late.Close() }()
		limited, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		probe, err := http.NewRequestWithContext(limited, "GET", g.URL+"/v1/shelves/1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := late.RoundTrip(probe)
		if err != nil {
			return true
		}
		_ = response.Body.Close()
		return false
	})
	if _, err := io.WriteString(in, `"Late"}`); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	if got := <-answered; !strings.Contains(got, "200") || !strings.Contains(got, "Late") {
		t.Error(got)
	}
	transport.CloseIdleConnections()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestHTTP3Limits: Traffic 197 and 198 over HTTP/3: a client who has as many connections as may be
// gets no other, and connections that are too old end.
func TestHTTP3Limits(t *testing.T) {
	t.Run("max_connections_per_client", func(t *testing.T) {
		g, first, trust := startHTTP3(t, gatewaytest.Options{}, func(l *transomv1.Listener) { l.MaxConnectionsPerClient = 1 })
		if a := g.Do(t, "GET", "/v1/shelves/1", ""); a.Status != 200 {
			t.Fatalf("%+v", a)
		}
		second := &http3.Transport{TLSClientConfig: trust.Clone()}
		defer func() { _ = second.Close() }()
		ask := func() error {
			request, err := http.NewRequestWithContext(t.Context(), "GET", g.URL+"/v1/shelves/1", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := second.RoundTrip(request)
			if err == nil {
				_ = response.Body.Close()
			}
			return err
		}
		var refused *http3.Error // or quic-go's own, where the request had not begun
		var closed *quic.ApplicationError
		err := ask()
		switch {
		case errors.As(err, &refused) && refused.ErrorCode == http3.ErrCodeExcessiveLoad:
		case errors.As(err, &closed) && closed.Remote && closed.ErrorCode == quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad):
		default:
			t.Errorf("%v, want H3_EXCESSIVE_LOAD", err)
		}
		_ = first.Close()
		poll.Until(t, "there is room again", func() bool { return ask() == nil })
	})
	t.Run("max_connection_age", func(t *testing.T) {
		g, transport, _ := startHTTP3(t, gatewaytest.Options{}, func(l *transomv1.Listener) {
			l.MaxConnectionAge = durationpb.New(20 * time.Millisecond)
		})
		var mu sync.Mutex
		dialled := 0
		transport.Dial = func(ctx context.Context, address string, trust *tls.Config, config *quic.Config) (*quic.Conn, error) {
			mu.Lock()
			dialled++
			mu.Unlock()
			return quic.DialAddr(ctx, address, trust, config)
		}
		poll.Until(t, "the client connects anew", func() bool {
			if a := g.Do(t, "GET", "/v1/shelves/1", ""); a.Status != 200 {
				t.Fatalf("%+v", a)
			}
			mu.Lock()
			defer mu.Unlock()
			return dialled >= 3
		})
	})
}

// TestHTTP3Resets: Traffic 199: a connection ends whose client takes back most of what it asks for, by HTTP/3,
// too.
func TestHTTP3Resets(t *testing.T) {
	g, _, trust := startHTTP3(t, gatewaytest.Options{}, func(l *transomv1.Listener) { l.MaxResets = 3 })
	config := trust.Clone()
	config.NextProtos = []string{http3.NextProtoH3}
	c, err := quic.DialAddr(t.Context(), g.Addr, config, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	client := (&http3.Transport{}).NewClientConn(c)
	for c.Context().Err() == nil { // a slow machine takes longer for as many in a second
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v1/discuss:stream", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := client.OpenRequestStream(t.Context())
		if err != nil {
			break
		}
		if stream.SendRequestHeader(request) != nil {
			break
		}
		begun := func() bool { all, _ := g.InFlight(); return all > 0 || c.Context().Err() != nil }
		poll.Until(t, "the request to begin", begun)
		stream.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		stream.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
		poll.Until(t, "the request to end", func() bool { all, _ := g.InFlight(); return all == 0 })
	}
	<-c.Context().Done()
	var ended *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &ended) || !ended.Remote || ended.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad) {
		t.Errorf("the connection ended by %v, want H3_EXCESSIVE_LOAD", err)
	}
	if a := g.Do(t, "GET", "/v1/shelves/1", ""); a.Status != http.StatusOK {
		t.Errorf("another connection: %+v", a)
	}
}
