package transcoder

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// bookstoreBinding is the own path of a method of the bookstore.
func bookstoreBinding(t testing.TB, method protoreflect.Name, s Settings) *Binding {
	t.Helper()
	service := pb.File_bookstore_v1_bookstore_proto.Services().ByName("BookstoreService")
	s.Headers = NewHeaderRules(HeaderOptions{})
	plans := jsonwire.NewPlans(nil)
	b, err := NewMethod(service.Methods().ByName(method), plans, s).BindPath(plans)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fakeWriter is a server's ResponseWriter without a server. A write waits while
// it is held, until the write deadline is in the past.
type fakeWriter struct {
	mu        sync.Mutex
	changed   *sync.Cond
	header    http.Header
	status    int
	body      strings.Builder
	flushed   int // length of the body at the last flush
	held      bool
	writeDone bool // the write deadline has passed
	deadline  time.Time
	readDone  bool
}

func newFakeWriter() *fakeWriter {
	w := &fakeWriter{header: http.Header{}}
	w.changed = sync.NewCond(&w.mu)
	return w
}

func (w *fakeWriter) Header() http.Header { return w.header }

func (w *fakeWriter) WriteHeader(code int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = code
}

func (w *fakeWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.held && !w.writeDone {
		w.changed.Wait()
	}
	if w.writeDone {
		return 0, context.DeadlineExceeded
	}
	return w.body.Write(b)
}

func (w *fakeWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed = w.body.Len()
	return nil
}

func (w *fakeWriter) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	w.writeDone = w.writeDone || !t.IsZero() && t.Before(time.Now()) // a broken connection stays so
	w.changed.Broadcast()
	return nil
}

func (w *fakeWriter) SetReadDeadline(time.Time) error {
	w.readDone = true
	return nil
}

// visible is what the client has.
func (w *fakeWriter) visible() (status int, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.body.String()[:w.flushed]
}

// watching opens a WatchBooks stream on a fakeWriter and takes its request.
func watching(t *testing.T, accept string) (proxy.Downstream, *fakeWriter) {
	t.Helper()
	w := newFakeWriter()
	r := httptest.NewRequest("POST", "/bookstore.v1.BookstoreService/WatchBooks", strings.NewReader("{}"))
	r.Header.Set("Accept", accept)
	s := REST.Open(bookstoreBinding(t, "WatchBooks", Settings{}), Exchange{W: w, R: r})
	if _, err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	return s, w
}

func watched(t *testing.T, n uint64) proxy.Frame {
	t.Helper()
	wire, err := proto.Marshal(&pb.WatchBooksResponse{Sequence: n})
	if err != nil {
		t.Fatal(err)
	}
	return proxy.NewFrame(wire)
}

func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := watching(t, "text/event-stream")
		step := func(d time.Duration, status, pings int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if code, body := w.visible(); code != status || strings.Count(body, ": ping\n\n") != pings {
				t.Errorf("after %s: status %d, %q", d, code, body)
			}
		}
		step(firstMessageWait-1, 0, 0)
		step(1, 200, 0) // Semantics 34: the headers wait a moment
		step(heartbeat-1, 200, 0)
		step(1, 200, 1) // Semantics 35: heartbeats
		step(heartbeat, 200, 2)
		if err := s.Send(watched(t, 1)); err != nil {
			t.Error(err)
		}
		s.Flush()
		step(heartbeat-1, 200, 2)
		step(1, 200, 3)
		step(10*heartbeat, 200, 13)
		if code := s.Finish(nil, nil); code != 200 || !strings.HasSuffix(w.body.String(), "event: end\ndata: {}\n\n") {
			t.Errorf("%d %q", code, w.body.String())
		}
		before := w.body.Len()
		step(10*heartbeat, 200, 13)
		if w.body.Len() != before {
			t.Error("the stream goes on after its end")
		}
	})
}

func TestFirstMessageWait(t *testing.T) {
	for name, test := range map[string]struct {
		wait   time.Duration
		header bool
		status int
	}{
		"an error while the headers wait":                 {firstMessageWait - 1, false, 404},
		"an error after that":                             {firstMessageWait, false, 200},
		"an error just after the backend's header":        {acceptedWait - 1, true, 404},
		"an error a moment after the backend's header":    {acceptedWait, true, 200},
		"an error long after, with a header in the midst": {5 * firstMessageWait, true, 200},
	} {
		t.Run("Semantics 34: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, w := watching(t, "application/x-ndjson")
				if test.header {
					s.Header(nil)
				}
				time.Sleep(test.wait)
				synctest.Wait()
				if code := s.Finish(status.Error(codes.NotFound, "no"), nil); code != test.status || w.status != test.status {
					t.Errorf("%d %d %q", code, w.status, w.body.String())
				}
			})
		})
	}
}

// TestStalledClient has a client that does not read.
func TestStalledClient(t *testing.T) {
	send := func(s proxy.Downstream, f proxy.Frame) <-chan error {
		failed := make(chan error, 1)
		go func() { failed <- s.Send(f) }()
		synctest.Wait()
		return failed
	}
	t.Run("Semantics 39: the write deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, "application/x-ndjson")
			w.held = true
			failed := send(s, watched(t, 1))
			time.Sleep(writeTimeout - 1)
			select {
			case err := <-failed:
				t.Fatalf("too early: %v", err)
			default:
			}
			time.Sleep(stallCheck)
			if err := <-failed; status.Code(err) != codes.Canceled {
				t.Error(err)
			}
			s.Finish(status.Error(codes.Canceled, ""), nil)
		})
	})
	t.Run("Semantics 32: the call's end does not wait for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, "application/x-ndjson")
			w.held = true
			failed := send(s, watched(t, 1))
			start := time.Now()
			s.Unblock()
			if err := <-failed; status.Code(err) != codes.Canceled || time.Since(start) != lastWriteGrace {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			s.Finish(status.Error(codes.DeadlineExceeded, ""), nil)
		})
	})
	t.Run("Semantics 42: silence is no stall", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, w := watching(t, "application/x-ndjson")
			for n := range uint64(3) {
				if err := s.Send(watched(t, n+1)); err != nil {
					t.Fatal(err)
				}
				s.Flush()
				time.Sleep(10 * writeTimeout)
				synctest.Wait()
				if w.writeDone {
					t.Fatal("a stream on which nothing waits got a write deadline: HTTP/2 resets it")
				}
			}
			s.Finish(nil, nil)
		})
	})
}

// TestDuplexBody checks what happens to a body that is not read to its end.
func TestDuplexBody(t *testing.T) {
	for name, test := range map[string]struct {
		duplex, http2, done bool
		want                string
	}{
		"the rest would be the next request": {duplex: true, want: "close"},
		"read to its end":                    {duplex: true, done: true},
		"net/http sees to it":                {},
		"HTTP/2":                             {http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader("body"))
			if test.http2 {
				r.ProtoMajor = 2
			}
			w := newFakeWriter()
			d := newDuplexBody(&Exchange{W: w, R: r})
			d.duplex = test.duplex
			if test.done {
				if _, err := io.ReadAll(d); err != nil {
					t.Fatal(err)
				}
			}
			h := w.Header()
			if d.closeAfter(); h.Get("Connection") != test.want {
				t.Errorf("Connection: %q, want %q", h.Get("Connection"), test.want)
			}
		})
	}
	t.Run("Unblock leaves a body alone that nobody reads", func(t *testing.T) {
		w := newFakeWriter()
		d := newDuplexBody(&Exchange{W: w, R: httptest.NewRequest("POST", "/", strings.NewReader("body"))})
		d.Unblock()
		if _, err := d.Read(make([]byte, 1)); w.readDone || status.Code(err) != codes.Canceled {
			t.Errorf("deadline %t, %v", w.readDone, err)
		}
	})
}

// TestSilentRPC sends a message by gRPC and its like and is then silent: no
// deadline may run on, as HTTP/2 resets a stream when it passes.
func TestSilentRPC(t *testing.T) {
	for name, protocol := range map[string]*Protocol{
		"application/grpc": GRPC, "application/grpc-web+proto": GRPCWeb, "application/connect+proto": ConnectStream,
	} {
		t.Run("Semantics 42: "+name, func(t *testing.T) {
			w := newFakeWriter()
			r := httptest.NewRequest("POST", "/bookstore.v1.BookstoreService/WatchBooks", strings.NewReader("\x00\x00\x00\x00\x00"))
			r.ProtoMajor = 2
			r.Header.Set("Content-Type", name)
			r.Header.Set("Connect-Protocol-Version", "1")
			d := protocol.Open(bookstoreBinding(t, "WatchBooks", Settings{}), Exchange{W: w, R: r})
			if _, err := d.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Recv(); err != nil {
				t.Fatal(err)
			}
			if err := d.Send(watched(t, 1)); err != nil {
				t.Fatal(err)
			}
			if d.Flush(); !w.deadline.IsZero() {
				t.Errorf("the deadline is %s", w.deadline)
			}
			d.Finish(nil, nil)
		})
	}
}
