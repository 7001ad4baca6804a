package proxy

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

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
