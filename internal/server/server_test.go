package server

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/server/coalesce"
	"github.com/transom-gateway/transom/internal/testing/pipes"
)

// TestHTTP2ClientThatDoesNotRead has one that leaves even the bytes of TCP where
// they are: no deadline of a stream ends a write to it.
func TestHTTP2ClientThatDoesNotRead(t *testing.T) {
	telemetry, err := observe.Setup(nil, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		server := newNetHTTP(frontOptions{ending: t.Context(), log: httpLog(telemetry.Log), handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			chunk := make([]byte, 1<<10)
			for {
				if _, err := w.Write(chunk); err != nil {
					ended <- err
					return
				}
			}
		})})
		l := pipes.Listen()
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(coalesce.Listener(l)) // it ends by Close
		}()
		client := l.Dial() // with no buffer that the server could fill
		request(t, client)
		start := time.Now()
		if err := <-ended; err == nil {
			t.Error("the write ended well")
		}
		if waited := time.Since(start); waited > pingAfter+pingTimeout+time.Second {
			t.Errorf("Semantics 39: the write ended after %s", waited)
		}
		_ = server.Close()
		<-served
		_ = client.Close()
	})
}

// request opens a stream with a large window and reads nothing.
func request(t *testing.T, conn net.Conn) {
	t.Helper()
	framer := http2.NewFramer(conn, conn)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"},
	} {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}),
		framer.WriteWindowUpdate(0, 1<<30),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
