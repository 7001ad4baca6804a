package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// blocking is a stub whose streams send one message, tell that they run, and
// then wait for the end of their context, which they tell too.
type blocking struct {
	stub
	running, cancelled chan struct{}
}

func newBlocking() *blocking {
	b := &blocking{running: make(chan struct{}, 8), cancelled: make(chan struct{}, 8)}
	hold := func(ctx context.Context) error {
		b.running <- struct{}{}
		<-ctx.Done()
		b.cancelled <- struct{}{}
		return status.FromContextError(ctx.Err()).Err()
	}
	b.search = func(ctx context.Context, _ *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error) {
		return nil, hold(ctx)
	}
	b.watch = func(_ *pb.WatchBooksRequest, stream watchStream) error {
		if err := send(stream, 1); err != nil {
			return err
		}
		return hold(stream.Context())
	}
	b.content = func(_ *pb.ReadContentRequest, stream contentStream) error {
		if err := stream.Send(&httpbody.HttpBody{Data: []byte("x\n")}); err != nil {
			return err
		}
		return hold(stream.Context())
	}
	b.books = func(stream importStream) error { return hold(stream.Context()) }
	b.upload = func(stream uploadStream) error { return hold(stream.Context()) }
	b.discuss = func(stream discussStream) error {
		if err := stream.Send(&pb.DiscussResponse{Sequence: 1}); err != nil {
			return err
		}
		return hold(stream.Context())
	}
	return b
}

// TestCancellation has clients that go away in the middle of a call.
func TestCancellation(t *testing.T) {
	b := newBlocking()
	g := startStub(t, &b.stub, "")
	for _, test := range []struct {
		name, method, path, body string
		open                     bool // the client would go on sending
	}{
		{name: "unary", method: "POST", path: "/v1/books:search", body: "{}"},
		{name: "server stream", method: "GET", path: watchPath},
		{name: "server stream with a body that no rule takes", method: "GET", path: watchPath, body: "ignored"},
		{name: "server stream with a body", method: "POST", path: "/bookstore.v1.BookstoreService/WatchBooks", body: "{}"},
		{name: "download", method: "GET", path: "/v1/shelves/1/books/1:content"},
		{name: "client stream", method: "POST", path: "/v1/shelves/1/books:import", body: "{}", open: true},
		{name: "client stream that has ended", method: "POST", path: "/v1/shelves/1/books:import", body: "{}"},
		{name: "upload", method: "POST", path: "/v1/shelves/1/books/1:content", body: "x", open: true},
		{name: "bidi", method: "POST", path: "/v1/discuss:stream", body: "{}", open: true},
	} {
		for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			t.Run("Semantics 40: "+test.name+", "+version, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var body io.Reader = strings.NewReader(test.body)
				reader, writer := io.Pipe()
				if test.open {
					go func() { _, _ = io.WriteString(writer, test.body) }()
					body = reader
				}
				r, err := http.NewRequestWithContext(ctx, test.method, g.URL+test.path, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if response, err := client.Do(r); err == nil {
						_, _ = io.Copy(io.Discard, response.Body)
						_ = response.Body.Close()
					}
				}()
				wait(t, b.running, "the call to reach the backend")
				cancel()
				// Once an HTTP/2 response has begun, net/http's client looks at its
				// context only when the body's Read returns.
				_ = writer.CloseWithError(context.Canceled)
				wait(t, b.cancelled, "the cancellation to reach the backend")
				wait(t, ended, "the client")
			})
		}
	}
}

func TestStreamTimeouts(t *testing.T) {
	b := newBlocking()
	g := startStub(t, &b.stub, "policies: [{ selector: bookstore.v1.BookstoreService.Discuss, policy: { idle_timeout: 1s } }]\n")
	t.Run("Semantics 42: the idle time", func(t *testing.T) {
		body, say := io.Pipe()
		defer func() { _ = say.Close() }()
		response := open(t, g.Client, "POST", g.URL+"/v1/discuss:stream", body, "Content-Type", "application/json")
		text, err := io.ReadAll(response.Body)
		lines := jsonLines(t, string(text))
		if err != nil || len(lines) != 2 || contains(lines[1], `{"error": {"code": 4, "message": "~no message in either direction"}}`) != nil {
			t.Errorf("%q %v", text, err)
		}
		wait(t, b.cancelled, "the cancellation to reach the backend")
	})
	for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		t.Run("Semantics 32: the client's deadline, "+version, func(t *testing.T) {
			response := watchBriefly(t, client, g.URL+watchPath)
			text, err := io.ReadAll(response.Body)
			all := events(string(text))
			if err != nil || len(all) != 2 || all[1].kind != "error" || contains(all[1].data, `{"code": 4}`) != nil {
				t.Errorf("%q %v", text, err)
			}
			wait(t, b.cancelled, "the cancellation to reach the backend")
		})
		t.Run("Semantics 32: while a client is slow to send its message, "+version, func(t *testing.T) {
			body, say := io.Pipe()
			defer func() { _ = say.Close() }()
			go func() { _, _ = io.WriteString(say, `{"parent": `) }()
			response := open(t, client, "POST", g.URL+"/bookstore.v1.BookstoreService/WatchBooks", body, "Content-Type", "application/json", "X-Request-Timeout", "0.05")
			if text, err := io.ReadAll(response.Body); response.StatusCode != 504 || contains(string(text), `{"code": 4}`) != nil {
				t.Errorf("%d %q %v", response.StatusCode, text, err)
			}
		})
	}
}

// watchBriefly watches with a time that is over soon after the first message,
// which a busy machine may need more for.
func watchBriefly(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	for timeout := 0.05; ; timeout *= 4 {
		response := open(t, client, "GET", url, nil, "X-Request-Timeout", fmt.Sprint(timeout), "Accept", "text/event-stream")
		if response.StatusCode != http.StatusGatewayTimeout || timeout > 10 {
			return response
		}
	}
}

func TestBackendGoesAway(t *testing.T) {
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		b := newBlocking()
		g := startStub(t, &b.stub, "")
		response := open(t, g.Client, "GET", g.URL+watchPath, nil, "Accept", accept)
		wait(t, b.running, "the call to reach the backend")
		b.server.Stop()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var last string
		if accept == "text/event-stream" {
			all := events(string(text))
			last = `{"error": ` + all[len(all)-1].data + `}`
		} else {
			lines := jsonLines(t, string(text))
			last = lines[len(lines)-1]
		}
		if contains(last, `{"error": {"code": 14, "message": "~backend"}}`) != nil || strings.Contains(last, "127.0.0.1") {
			t.Errorf("Semantics 26: %s: %q", accept, text)
		}
		if a := g.Do(t, "GET", watchPath, "", "Accept", accept); a.Status != 503 || strings.Contains(a.Body, "127.0.0.1") {
			t.Errorf("Semantics 26: %d %s", a.Status, a.Body)
		}
	}
}

// TestSlowReader has a backend that sends without end and a client that does not
// read: back-pressure must reach the backend, and memory stay flat.
func TestSlowReader(t *testing.T) {
	const size = 64 << 10
	var sent atomic.Int64
	ended := make(chan error, 8)
	g := startStub(t, &stub{watch: func(_ *pb.WatchBooksRequest, stream watchStream) error {
		m := &pb.WatchBooksResponse{Book: &pb.Book{Title: strings.Repeat("x", size)}}
		for {
			if err := stream.Send(m); err != nil {
				ended <- err
				return err
			}
			sent.Add(1)
		}
	}}, "")
	check := func(name string, open func(t *testing.T) (leave func())) {
		t.Run("Semantics 39: "+name, func(t *testing.T) {
			sent.Store(0)
			before := heap()
			leave := open(t)
			// Once nothing moves for a while, all buffers on the way are full.
			var last int64
			still := 0
			poll.Until(t, "the backend to be held up", func() bool {
				now := sent.Load()
				if now == last && now > 0 {
					still++
				} else {
					last, still = now, 0
				}
				return still > 50
			})
			if held := sent.Load() * size; held > 24<<20 {
				t.Errorf("%d MB are on their way to a client that does not read", held>>20)
			}
			if more := heap() - before; more > 48<<20 {
				t.Errorf("the heap holds %d MB more", more>>20)
			}
			leave()
			if err := wait(t, ended, "the cancellation to reach the backend"); status.Code(err) == codes.OK {
				t.Errorf("the backend ended with %v", err)
			}
		})
	}
	for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		for _, accept := range []string{"application/json", "application/x-ndjson", "text/event-stream"} {
			check(accept+", "+version, func(t *testing.T) func() {
				response := open(t, client, "GET", g.URL+watchPath, nil, "Accept", accept)
				return func() { _ = response.Body.Close() }
			})
		}
	}
	for version, over := range map[string]dialer{"HTTP/1.1": {}, "HTTP/2": {gatewaytest.ExtendedConnect(t)}} {
		check("WebSocket, "+version, func(t *testing.T) func() {
			s := over.dial(t, g, watchPath, nil)
			return func() { _ = s.CloseNow() }
		})
	}
}

// heap is what is live, in bytes. Twice, for what pools keep from one collection
// to the next.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMessageTooLarge has messages above the limit in both directions.
func TestMessageTooLarge(t *testing.T) {
	g := startStub(t, &stub{
		watch: func(_ *pb.WatchBooksRequest, stream watchStream) error {
			if err := send(stream, 1); err != nil {
				return err
			}
			return stream.Send(&pb.WatchBooksResponse{Book: &pb.Book{Title: strings.Repeat("x", 4000)}})
		},
		discuss: func(stream discussStream) error {
			for {
				r, err := stream.Recv()
				if err != nil {
					return err
				}
				if err := stream.Send(&pb.DiscussResponse{Text: r.GetText()}); err != nil {
					return err
				}
			}
		},
	}, "defaults: { limits: { max_message_bytes: 1000, max_response_bytes: 2000 } }\n")
	t.Run("of the backend", func(t *testing.T) {
		lines := jsonLines(t, g.Do(t, "GET", watchPath, "").Body)
		if len(lines) != 2 || contains(lines[1], `{"error": {"code": 8, "message": "the backend's answer is larger than 2000 bytes (limits.max_response_bytes)"}}`) != nil {
			t.Errorf("%q", lines)
		}
	})
	for version, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		t.Run("Semantics 21: of the client, after an answer, "+version, func(t *testing.T) {
			body, say := io.Pipe()
			defer func() { _ = say.Close() }()
			go func() { _, _ = io.WriteString(say, `{"text": "a"}`) }()
			response := open(t, client, "POST", g.URL+"/v1/discuss:stream", body, "Content-Type", "application/json")
			r := bufio.NewReader(response.Body)
			readLine(t, r)
			go func() { _, _ = fmt.Fprintf(say, `{"text": "%s`, strings.Repeat("x", 5000)) }()
			if line := readLine(t, r); contains(line, `{"error": {"code": 8, "message": "~element 1: "}}`) != nil {
				t.Errorf("%q", line)
			}
		})
	}
}

// A backend whose answer is too large is at fault, not the client.
func TestLargeAnswer(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "defaults: { limits: { max_response_bytes: 10 } }\n"})
	answer := g.Do(t, "GET", "/v1/shelves/1", "")
	if err := contains(answer.Body, `{"code": 8, "message": "the backend's answer is larger than 10 bytes (limits.max_response_bytes)"}`); answer.Status != http.StatusBadGateway || err != nil {
		t.Errorf("%d %s: %v", answer.Status, answer.Body, err)
	}
}
