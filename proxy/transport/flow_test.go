package transport_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

// TestSendWindow has servers give little room, none for a while, and less than
// before.
func TestSendWindow(t *testing.T) {
	text := strings.Repeat("0123456789", 3000)
	for name, script := range map[string]func(s *rawServer){
		"a small window, small frames": func(s *rawServer) {
			s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
			id, got := s.call(), 0
			for got < len(text)+5 {
				frame := s.await(http2.FrameData)
				if frame == nil {
					return
				}
				n := int(frame.Header().Length)
				if n > 7 {
					s.t.Errorf("a frame of %d bytes", n)
				}
				got += n
				_ = s.WriteWindowUpdate(id, uint32(n))
				_ = s.WriteWindowUpdate(0, uint32(n))
			}
			s.answer(id, fmt.Sprint(got))
		},
		"no window, then one": func(s *rawServer) {
			s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			id := s.call()
			_ = s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
			n := int(s.await(http2.FrameData).Header().Length)
			_ = s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) // 9 in debt
			_ = s.WriteWindowUpdate(id, 9)
			_ = s.WriteWindowUpdate(id, uint32(len(text)))
			for {
				frame, ok := s.await(http2.FrameData).(*http2.DataFrame)
				if !ok {
					return
				}
				if n += int(frame.Length); frame.StreamEnded() {
					break
				}
			}
			s.answer(id, fmt.Sprint(n))
		},
		"an answer before the request's end": func(s *rawServer) {
			s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			id := s.call()
			s.answer(id, fmt.Sprint(len(text)+5))
			if frame := s.await(http2.FrameRSTStream); frame == nil || frame.(*http2.RSTStreamFrame).ErrCode != http2.ErrCodeNo {
				s.t.Errorf("the rest of the request is taken back by %v", frame)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, listen(t, func(s *rawServer) {
				script(s)
				s.drain()
			}))
			if got, err := call(t.Context(), conn, text); err != nil || got != fmt.Sprint(len(text)+5) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestReceiveWindow has a server send to a stream that nobody reads: no more
// than the window arrives. What is read is given back.
func TestReceiveWindow(t *testing.T) {
	const window = 65535
	full := make(chan struct{})
	read := make(chan struct{})
	address := listen(t, func(s *rawServer) {
		s.greet()
		id := s.call()
		s.begin(id)
		one := messages(strings.Repeat("x", 995)) // 1000 bytes
		sent := 0
		for ; sent+len(one) <= window; sent += len(one) {
			_ = s.WriteData(id, false, one)
		}
		close(full)
		<-read
		for more := 0; more < 10*window; {
			frame := s.await(http2.FrameWindowUpdate)
			if frame == nil {
				return
			}
			if update := frame.(*http2.WindowUpdateFrame); update.StreamID == id {
				for n := int(update.Increment); n >= len(one); n -= len(one) {
					_ = s.WriteData(id, false, one)
					more += len(one)
				}
			}
		}
		s.end(id)
		s.drain()
	})
	stream, err := connect(t, address).Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: testLimit})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "a full window", full)
	close(read)
	n := 0
	for ; ; n++ {
		message, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if message.Len() != 995 {
			t.Fatalf("message %d has %d bytes", n, message.Len())
		}
		message.Free()
	}
	if n < 10*65 {
		t.Errorf("%d messages", n)
	}
}

// TestLargeMessages has messages arrive that are larger than the window, also
// behind small ones.
func TestLargeMessages(t *testing.T) {
	const size = 3 << 20
	address := listen(t, func(s *rawServer) {
		s.greet()
		id := s.call()
		s.begin(id)
		data := append(messages("small", "small"), messages(strings.Repeat("x", size))...)
		for window := 65535; len(data) > 0; {
			for window > 0 && len(data) > 0 {
				n := min(window, len(data), 16384)
				_ = s.WriteData(id, false, data[:n])
				data, window = data[n:], window-n
			}
			if len(data) == 0 {
				break
			}
			frame, ok := s.await(http2.FrameWindowUpdate).(*http2.WindowUpdateFrame)
			if !ok {
				return
			}
			if frame.StreamID == id {
				window += int(frame.Increment)
			}
		}
		s.end(id)
		s.drain()
	})
	stream, err := connect(t, address).Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: size})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{5, 5, size} {
		message, err := stream.Recv()
		if err != nil || message.Len() != want {
			t.Fatalf("%d bytes, %v; want %d", message.Len(), err, want)
		}
		message.Free()
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
}

// TestMaxStreams: Traffic 169: a server takes one call at a time. Another one is
// not sent; who waits is given the stream that the end of a call makes room for.
func TestMaxStreams(t *testing.T) {
	first := make(chan struct{})
	proceed := make(chan struct{})
	address := listen(t, func(s *rawServer) {
		s.greet(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		id := s.request()
		close(first)
		<-proceed
		s.answer(id, "1")
		s.answer(s.request(), "2")
		s.answer(s.request(), "3")
		s.drain()
	})
	var waits atomic.Bool
	kept := make(chan struct{}, 1)
	conn := connectWith(t, address, func(*transport.Conn) bool {
		taken := waits.Swap(false)
		if taken {
			kept <- struct{}{}
		}
		return taken
	})
	expect := func(r *transport.Request, want string, wanted error) {
		t.Helper()
		if got, err := callWith(t.Context(), conn, r, "x"); got != want || err != wanted {
			t.Errorf("%q, %v; want %q, %v", got, err, want, wanted)
		}
	}
	var calls sync.WaitGroup
	calls.Go(func() { expect(&transport.Request{}, "1", nil) })
	wait(t, "the first call", first)
	if !conn.Full() {
		t.Error("the connection is not full")
	}
	expect(&transport.Request{}, "", transport.ErrFull)
	waits.Store(true)
	close(proceed)
	<-kept
	calls.Wait()
	expect(&transport.Request{}, "", transport.ErrFull) // the stream is kept for another one
	waits.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := callWith(ctx, conn, &transport.Request{Reserved: true}, "x"); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	<-kept // for the next one
	expect(&transport.Request{Reserved: true}, "2", nil)
	waits.Store(true)
	conn.Offer()
	<-kept
	conn.Return()
	if conn.Full() {
		t.Error("the connection is still full")
	}
	expect(&transport.Request{}, "3", nil)
}

// TestEndOfContext has calls end with their contexts, and the server hear of it.
func TestEndOfContext(t *testing.T) {
	for name, code := range map[string]codes.Code{"cancelled": codes.Canceled, "expired": codes.DeadlineExceeded} {
		for _, window := range []uint32{0, 65535} { // while it sends, while it waits
			t.Run(fmt.Sprint(name, " with a window of ", window), func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				if code == codes.DeadlineExceeded {
					ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
				}
				defer cancel()
				reset := make(chan struct{})
				address := listen(t, func(s *rawServer) {
					s.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
					s.call()
					if code == codes.Canceled {
						cancel()
					}
					if frame := s.await(http2.FrameRSTStream); frame == nil || frame.(*http2.RSTStreamFrame).ErrCode != http2.ErrCodeCancel {
						t.Errorf("the server got %v", frame)
					}
					close(reset)
					s.drain()
				})
				if _, err := call(ctx, connect(t, address), "text"); status.Code(err) != code {
					t.Error(err)
				}
				wait(t, "the reset", reset)
			})
		}
	}
}

// TestKeepalive has a server fall silent.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		served := make(chan int)
		go func() {
			s := &rawServer{t: t, conn: far, Framer: http2.NewFramer(far, far)}
			_, _ = io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
			for range 2 { // a pipe takes nothing while it is written to
				_, _ = s.ReadFrame()
			}
			s.greet()
			pings := 0
			for {
				frame, err := s.ReadFrame()
				if err != nil {
					served <- pings
					return
				}
				if ping, ok := frame.(*http2.PingFrame); ok {
					if pings++; pings < 3 {
						_ = s.WritePing(true, ping.Data)
					}
				}
			}
		}()
		conn, err := transport.New(t.Context(), near, transport.Options{Pool: mem.DefaultBufferPool(), Keepalive: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // no calls, no pings; the bubble's clock
		err = exchange(t.Context(), conn, &transport.Request{}, "x")
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "does not answer") {
			t.Error(err)
		}
		if pings := <-served; pings != 3 {
			t.Errorf("%d pings, want 3", pings)
		}
		<-conn.Done()
	})
}
