package websocket

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// pipeWriter is a server's ResponseWriter that can be hijacked.
type pipeWriter struct {
	http.ResponseWriter
	conn net.Conn
}

func (w *pipeWriter) WriteHeader(int) {}

func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// connector opens the edge of a method and returns it with the client's end.
type connector func(*testing.T, protoreflect.Name, transcoder.Settings) (proxy.Downstream, context.Context, io.ReadWriteCloser)

// overEach runs a test over HTTP/1.1 and over HTTP/2.
func overEach(t *testing.T, test func(t *testing.T, connected connector)) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, connectedHTTP1) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, connectedHTTP2) })
}

// connectedHTTP1 has a pipe for the connection.
func connectedHTTP1(t *testing.T, method protoreflect.Name, s transcoder.Settings) (proxy.Downstream, context.Context, io.ReadWriteCloser) {
	t.Helper()
	client, server := net.Pipe()
	r := httptest.NewRequest("GET", "/bookstore.v1.BookstoreService/"+string(method), nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	d := Protocol.Open(edge.Bookstore(t, method, s), exchange.Exchange{W: exchange.FrontOf(&pipeWriter{httptest.NewRecorder(), server}), R: r})
	ctx, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d, ctx, client
}

// frame is a short frame of a client, masked with zeros.
func frame(opcode byte, payload string) string {
	return string([]byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

const (
	textFrame  = 1
	closeFrame = 8
	pongFrame  = 10
)

// TestPings has clients that are silent for an hour.
func TestPings(t *testing.T) { overEach(t, testPings) }

func testPings(t *testing.T, connected connector) {
	t.Run("Semantics 38: who does not answer is gone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, ctx, client := connected(t, "Discuss", transcoder.Settings{})
			go func() { _, _ = io.Copy(io.Discard, client) }()
			start := time.Now()
			if _, err := d.Recv(); status.Code(err) != codes.Canceled {
				t.Error(err)
			}
			if ctx.Err() == nil || time.Since(start) > pingEvery*tickInterval+pingTimeout {
				t.Errorf("%v after %s", ctx.Err(), time.Since(start))
			}
			d.Finish(exchange.ErrUnblocked, nil)
			_ = client.Close()
		})
	})
	t.Run("Semantics 38: who answers is not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, ctx, client := connected(t, "Discuss", transcoder.Settings{})
			var pings atomic.Int32
			go func() {
				var head [2]byte
				for {
					if _, err := io.ReadFull(client, head[:]); err != nil {
						return
					}
					payload := make([]byte, head[1])
					if _, err := io.ReadFull(client, payload); err != nil {
						return
					}
					if head[0] == 0x89 {
						pings.Add(1)
						_, _ = io.WriteString(client, frame(pongFrame, string(payload)))
					}
				}
			}()
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := pings.Load(); ctx.Err() != nil || n < 119 {
				t.Errorf("%v, %d pings", ctx.Err(), n)
			}
			_ = client.Close()
			d.Finish(exchange.ErrUnblocked, nil)
		})
	})
	t.Run("Semantics 39: while the backend takes nothing no pong is seen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, ctx, client := connected(t, "Discuss", transcoder.Settings{})
			go func() { _, _ = io.Copy(io.Discard, client) }()
			if _, err := io.WriteString(client, frame(textFrame, `{"text":"a"}`)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if ctx.Err() != nil {
				t.Error("a client was sent away because the backend is slow")
			}
			if _, err := d.Recv(); err != nil {
				t.Error(err)
			}
			_ = client.Close()
			d.Finish(exchange.ErrUnblocked, nil)
		})
	})
}

// TestWebSocketStalls has clients that do not read, or stop in the middle of a
// frame.
func TestWebSocketStalls(t *testing.T) { overEach(t, testWebSocketStalls) }

func testWebSocketStalls(t *testing.T, connected connector) {
	t.Run("Semantics 39: the write deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, _, client := connected(t, "WatchBooks", transcoder.Settings{})
			start := time.Now()
			if err := d.Send(edge.Watched(t, 1)); status.Code(err) != codes.Canceled || time.Since(start) > exchange.WriteTimeout+tickInterval {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			d.Finish(exchange.ErrUnblocked, nil)
			_ = client.Close()
		})
	})
	t.Run("Semantics 32: the call's end does not wait for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, _, client := connected(t, "WatchBooks", transcoder.Settings{})
			time.AfterFunc(time.Second, d.Unblock)
			start := time.Now()
			if err := d.Send(edge.Watched(t, 1)); status.Code(err) != codes.Canceled || time.Since(start) != time.Second+exchange.LastWriteGrace {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			d.Finish(exchange.ErrUnblocked, nil)
			_ = client.Close()
		})
	})
	t.Run("a client that leaves a frame unfinished", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, _, client := connected(t, "Discuss", transcoder.Settings{MaxMessage: 100})
			go func() {
				// A frame of 65,535 bytes of which half come.
				_, _ = io.WriteString(client, "\x81\xfe\xff\xff\x00\x00\x00\x00"+strings.Repeat("x", 30_000))
			}()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			_, err := d.Recv()
			if status.Code(err) != codes.ResourceExhausted {
				t.Error(err)
			}
			start := time.Now()
			if d.Finish(err, metadata.MD{}); time.Since(start) > closeWait {
				t.Errorf("the end took %s", time.Since(start))
			}
			_ = client.Close()
		})
	})
	t.Run("a unary call without a message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, _, client := connected(t, "GetShelf", transcoder.Settings{})
			go func() { _, _ = io.Copy(io.Discard, client) }()
			start := time.Now()
			if _, err := d.Recv(); status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Canceled || time.Since(start) > firstFrameWait {
				t.Errorf("%v after %s", err, time.Since(start))
			}
			d.Finish(exchange.ErrUnblocked, nil)
			_ = client.Close()
		})
	})
}
