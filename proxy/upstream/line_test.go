package upstream

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/rawgrpc"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// scripted is a server behind a pipe that a test writes by hand.
type scripted struct {
	*http2.Framer
	t *testing.T
}

// call reads up to the end of a request and returns its number and its text.
func (s scripted) call() (id uint32, text string) {
	for {
		frame, err := s.ReadFrame()
		if err != nil {
			return 0, ""
		}
		if data, ok := frame.(*http2.DataFrame); ok {
			if len(data.Data()) > 5 {
				text = string(data.Data()[5:])
			}
			if data.StreamEnded() {
				return data.StreamID, text
			}
		}
	}
}

func (s scripted) drain() {
	for {
		if _, err := s.ReadFrame(); err != nil {
			return
		}
	}
}

// servePipe connects c to a server, for bubbles of synctest.
func servePipe(t *testing.T, c *Conn, script func(s scripted), settings ...http2.Setting) {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		s := scripted{http2.NewFramer(far, far), t}
		_, _ = io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
		for range 2 {
			_, _ = s.ReadFrame()
		}
		_ = s.WriteSettings(settings...)
		script(s)
		s.drain()
	}()
	conn, err := transport.New(t.Context(), near, transport.Options{Pool: proxy.Buffers, Room: c.line.take})
	if err != nil {
		t.Fatal(err)
	}
	e := new(Endpoint)
	e.ready.Store(&[]*transport.Conn{conn})
	c.choose(append(slices.Clone(c.choice.Load().endpoints), e))
	t.Cleanup(func() {
		conn.Close()
		<-conn.Done()
		_ = far.Close()
		<-served
	})
}

// unresolvedConn is a Conn whose connections a test makes.
func unresolvedConn(log *slog.Logger) *Conn {
	c := &Conn{log: log, ctx: context.Background(), balancer: new(roundRobin), changed: make(chan struct{})}
	c.choice.Store(new(choice))
	return c
}

// exchange sends a message on a stream and waits for the end. In bubbles of synctest
// it stands in for Call, whose streams, and channels, go from one bubble to another.
func exchange(ctx context.Context, c *Conn, header []string, text string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Open(ctx, new(Turn), &transport.Request{Method: "/test.Test/Stream", Header: header, Limit: 1 << 20})
	if err != nil {
		return err
	}
	if stream.Send(mem.BufferSlice{mem.SliceBuffer(text)}) == nil {
		_ = stream.CloseSend()
	}
	for {
		f, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		f.Free()
	}
}

// TestTurns: Traffic 169: a server takes one call at a time; callers wait for it,
// give up or come back.
func TestTurns(t *testing.T) {
	one := http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}
	succeed := func(t *testing.T, c *Conn, text string) {
		if err := exchange(t.Context(), c, nil, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	bubble := func(t *testing.T, script func(s scripted), test func(t *testing.T, c *Conn), settings ...http2.Setting) {
		synctest.Test(t, func(t *testing.T) {
			c := unresolvedConn(slog.New(slog.DiscardHandler))
			servePipe(t, c, script, settings...)
			test(t, c)
			if n, _, _ := c.Waiting(); n != 0 {
				t.Errorf("%d calls still wait", n)
			}
		})
	}
	t.Run("a turn that is not taken goes to the next", func(t *testing.T) {
		var proceed chan struct{} // the bubble's
		bubble(t, func(s scripted) {
			id, _ := s.call()
			<-proceed
			rawgrpc.Answer(s.Framer, id, "")
			id, _ = s.call()
			rawgrpc.Answer(s.Framer, id, "")
		}, func(t *testing.T, c *Conn) {
			proceed = make(chan struct{})
			var calls sync.WaitGroup
			calls.Go(func() { succeed(t, c, "first") })
			synctest.Wait()
			calls.Go(func() {
				err := exchange(t.Context(), c, []string{"x", strings.Repeat("y", 2000)}, "second")
				if status.Code(err) != codes.ResourceExhausted {
					t.Error(err)
				}
			})
			synctest.Wait()
			calls.Go(func() { succeed(t, c, "third") })
			synctest.Wait()
			close(proceed)
			calls.Wait()
		}, one, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 1000})
	})
	t.Run("first come, first served", func(t *testing.T) {
		var proceed chan struct{}
		var order []string
		bubble(t, func(s scripted) {
			for range 6 {
				id, text := s.call()
				order = append(order, text)
				<-proceed
				rawgrpc.Answer(s.Framer, id, "")
			}
		}, func(t *testing.T, c *Conn) {
			proceed = make(chan struct{})
			var calls sync.WaitGroup
			for i := range 3 {
				calls.Go(func() {
					succeed(t, c, fmt.Sprint(i))
					succeed(t, c, fmt.Sprint(i, " again"))
				})
				synctest.Wait()
			}
			for range 6 {
				proceed <- struct{}{}
				synctest.Wait()
			}
			calls.Wait()
			if got := strings.Join(order, ", "); got != "0, 1, 2, 0 again, 1 again, 2 again" {
				t.Error(got)
			}
		}, one)
	})
	t.Run("settings with less, then more room", func(t *testing.T) {
		var none, more chan struct{}
		bubble(t, func(s scripted) {
			id, _ := s.call()
			_ = s.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			rawgrpc.Answer(s.Framer, id, "")
			close(none)
			<-more
			_ = s.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 5})
			var ids []uint32
			for range 5 {
				id, _ := s.call()
				ids = append(ids, id)
			}
			for _, id := range ids {
				rawgrpc.Answer(s.Framer, id, "")
			}
		}, func(t *testing.T, c *Conn) {
			none, more = make(chan struct{}), make(chan struct{})
			var calls sync.WaitGroup
			calls.Go(func() { succeed(t, c, "first") })
			<-none
			for range 5 {
				calls.Go(func() { succeed(t, c, "x") })
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := exchange(ctx, c, nil, "x"); status.Code(err) != codes.DeadlineExceeded {
				t.Error(err)
			}
			close(more)
			calls.Wait()
		}, one)
	})
	t.Run("one that gave up is not called", func(t *testing.T) {
		var proceed chan struct{}
		bubble(t, func(s scripted) {
			id, _ := s.call()
			<-proceed
			rawgrpc.Answer(s.Framer, id, "")
			if id, text := s.call(); text == "last" {
				rawgrpc.Answer(s.Framer, id, "")
			}
		}, func(t *testing.T, c *Conn) {
			proceed = make(chan struct{})
			var calls sync.WaitGroup
			calls.Go(func() { succeed(t, c, "first") })
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			calls.Go(func() {
				if err := exchange(ctx, c, nil, "given up"); status.Code(err) != codes.Canceled {
					t.Error(err)
				}
			})
			synctest.Wait()
			calls.Go(func() { succeed(t, c, "last") })
			synctest.Wait()
			cancel()
			synctest.Wait()
			close(proceed)
			calls.Wait()
		}, one)
	})
}

// TestFull: Traffic 169: a connection that has all the streams that its server
// allows is not picked while another has room; where all are full, calls wait for a
// bounded time, in a bounded number, and the log hears of it.
func TestFull(t *testing.T) {
	one := http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1}
	silent := func(scripted) {}
	t.Run("another connection has room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := unresolvedConn(slog.New(slog.DiscardHandler))
			servePipe(t, c, silent, one)
			go func() { _ = exchange(t.Context(), c, nil, "held") }()
			synctest.Wait()
			servePipe(t, c, func(s scripted) {
				for range 8 {
					id, _ := s.call()
					rawgrpc.Answer(s.Framer, id, "")
				}
			}, one)
			began := time.Now()
			for range 8 {
				if err := exchange(t.Context(), c, nil, "x"); err != nil {
					t.Error(err)
				}
			}
			if waited := time.Since(began); waited != 0 { // by the bubble's clock
				t.Errorf("the calls waited %s", waited)
			}
		})
	})
	t.Run("all are full", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			lines := &logtext.Text{}
			c := unresolvedConn(slog.New(slog.NewTextHandler(lines, nil)))
			servePipe(t, c, silent, one)
			servePipe(t, c, silent, one)
			for range 2 {
				go func() { _ = exchange(t.Context(), c, nil, "held") }()
			}
			synctest.Wait()
			for i := range 3 {
				began := time.Now()
				err := exchange(t.Context(), c, nil, "x")
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "takes no more calls at once") {
					t.Error(err)
				}
				if waited := time.Since(began); waited != maxWait {
					t.Errorf("waited %s, want %s", waited, maxWait)
				}
				if _, served, refused := c.Waiting(); served != 0 || refused != uint64(i+1) {
					t.Errorf("%d were served, %d waited in vain", served, refused)
				}
			}
			if n := strings.Count(lines.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings within a minute:\n%s", n, lines)
			}
			time.Sleep(time.Minute)
			_ = exchange(t.Context(), c, nil, "x")
			if n := strings.Count(lines.String(), "level=WARN"); n != 2 {
				t.Errorf("%d warnings in two minutes:\n%s", n, lines)
			}
		})
	})
	t.Run("one is served, and the backend goes away for the others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := unresolvedConn(slog.New(slog.DiscardHandler))
			proceed := make(chan struct{})
			servePipe(t, c, func(s scripted) {
				id, _ := s.call()
				<-proceed
				rawgrpc.Answer(s.Framer, id, "")
			}, one)
			var calls sync.WaitGroup
			for i := range 4 {
				calls.Go(func() {
					err := exchange(t.Context(), c, nil, "x")
					if want := []codes.Code{codes.OK, codes.Canceled, codes.Unavailable, codes.Unavailable}[i]; status.Code(err) != want {
						t.Errorf("call %d: %v, want %v", i, err, want)
					}
				})
				synctest.Wait()
			}
			close(proceed)
			synctest.Wait()
			if waiting, served, refused := c.Waiting(); waiting != 2 || served != 1 || refused != 0 {
				t.Errorf("%d wait, %d were served, %d waited in vain", waiting, served, refused)
			}
			gone := (*c.choice.Load().endpoints[0].ready.Load())[0]
			c.mu.Lock()
			c.failure = errNoAddress
			c.publish() // without the connection, which is no endpoint's
			c.mu.Unlock()
			synctest.Wait()
			if waiting, served, refused := c.Waiting(); waiting != 0 || served != 1 || refused != 2 {
				t.Errorf("%d wait, %d were served, %d waited in vain", waiting, served, refused)
			}
			gone.Close()
			calls.Wait()
		})
	})
	t.Run("the line is full", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := unresolvedConn(slog.New(slog.DiscardHandler))
			servePipe(t, c, silent, one)
			go func() { _ = exchange(t.Context(), c, nil, "held") }()
			synctest.Wait()
			var calls sync.WaitGroup
			for range maxWaiting {
				calls.Go(func() {
					if err := exchange(t.Context(), c, nil, "x"); status.Code(err) != codes.Unavailable {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if err := c.Failure(); err == nil || !strings.Contains(err.Error(), "1000 calls wait") {
				t.Error(err)
			}
			if err := exchange(t.Context(), c, nil, "x"); status.Code(err) != codes.ResourceExhausted {
				t.Error(err)
			}
			calls.Wait()
		})
	})
}
