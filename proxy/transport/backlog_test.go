package transport_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/transom-gateway/transom/proxy/transport"
)

// heap is what is in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBacklog: small messages that wait for a client take about the bytes that they
// came in, and not a buffer each (Semantics 51).
func TestBacklog(t *testing.T) {
	const streams, window = 20, 65535
	opened := make(chan struct{})
	conn := connect(t, listen(t, func(s *rawServer) {
		s.greet()
		var ids []uint32
		for range streams {
			ids = append(ids, s.call())
		}
		<-opened
		small := bytes.Repeat(messages("x", ""), 1000) // 11 bytes each pair
		for _, id := range ids {
			s.begin(id)
			for sent := 0; sent+len(small) <= window; sent += len(small) {
				_ = s.WriteData(id, false, small)
			}
		}
		_ = s.WritePing(false, [8]byte{})
		s.drain()
	}))
	var all []*transport.Stream
	for range streams {
		stream, err := conn.Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: testLimit})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stream)
	}
	before := heap()
	close(opened)
	for _, stream := range all {
		if _, err := stream.Header(); err != nil {
			t.Fatal(err)
		}
	}
	// The last stream's last message has come once it can be read.
	for range 10_000 {
		if _, err := all[streams-1].Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if took := heap() - before; took > 3*streams*window {
		t.Errorf("%d bytes of small messages take %d", streams*window, took)
	}
	runtime.KeepAlive(all)
}

// TestBacklogOrder: messages of all sizes come out as they came in, however far the
// reader is behind.
func TestBacklogOrder(t *testing.T) {
	var texts []string
	for i := range 400 {
		texts = append(texts, strings.Repeat(fmt.Sprint(i%10), []int{0, 1, 3, 1018, 1019, 1020, 0, 7, 2000}[i%9]*(i%2+i%3)/2))
	}
	wire := messages(texts...)
	for _, behind := range []bool{true, false} {
		for _, piece := range []int{7, 4096, 16384} {
			t.Run(fmt.Sprintf("behind %t, frames of %d", behind, piece), func(t *testing.T) {
				sent := make(chan struct{})
				conn := connect(t, listen(t, func(s *rawServer) {
					s.greet()
					id := s.call()
					s.begin(id)
					room := 65535
					for left := wire; len(left) > 0; {
						n := min(piece, len(left))
						for room < n {
							select {
							case <-sent:
							default:
								close(sent)
							}
							if update, ok := s.await(http2.FrameWindowUpdate).(*http2.WindowUpdateFrame); !ok {
								return
							} else if update.StreamID == id {
								room += int(update.Increment)
							}
						}
						_ = s.WriteData(id, false, left[:n])
						left, room = left[n:], room-n
					}
					s.end(id)
					s.drain()
				}))
				stream, err := conn.Open(t.Context(), &transport.Request{Method: "/test.Test/Stream", Limit: testLimit})
				if err != nil {
					t.Fatal(err)
				}
				if behind {
					wait(t, "a full window", sent)
				}
				for i, want := range texts {
					message, err := stream.Recv()
					if err != nil {
						t.Fatalf("message %d: %v", i, err)
					}
					if got := string(message.Materialize()); got != want {
						t.Fatalf("message %d is %.20q of %d bytes, want %.20q of %d", i, got, len(got), want, len(want))
					}
					message.Free()
				}
				if _, err := stream.Recv(); err != io.EOF {
					t.Errorf("the end is %v", err)
				}
			})
		}
	}
}
