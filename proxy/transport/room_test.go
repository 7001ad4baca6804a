package transport_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/mem"

	"github.com/transom-gateway/transom/proxy/transport"
)

// TestNoRoom: Semantics 303: an answer that finds no room beside others of its
// client's connection for half a minute is refused, and the backend is told.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := strings.Repeat("x", 90_000)
		windows, reset := make(chan uint32, 100), make(chan http2.ErrCode, 1)
		conn := connectPipe(t, func(s *rawServer) {
			calls := make(chan uint32, 2)
			go func() { // reads beside, for a pipe holds nothing
				defer close(windows)
				for {
					frame, err := s.ReadFrame()
					if err != nil {
						return
					}
					switch frame := frame.(type) {
					case *http2.WindowUpdateFrame:
						windows <- frame.StreamID
					case *http2.RSTStreamFrame:
						reset <- frame.ErrCode
					case *http2.DataFrame:
						if frame.StreamEnded() {
							calls <- frame.StreamID
						}
					}
				}
			}()
			message := messages(large)
			part := func(id uint32, from, to int) {
				for ; from < to; from += 10_000 {
					_ = s.WriteData(id, false, message[from:min(to, from+10_000)])
				}
			}
			first := <-calls
			s.begin(first)
			part(first, 0, 50_000) // less than a stream's first window
			for id := range windows {
				if id == first {
					break
				}
			}
			part(first, 50_000, len(message))
			s.end(first)
			second := <-calls
			s.begin(second)
			part(second, 0, 50_000)
			for id := range windows { // until the connection ends
				if id == second {
					t.Error("the second answer got a window")
				}
			}
		})
		ctx := transport.WithRoom(t.Context(), testLimit)
		call := func() (mem.BufferSlice, error) { // Call takes streams, and channels, of other bubbles
			stream, err := conn.Open(ctx, &transport.Request{Method: "/test.Test/Unary", Limit: testLimit})
			if err != nil {
				return nil, err
			}
			_ = stream.Send(mem.BufferSlice{mem.SliceBuffer("x")})
			_ = stream.CloseSend()
			return stream.Recv()
		}
		held, err := call()
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err = call(); err != transport.ErrNoRoom {
			t.Errorf("the second call ended with %v", err)
		}
		if waited := time.Since(begun); waited != 30*time.Second {
			t.Errorf("it ended after %v of the bubble's clock, want 30s", waited)
		}
		if got := <-reset; got != http2.ErrCodeCancel {
			t.Errorf("the backend is told %v", got)
		}
		held.Free()
		if n := transport.RoomOf(ctx).Held(); n != 0 {
			t.Errorf("%d bytes are held at the end", n)
		}
	})
}
