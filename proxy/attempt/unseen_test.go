package attempt

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/rawgrpc"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// leaver is a server that leaves its first connection without having looked at
// the call there, and answers each call of the second with how many bytes of
// messages it got.
type leaver struct {
	t    *testing.T
	work sync.WaitGroup
}

func startLeaver(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &leaver{t: t}
	s.work.Go(func() {
		for i := 0; ; i++ {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			s.work.Go(func() { s.serve(conn, i == 0) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.work.Wait()
	})
	return l.Addr().String()
}

func (s *leaver) serve(conn net.Conn, leaves bool) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fr := http2.NewFramer(conn, conn)
	_ = fr.WriteSettings()
	for got := 0; ; {
		frame, err := fr.ReadFrame()
		if err != nil {
			return
		}
		data, ok := frame.(*http2.DataFrame)
		switch {
		case ok && leaves:
			_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
			leaves = false // the rest is read and thrown away
		case ok:
			_ = fr.WriteWindowUpdate(0, max(data.Length, 1))
			_ = fr.WriteWindowUpdate(data.StreamID, max(data.Length, 1))
			if got += int(data.Length); data.StreamEnded() {
				rawgrpc.Answer(fr, data.StreamID, fmt.Sprint(got))
				got = 0
			}
		}
	}
}

// TestUnseen: Traffic 58: what a backend has not seen goes to another connection, streams
// too, as far as their messages are kept.
func TestUnseen(t *testing.T) {
	connect := func(t *testing.T) *GRPC {
		t.Helper()
		conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: startLeaver(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
		return NewGRPC(conn, 1000)
	}
	t.Run("unary", func(t *testing.T) {
		reply, err := connect(t).Call(t.Context(), "/test.Test/Unary", nil, proxy.WrapFrame([]byte("12345")))
		if err != nil || string(reply.Message.Bytes()) != "10" {
			t.Errorf("%q, %v", reply.Message.Bytes(), err)
		}
		reply.Message.Free()
	})
	for _, test := range []struct {
		name     string
		messages []int // sizes
		want     string
		code     codes.Code
	}{
		{"one message", []int{5}, "10", codes.OK},
		{"three messages", []int{5, 0, 100}, "120", codes.OK},
		{"as much as is kept", []int{maxKept - 2*overhead - 1, 1}, fmt.Sprint(maxKept - 2*overhead + 10), codes.OK},
		{"as many as are kept", make([]int, maxKept/overhead), fmt.Sprint(maxKept / overhead * 5), codes.OK},
		{"more than are kept", make([]int, maxKept/overhead+1), "", codes.Unavailable},
		{"more than is kept", []int{5, maxKept}, "", codes.Unavailable},
	} {
		t.Run("stream: "+test.name, func(t *testing.T) {
			stream, err := connect(t).Open(t.Context(), "/test.Test/Stream", nil, proxy.Shape{ClientStreams: true, ServerStreams: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, size := range test.messages {
				if err := stream.Send(proxy.WrapFrame(make([]byte, size))); err != nil && (test.code == codes.OK || err != io.EOF) {
					t.Fatal(err)
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
			f, err := stream.Recv()
			if string(f.Bytes()) != test.want || status.Code(err) != test.code {
				t.Errorf("%q, %v; want %q, %v", f.Bytes(), err, test.want, test.code)
			}
			f.Free()
		})
	}
}

// TestSeen: a call whose answer has begun is not made again, whatever the backend says
// then: it would be done twice.
func TestSeen(t *testing.T) {
	for _, end := range []string{"refused", "leaving"} {
		t.Run(end, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var arrivals atomic.Int32
			var work sync.WaitGroup
			work.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return // the test has ended
					}
					work.Go(func() { beginAndLeave(conn, end, &arrivals) })
				}
			})
			t.Cleanup(func() {
				_ = l.Close()
				work.Wait()
			})
			conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: l.Addr().String()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Release)
			reply, err := NewGRPC(conn, 1000).Call(t.Context(), "/test.Test/Unary", nil, proxy.WrapFrame([]byte("x")))
			reply.Message.Free()
			if status.Code(err) != codes.Unavailable || arrivals.Load() != 1 {
				t.Errorf("%v, after %d arrivals; want UNAVAILABLE after 1", err, arrivals.Load())
			}
		})
	}
}

// beginAndLeave sends the header of each answer, and then that the call was not seen.
func beginAndLeave(conn net.Conn, end string, arrivals *atomic.Int32) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fr := http2.NewFramer(conn, conn)
	_ = fr.WriteSettings()
	for {
		frame, err := fr.ReadFrame()
		if err != nil {
			return
		}
		data, ok := frame.(*http2.DataFrame)
		if !ok || !data.StreamEnded() {
			continue
		}
		arrivals.Add(1)
		rawgrpc.Begin(fr, data.StreamID)
		if end == "refused" {
			_ = fr.WriteRSTStream(data.StreamID, http2.ErrCodeRefusedStream)
		} else {
			_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
		}
	}
}

// TestResendBesideReceiving: an attempt that is made again does not wait until all that
// was sent before is sent again: the backend may stop reading until its answers are read.
func TestResendBesideReceiving(t *testing.T) {
	server := grpc.NewServer(grpc.InitialWindowSize(1<<16), grpc.InitialConnWindowSize(1<<16), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		for {
			var m testpb.SimpleResponse
			if err := stream.RecvMsg(&m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := stream.SendMsg(&testpb.SimpleResponse{Username: strings.Repeat("x", 60_000)}); err != nil {
				return err
			}
		}
	}))
	address := grpctest.Serve(t, server)
	conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	opened, err := NewGRPC(conn, 1<<20).Open(ctx, "/test.Test/Stream", nil, proxy.Shape{ClientStreams: true, ServerStreams: true})
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*grpcStream)
	const messages = 400
	s.mu.Lock() // as after an attempt that ended unseen, with all of it to be sent again
	for range messages {
		s.kept = append(s.kept, proxy.WrapFrame([]byte{0x12, 1, 'm'}))
		s.bytes += 3 + overhead
	}
	keptInAll.Add(int64(s.bytes))
	s.closed = true
	go s.resend()
	s.mu.Unlock()
	for range messages {
		f, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		f.Free()
	}
	if _, err := s.Recv(); err != io.EOF {
		t.Errorf("%v, want the end", err)
	}
	if n := keptInAll.Load(); n != 0 {
		t.Errorf("%d bytes are kept at the end", n)
	}
}
