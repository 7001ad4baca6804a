package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClient is a Downstream whose client sends what the test puts into its
// channel; closing the channel is the half-close.
type fakeClient struct {
	in        chan any // string or error
	unblocked chan struct{}
	once      sync.Once
	// send is called for each message; nil takes them all.
	send func(string) error

	mu      sync.Mutex
	got     []string
	flushes int
	header  metadata.MD
	unblock int
	over    bool // Relay has returned
	late    bool // Unblock came after that
}

var _ Downstream = (*fakeClient)(nil)

func newFakeClient(in ...any) *fakeClient {
	c := &fakeClient{in: make(chan any, len(in)), unblocked: make(chan struct{})}
	for _, m := range in {
		c.in <- m
	}
	return c
}

// done is a client that has half-closed.
func (c *fakeClient) done() *fakeClient {
	close(c.in)
	return c
}

func (c *fakeClient) Open(ctx context.Context) (context.Context, error) { return ctx, nil }

func (c *fakeClient) Recv() (Frame, error) {
	select {
	case <-c.unblocked:
		return Frame{}, errTest(codes.Canceled)
	default:
	}
	select {
	case v := <-c.in:
		switch v := v.(type) {
		case string:
			return NewFrame([]byte(v)), nil
		case error:
			return Frame{}, v
		}
		return Frame{}, io.EOF // the channel is closed
	case <-c.unblocked:
		return Frame{}, errTest(codes.Canceled)
	}
}

func (c *fakeClient) Header(md metadata.MD) { c.header = md }

func (c *fakeClient) Send(f Frame) error {
	defer f.Free()
	if c.send != nil {
		if err := c.send(string(f.Bytes())); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, string(f.Bytes()))
	return nil
}

func (c *fakeClient) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushes++
}

func (c *fakeClient) Unblock() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = c.late || c.over
	c.unblock++
	c.once.Do(func() { close(c.unblocked) })
}

func (c *fakeClient) Finish(error, metadata.MD) int { return 0 }

// fakeBackend is a Backend with one Stream, itself.
type fakeBackend struct {
	open    error
	header  error
	replies chan any // string, error, or a func() any that says what comes
	sent    chan string
	closed  chan struct{}
	sendErr error
	patient bool // nothing comes before the client's half-close

	ctx    context.Context
	opened int
}

var _ Backend = (*fakeBackend)(nil)

func newFakeBackend(replies ...any) *fakeBackend {
	b := &fakeBackend{replies: make(chan any, len(replies)+1), sent: make(chan string, 100), closed: make(chan struct{})}
	for _, r := range replies {
		b.replies <- r
	}
	return b
}

func (b *fakeBackend) Call(ctx context.Context, _ string, _ Metadata, f Frame) (Reply, error) {
	b.ctx = ctx
	b.sent <- string(f.Bytes())
	f.Free()
	reply, err := b.Recv()
	return Reply{Message: reply, Trailer: b.Trailer()}, err
}

func (b *fakeBackend) Open(ctx context.Context, _ string, _ Metadata, _ Shape) (Stream, error) {
	b.ctx = ctx
	b.opened++
	if b.open != nil {
		return nil, b.open
	}
	return b, nil
}

func (b *fakeBackend) Send(f Frame) error {
	defer f.Free()
	if b.sendErr != nil {
		return b.sendErr
	}
	select {
	case b.sent <- string(f.Bytes()):
		return nil
	case <-b.ctx.Done():
		return io.EOF
	}
}

func (b *fakeBackend) CloseSend() error {
	close(b.closed)
	return nil
}

// waits makes the backend patient.
func (b *fakeBackend) waits() *fakeBackend {
	b.patient = true
	return b
}

func (b *fakeBackend) Recv() (Frame, error) {
	if b.patient {
		<-b.closed
	}
	select {
	case v := <-b.replies:
		if f, ok := v.(func() any); ok {
			v = f()
		}
		if text, ok := v.(string); ok {
			return NewFrame([]byte(text)), nil
		}
		err, ok := v.(error)
		if !ok {
			err = fmt.Errorf("the test's reply is a %T, which is none", v)
		}
		return Frame{}, err
	case <-b.ctx.Done():
		return Frame{}, status.FromContextError(b.ctx.Err()).Err()
	}
}

func (b *fakeBackend) Header() (metadata.MD, error) {
	return metadata.Pairs("h", "1"), b.header
}

func (b *fakeBackend) Trailer() metadata.MD { return metadata.Pairs("t", "1") }

func errTest(code codes.Code) error { return status.Error(code, "test") }

var (
	clientStreams = Shape{ClientStreams: true}
	serverStreams = Shape{ServerStreams: true}
	bidi          = Shape{ClientStreams: true, ServerStreams: true}
)

// relay runs a call in fake time; whatever it leaves behind is a deadlock.
func relay(t *testing.T, ctx context.Context, call *Call) Result {
	t.Helper()
	r := Relay(ctx, call)
	c, ok := call.Downstream.(*fakeClient)
	if !ok {
		t.Fatal("not a fakeClient")
	}
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.late {
			t.Error("Unblock after Relay has returned: Finish may have freed the client")
		}
	})
	return r
}

func check(t *testing.T, r Result, code codes.Code, up, down int) {
	t.Helper()
	if status.Code(r.Err) != code || r.RequestMessages != up || r.ResponseMessages != down {
		t.Errorf("%v, %d messages up, %d down; want %s, %d, %d", r.Err, r.RequestMessages, r.ResponseMessages, code, up, down)
	}
}

// TestRelayEnds runs calls of all shapes to their ends.
func TestRelayEnds(t *testing.T) {
	notFound := errTest(codes.NotFound)
	for _, test := range []struct {
		name     string
		shape    Shape
		client   *fakeClient
		backend  *fakeBackend
		code     codes.Code
		up, down int
	}{
		{"unary", Shape{}, newFakeClient("a").done(), newFakeBackend("x"), codes.OK, 1, 1},
		{"unary without a message", Shape{}, newFakeClient().done(), newFakeBackend(), codes.Unimplemented, 0, 0},
		{"unary, the backend fails", Shape{}, newFakeClient("a").done(), newFakeBackend(notFound), codes.NotFound, 1, 0},
		{"server stream", serverStreams, newFakeClient("a").done(), newFakeBackend("x", "y", io.EOF), codes.OK, 1, 2},
		{"server stream, empty", serverStreams, newFakeClient("a").done(), newFakeBackend(io.EOF), codes.OK, 1, 0},
		{"server stream that fails after messages", serverStreams, newFakeClient("a").done(), newFakeBackend("x", notFound), codes.NotFound, 1, 1},
		{"server stream without a message", serverStreams, newFakeClient().done(), newFakeBackend(), codes.Unimplemented, 0, 0},
		{"server stream with a bad message", serverStreams, newFakeClient(errTest(codes.InvalidArgument)), newFakeBackend(), codes.InvalidArgument, 0, 0},
		{"client stream", clientStreams, newFakeClient("a", "b").done(), newFakeBackend("x", io.EOF).waits(), codes.OK, 2, 1},
		{"client stream without an answer", clientStreams, newFakeClient().done(), newFakeBackend(io.EOF), codes.Unimplemented, 0, 0},
		{"client stream with two answers", clientStreams, newFakeClient().done(), newFakeBackend("x", "y"), codes.Unimplemented, 0, 0},
		{"client stream that fails behind its answer", clientStreams, newFakeClient().done(), newFakeBackend("x", notFound), codes.NotFound, 0, 0},
		{"Semantics 54: client stream answered early", clientStreams, newFakeClient(), newFakeBackend("x", io.EOF), codes.OK, 0, 1},
		{"Semantics 54: bidi ended at once", bidi, newFakeClient(), newFakeBackend(notFound), codes.NotFound, 0, 0},
		{"bidi", bidi, newFakeClient("a", "b").done(), newFakeBackend("x", "y", "z", io.EOF).waits(), codes.OK, 2, 3},
		{"an error that is no status", bidi, newFakeClient().done(), newFakeBackend(errors.New("odd")), codes.Unknown, 0, 0},
		{"the backend cannot be reached", bidi, newFakeClient(), &fakeBackend{open: errTest(codes.Unavailable)}, codes.Unavailable, 0, 0},
		{"the backend sends no header", bidi, newFakeClient(), &fakeBackend{header: errTest(codes.Unavailable)}, codes.Unavailable, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := relay(t, t.Context(), &Call{Downstream: test.client, Backend: test.backend, Shape: test.shape})
			check(t, r, test.code, test.up, test.down)
			if r.Trailer.Get("t") == nil && test.backend.opened > 0 && test.backend.open == nil {
				t.Error("the trailer is lost")
			}
		})
	}
}

// TestRefusedMessage has messages that the client or a policy spoils: the
// backend must be cancelled and the reason reach the client.
func TestRefusedMessage(t *testing.T) {
	refuse := func(_ context.Context, f *Frame) error {
		if string(f.Bytes()) == "bad" {
			return errTest(codes.PermissionDenied)
		}
		return nil
	}
	for _, test := range []struct {
		name   string
		shape  Shape
		client *fakeClient
		code   codes.Code
		up     int
	}{
		{"Semantics 36: the client, in a client stream", clientStreams, newFakeClient("a", errTest(codes.InvalidArgument)), codes.InvalidArgument, 1},
		{"Semantics 36: the client, in bidi", bidi, newFakeClient("a", "b", errTest(codes.InvalidArgument)), codes.InvalidArgument, 2},
		{"a policy, in bidi", bidi, newFakeClient("a", "bad", "c"), codes.PermissionDenied, 1},
		{"a policy, in a server stream", serverStreams, newFakeClient("bad"), codes.PermissionDenied, 0},
		{"a policy, unary", Shape{}, newFakeClient("bad"), codes.PermissionDenied, 0},
		{"Semantics 40: the client goes away", bidi, newFakeClient("a", errTest(codes.Canceled)), codes.Canceled, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newFakeBackend()
			check(t, relay(t, t.Context(), &Call{Downstream: test.client, Backend: b, Shape: test.shape, OnRequest: refuse}), test.code, test.up, 0)
			if b.opened > 0 && b.ctx.Err() == nil {
				t.Error("the backend goes on")
			}
			if !test.shape.ClientStreams && b.opened > 0 {
				t.Error("the backend heard of a call that is refused for its only message")
			}
		})
	}
}

// TestClientGone has a client that takes no more messages while the backend has
// some.
func TestClientGone(t *testing.T) {
	c := newFakeClient("a")
	c.send = func(m string) error {
		if m == "y" {
			return errTest(codes.Canceled)
		}
		return nil
	}
	b := newFakeBackend("x", "y", "z", "z", "z")
	check(t, relay(t, t.Context(), &Call{Downstream: c, Backend: b, Shape: serverStreams}), codes.Canceled, 1, 2)
	if b.ctx.Err() == nil {
		t.Error("Semantics 40: the backend goes on")
	}
}

// TestSendAfterEnd has a backend that ended the call while the client sends on.
func TestSendAfterEnd(t *testing.T) {
	b := newFakeBackend()
	b.sendErr = io.EOF
	c := newFakeClient("a", "b")
	go func() { b.replies <- errTest(codes.ResourceExhausted) }()
	r := relay(t, t.Context(), &Call{Downstream: c, Backend: b, Shape: bidi})
	if status.Code(r.Err) != codes.ResourceExhausted {
		t.Errorf("Semantics 41: %v, want the status that Recv has", r.Err)
	}
}

func TestHalfClose(t *testing.T) {
	b := newFakeBackend()
	b.replies <- func() any {
		<-b.closed // the answer waits for the half-close
		b.replies <- io.EOF
		return "x"
	}
	check(t, relay(t, t.Context(), &Call{Downstream: newFakeClient("a").done(), Backend: b, Shape: bidi}), codes.OK, 1, 1)
}

func TestTimes(t *testing.T) {
	const idle = time.Minute
	t.Run("Semantics 42: silence", func(t *testing.T) {
		for _, shape := range []Shape{clientStreams, serverStreams, bidi} {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeClient("a")
				start := time.Now()
				r := relay(t, t.Context(), &Call{Downstream: c, Backend: newFakeBackend(), Shape: shape, IdleTimeout: idle})
				check(t, r, codes.DeadlineExceeded, 1, 0)
				if !strings.Contains(r.Err.Error(), "1m0s") || time.Since(start) != idle {
					t.Errorf("%v after %s", r.Err, time.Since(start))
				}
			})
		}
	})
	t.Run("Semantics 42: a client that never sends its only message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeBackend()
			r := relay(t, t.Context(), &Call{Downstream: newFakeClient(), Backend: b, Shape: serverStreams, IdleTimeout: idle})
			check(t, r, codes.DeadlineExceeded, 0, 0)
			if b.opened > 0 {
				t.Error("the backend was called without a message")
			}
		})
	})
	t.Run("Semantics 42: messages in either direction keep it going", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, b := newFakeClient(), newFakeBackend()
			go func() {
				for range 5 {
					time.Sleep(idle * 3 / 4)
					c.in <- "a"
					time.Sleep(idle * 3 / 4)
					b.replies <- "x"
				}
				b.replies <- io.EOF
			}()
			check(t, relay(t, t.Context(), &Call{Downstream: c, Backend: b, Shape: bidi, IdleTimeout: idle}), codes.OK, 5, 5)
		})
	})
	t.Run("Semantics 32: the deadline", func(t *testing.T) {
		for _, shape := range []Shape{clientStreams, serverStreams, bidi} {
			for _, in := range [][]any{nil, {"a"}} {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					r := relay(t, ctx, &Call{Downstream: newFakeClient(in...), Backend: newFakeBackend(), Shape: shape})
					if len(in) == 0 && !shape.ClientStreams {
						check(t, r, codes.DeadlineExceeded, 0, 0)
						return
					}
					check(t, r, codes.DeadlineExceeded, len(in), 0)
				})
			}
		}
	})
	t.Run("Semantics 32: whatever the backend says then", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			b := newFakeBackend()
			b.replies <- func() any {
				<-ctx.Done()
				return errTest(codes.Internal)
			}
			check(t, relay(t, ctx, &Call{Downstream: newFakeClient("a"), Backend: b, Shape: serverStreams}), codes.DeadlineExceeded, 1, 0)
		})
	})
	t.Run("Semantics 32: in one form of words", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		for _, said := range []string{"context deadline exceeded", "stream terminated by RST_STREAM with error code: CANCEL"} {
			if got := status.Convert(expired(ctx, status.Error(codes.DeadlineExceeded, said))).Message(); got != "the call's time is over" {
				t.Errorf("%q became %q", said, got)
			}
			if got := status.Convert(expired(t.Context(), status.Error(codes.DeadlineExceeded, said))).Message(); got != said {
				t.Errorf("in time %q became %q", said, got)
			}
		}
	})
	t.Run("Semantics 40: cancellation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			check(t, relay(t, ctx, &Call{Downstream: newFakeClient("a"), Backend: newFakeBackend("x"), Shape: bidi}), codes.Canceled, 1, 1)
		})
	})
}

// TestBackPressure counts how far the relay reads ahead of a client that does
// not read, and of a backend that does not.
func TestBackPressure(t *testing.T) {
	t.Run("Semantics 39: down", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c, b := newFakeClient("a"), newFakeBackend()
			c.send = func(string) error {
				<-ctx.Done()
				return errTest(codes.Canceled)
			}
			taken := 0
			var endless func() any
			endless = func() any {
				taken++
				b.replies <- endless
				return "x"
			}
			b.replies <- endless
			ended := make(chan Result)
			go func() { ended <- relay(t, ctx, &Call{Downstream: c, Backend: b, Shape: serverStreams}) }()
			synctest.Wait()
			if taken > 3 {
				t.Errorf("%d messages were read for a client that takes none", taken)
			}
			cancel()
			check(t, <-ended, codes.Canceled, 1, 1)
		})
	})
	t.Run("Semantics 39: up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			messages := make([]any, 10)
			for i := range messages {
				messages[i] = "a"
			}
			c, b := newFakeClient(messages...), newFakeBackend()
			b.sent = make(chan string) // takes none
			ended := make(chan Result)
			go func() { ended <- relay(t, ctx, &Call{Downstream: c, Backend: b, Shape: clientStreams}) }()
			synctest.Wait()
			if read := 10 - len(c.in); read > 1 {
				t.Errorf("%d messages were read for a backend that takes none", read)
			}
			cancel()
			if r := <-ended; status.Code(r.Err) != codes.Canceled {
				t.Error(r.Err)
			}
		})
	})
}

// TestFlushes checks that messages are flushed when no other one is waiting, and
// only then.
func TestFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newFakeClient("a"), newFakeBackend()
		ended := make(chan Result)
		go func() { ended <- relay(t, t.Context(), &Call{Downstream: c, Backend: b, Shape: serverStreams}) }()
		for n := range 3 {
			b.replies <- "x"
			synctest.Wait()
			c.mu.Lock()
			if len(c.got) != n+1 || c.flushes != n+1 {
				t.Errorf("%d messages, %d flushes, want %d", len(c.got), c.flushes, n+1)
			}
			c.mu.Unlock()
		}
		b.replies <- io.EOF
		check(t, <-ended, codes.OK, 1, 3)
	})
}

func TestOnReply(t *testing.T) {
	upper := func(_ context.Context, f *Frame) error {
		changed := WrapFrame([]byte(strings.ToUpper(string(f.Bytes()))))
		f.Free()
		*f = changed
		return nil
	}
	for _, shape := range []Shape{{}, clientStreams} {
		c, b := newFakeClient("a").done(), newFakeBackend("x", io.EOF)
		b.patient = shape.ClientStreams
		check(t, relay(t, t.Context(), &Call{Downstream: c, Backend: b, Shape: shape, OnReply: upper}), codes.OK, 1, 1)
		if !slices.Equal(c.got, []string{"X"}) {
			t.Errorf("%q", c.got)
		}
		no := func(context.Context, *Frame) error { return errTest(codes.DataLoss) }
		r := relay(t, t.Context(), &Call{Downstream: newFakeClient("a").done(), Backend: newFakeBackend("x", io.EOF), Shape: shape, OnReply: no})
		if status.Code(r.Err) != codes.DataLoss || r.ResponseMessages != 0 {
			t.Errorf("%+v", r)
		}
	}
}
