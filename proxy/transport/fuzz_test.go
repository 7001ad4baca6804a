package transport_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"

	"github.com/transom-gateway/transom/proxy/transport"
)

// FuzzServer has a server send whatever it likes to two calls, a unary one and a
// stream. Nothing panics, nothing waits for ever, and messages stay in bounds.
func FuzzServer(f *testing.F) {
	for _, test := range answers {
		var out bytes.Buffer
		s := &rawServer{t: f, conn: discard{}, Framer: http2.NewFramer(&out, nil)}
		s.encoder = hpack.NewEncoder(&s.block)
		test.answer(s, 1)
		if out.Len() < 4096 {
			f.Add(out.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		var work sync.WaitGroup
		work.Go(func() { _, _ = io.Copy(io.Discard, far) }) // ends with the connection
		begun := make(chan struct{})
		work.Go(func() {
			fr := http2.NewFramer(far, nil)
			_ = fr.WriteSettings()
			<-begun
			_, _ = far.Write(sent)
			_ = far.Close()
		})
		conn, err := transport.New(t.Context(), near, transport.Options{Pool: mem.DefaultBufferPool()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := conn.Open(ctx, &transport.Request{Method: "/test.Test/Stream", Limit: testLimit})
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() {
			if got, err := call(ctx, conn, "text"); err == nil && len(got) > testLimit {
				t.Errorf("%d bytes", len(got))
			}
		})
		work.Go(func() {
			_, _ = stream.Header()
			for {
				message, err := stream.Recv()
				if err != nil {
					return
				}
				if message.Len() > testLimit {
					t.Errorf("%d bytes", message.Len())
				}
				message.Free()
			}
		})
		close(begun)
		work.Wait()
		<-conn.Done()
	})
}

// discard is a connection that scripts close.
type discard struct{ net.Conn }

func (discard) Close() error { return nil }
