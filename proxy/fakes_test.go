package proxy

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

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
