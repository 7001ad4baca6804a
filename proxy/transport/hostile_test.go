package transport_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

// connectPipe connects to a script over a pipe, which holds nothing: what the
// script does not read is not written. It is for bubbles of synctest; settings
// are the server's.
func connectPipe(t *testing.T, script func(s *rawServer), settings ...http2.Setting) *transport.Conn {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer func() { _ = far.Close() }()
		s := &rawServer{t: t, conn: far, Framer: http2.NewFramer(far, far)}
		s.encoder = hpack.NewEncoder(&s.block)
		_, _ = io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
		for range 2 {
			_, _ = s.ReadFrame()
		}
		s.greet(settings...)
		script(s)
	}()
	conn, err := transport.New(t.Context(), near, transport.Options{Pool: mem.DefaultBufferPool()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-conn.Done()
		<-served
	})
	return conn
}

// TestBreaches has servers break the rules of the connection: all its calls end.
func TestBreaches(t *testing.T) {
	for name, breach := range map[string]func(s *rawServer, id uint32) error{
		"a header block of empty pieces without end": func(s *rawServer, id uint32) error {
			return s.WriteContinuation(id, false, nil)
		},
		"a header block without end": func(s *rawServer, id uint32) error {
			return s.WriteContinuation(id, false, s.fields("x", strings.Repeat("y", 8000)))
		},
		"a header block without end, of what is in the table": func(s *rawServer, id uint32) error {
			return s.WriteContinuation(id, false, []byte(strings.Repeat("\x88", 16000)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, listen(t, func(s *rawServer) {
				s.greet()
				id := s.request()
				_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.fields(":status", "200")})
				for breach(s, id) == nil {
				}
			}))
			_, err := call(t.Context(), conn, "x")
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "breaks the rules") {
				t.Error(err)
			}
		})
	}
}

// TestPaddingOfHeaders: a header block that cannot be found in its frame is the
// connection's end, as what comes after it cannot be decoded.
func TestPaddingOfHeaders(t *testing.T) {
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet()
		id := s.request()
		_ = s.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, id, []byte{200, 0x88})
		s.drain()
	}))
	if _, err := call(t.Context(), conn, "x"); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	wait(t, "the connection's end", conn.Done())
}

// TestDeaf has a server that reads nothing, whatever room it promised: calls end
// with their deadlines.
func TestDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		conn := connectPipe(t, func(s *rawServer) {
			_ = s.WriteWindowUpdate(0, 1<<30)
			<-end
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var calls sync.WaitGroup
		text := strings.Repeat("x", 1<<20)
		for range 20 {
			calls.Go(func() {
				stream, err := conn.Open(ctx, &transport.Request{Method: "/test.Test/Stream"})
				if err != nil {
					t.Error(err)
					return
				}
				for err == nil {
					err = stream.Send(mem.BufferSlice{mem.SliceBuffer(text)})
				}
				if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	})
}

// TestBait has a server that makes us write and reads nothing of it: it is left
// before it costs much memory.
func TestBait(t *testing.T) {
	for name, bait := range map[string]func(s *rawServer, id uint32) error{
		"pings":    func(s *rawServer, _ uint32) error { return s.WritePing(false, [8]byte{}) },
		"settings": func(s *rawServer, _ uint32) error { return s.WriteSettings() },
		"padding, for which windows grow": func(s *rawServer, id uint32) error {
			return s.WriteDataPadded(id, false, []byte{0}, make([]byte, 255))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				conn := connectPipe(t, func(s *rawServer) {
					id := s.request()
					s.begin(id)
					_ = s.WriteData(id, false, []byte{0, 0, 0x80, 0, 0})
					for ; sent < 1e6 && bait(s, id) == nil; sent++ {
					}
				})
				err := exchange(t.Context(), conn, &transport.Request{Limit: 16 << 20}, "x")
				if status.Code(err) != codes.Unavailable {
					t.Error(err)
				}
				<-conn.Done()
				synctest.Wait()
				if sent > 300_000 {
					t.Errorf("%d frames were taken", sent)
				}
			})
		})
	}
}

// TestLeavingTwice has a server say that it is leaving, and later which calls it
// has seen (RFC 9113, 6.8).
func TestLeavingTwice(t *testing.T) {
	leave := make(chan struct{})
	last := make(chan struct{})
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet()
		first := s.requests(2)[0]
		<-leave
		_ = s.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
		<-last
		_ = s.WriteGoAway(first, http2.ErrCodeNo, nil)
		s.answer(first, "seen")
		s.drain()
	}))
	type result struct {
		text string
		err  error
	}
	results := make(chan result, 2)
	for range 2 {
		go func() {
			text, err := call(t.Context(), conn, "x")
			results <- result{text, err}
		}()
	}
	close(leave)
	wait(t, "the first word", conn.Leaving())
	if _, err := call(t.Context(), conn, "x"); !errors.Is(err, transport.ErrUnsent) {
		t.Error(err)
	}
	close(last)
	var seen, unseen int
	for range 2 {
		switch r := <-results; {
		case r.err == nil && r.text == "seen":
			seen++
		case errors.Is(r.err, transport.ErrUnprocessed):
			unseen++
		default:
			t.Error(r)
		}
	}
	if seen != 1 || unseen != 1 {
		t.Errorf("%d seen, %d not", seen, unseen)
	}
	wait(t, "the connection's end", conn.Done())
}

// exchange is a call as a stream. In bubbles of synctest it stands in for Call,
// whose streams, and channels, go from one bubble to another.
func exchange(ctx context.Context, conn *transport.Conn, r *transport.Request, text string) error {
	r.Method = "/test.Test/Stream"
	r.Limit = max(r.Limit, testLimit)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.Open(ctx, r)
	if err != nil {
		return err
	}
	if stream.Send(mem.BufferSlice{mem.SliceBuffer(text)}) == nil {
		_ = stream.CloseSend()
	}
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		message.Free()
	}
}
