package websocket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/testing/edge"
	_ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect" // WebSockets over HTTP/2
	"github.com/transom-gateway/transom/internal/testing/pipes"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// clientStream is a client's end of an extended CONNECT, down to the frames. Until
// it is read from the server may send nothing on the stream.
type clientStream struct {
	conn   net.Conn
	framer *http2.Framer
	mu     sync.Mutex // one frame at a time
	window sync.Once
	in     *io.PipeReader
	header chan map[string]string
	reset  chan http2.ErrCode // of the server's first RST_STREAM
	ended  chan struct{}      // the server's END_STREAM has come
}

// connectHTTP2 sends an extended CONNECT and more fields of its header.
func connectHTTP2(t *testing.T, conn net.Conn, more ...hpack.HeaderField) *clientStream {
	t.Helper()
	in, out := io.Pipe()
	s := &clientStream{
		conn: conn, framer: http2.NewFramer(conn, conn), in: in,
		header: make(chan map[string]string, 1), reset: make(chan http2.ErrCode, 1), ended: make(chan struct{}),
	}
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	go s.read(out)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "CONNECT"}, {Name: ":protocol", Value: "websocket"}, {Name: ":scheme", Value: "http"},
		{Name: ":authority", Value: "example.com"}, {Name: ":path", Value: "/"},
	}
	for _, f := range append(fields, more...) {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}),
		s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// send writes frames while nobody else does.
func (s *clientStream) send(write func(*http2.Framer) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return write(s.framer)
}

func (s *clientStream) read(out *io.PipeWriter) {
	defer func() { _ = out.Close() }()
	for {
		frame, err := s.framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			header := map[string]string{}
			for _, field := range f.Fields {
				header[field.Name] = field.Value
			}
			s.header <- header
		case *http2.DataFrame:
			if len(f.Data()) > 0 {
				_, _ = out.Write(f.Data()) // it fails when the test is over
			}
			if f.StreamEnded() {
				close(s.ended)
				_ = out.Close()
			}
		case *http2.RSTStreamFrame:
			select {
			case s.reset <- f.ErrCode:
			default: // one more, of two reasons at once
			}
			_ = out.Close()
		}
	}
}

// Read implements io.Reader.
func (s *clientStream) Read(p []byte) (int, error) {
	s.window.Do(func() {
		_ = s.send(func(f *http2.Framer) error { return f.WriteWindowUpdate(1, 60_000) }) // the pipe says more
	})
	return s.in.Read(p)
}

// Write implements io.Writer.
func (s *clientStream) Write(p []byte) (int, error) {
	return len(p), s.send(func(f *http2.Framer) error { return f.WriteData(1, false, p) })
}

// Close implements io.Closer: the whole connection goes.
func (s *clientStream) Close() error { return errors.Join(s.in.Close(), s.conn.Close()) }

// serveHTTP2 serves one connection with a handler and returns the client's end.
func serveHTTP2(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	l := pipes.Listen()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: handler, Protocols: protocols, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // it ends by Close
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-served
	})
	return l.Dial()
}

// whole is a Downstream whose Finish ends the handler.
type whole struct {
	proxy.Downstream
	finished chan struct{}
}

func (w whole) Finish(err error, md metadata.MD) int {
	defer close(w.finished)
	return w.Downstream.Finish(err, md)
}

// connectedHTTP2 is connected over HTTP/2.
func connectedHTTP2(t *testing.T, method protoreflect.Name, s transcoder.Settings) (proxy.Downstream, context.Context, io.ReadWriteCloser) {
	t.Helper()
	type opened struct {
		d   proxy.Downstream
		ctx context.Context
		err error
	}
	up := make(chan opened, 1)
	conn := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		if !Protocol.Sent(r) {
			t.Error("not recognised as a WebSocket")
		}
		d := whole{Protocol.Open(edge.Bookstore(t, method, s), exchange.Exchange{W: exchange.FrontOf(w), R: r}), make(chan struct{})}
		ctx, err := d.Open(context.WithoutCancel(r.Context()))
		up <- opened{d, ctx, err}
		<-d.finished
	})
	client := connectHTTP2(t, conn, hpack.HeaderField{Name: "sec-websocket-version", Value: "13"})
	o := <-up
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.d, o.ctx, client
}

// TestExtendedConnectEnds has clients that end the stream rather than the socket.
func TestExtendedConnectEnds(t *testing.T) {
	reset := func(f *http2.Framer) error { return f.WriteRSTStream(1, http2.ErrCodeCancel) }
	for name, end := range map[string]func(*http2.Framer) error{
		"a reset":            reset,
		"the end":            func(f *http2.Framer) error { return f.WriteData(1, true, nil) },
		"the end in a frame": func(f *http2.Framer) error { return f.WriteData(1, true, []byte{0x81}) },
	} {
		t.Run("Semantics 40: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, ctx, client := connectedHTTP2(t, "Discuss", transcoder.Settings{})
				if err := client.(*clientStream).send(end); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Recv(); status.Code(err) != codes.Canceled {
					t.Error(err)
				}
				d.Finish(ctx.Err(), nil)
				_ = client.Close()
			})
		})
	}
	t.Run("Semantics 40: a reset while the backend takes nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, ctx, client := connectedHTTP2(t, "Discuss", transcoder.Settings{})
			if _, err := io.WriteString(client, frame(textFrame, `{"text":"a"}`)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := client.(*clientStream).send(reset); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			d.Finish(ctx.Err(), nil)
			_ = client.Close()
		})
	})
	t.Run("the server ends the stream after the socket", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, _, client := connectedHTTP2(t, "Discuss", transcoder.Settings{})
			answer := make(chan string, 1)
			go func() {
				_, _ = io.WriteString(client, frame(closeFrame, "\x03\xe8"))
				text, _ := io.ReadAll(client) // as much as comes
				answer <- string(text)
			}()
			if _, err := d.Recv(); err != io.EOF {
				t.Error(err)
			}
			if code := d.Finish(nil, nil); code != http.StatusOK {
				t.Errorf("HTTP status %d", code)
			}
			if text := <-answer; text != "\x88\x02\x03\xe8" {
				t.Errorf("%q", text)
			}
			<-client.(*clientStream).ended
			if code := <-client.(*clientStream).reset; code != http2.ErrCodeNo {
				t.Errorf("the server's RST_STREAM says %v", code)
			}
			_ = client.Close()
		})
	})
}

// TestExtendedConnectHeader holds what an opening looks like to a client.
func TestExtendedConnectHeader(t *testing.T) {
	for _, test := range []struct {
		name   string
		fields []hpack.HeaderField
		want   map[string]string
	}{
		{
			"opened", []hpack.HeaderField{
				{Name: "sec-websocket-version", Value: "13"}, {Name: "sec-websocket-protocol", Value: "other, transom.json"},
				{Name: "sec-websocket-extensions", Value: "permessage-deflate; client_max_window_bits"},
			},
			map[string]string{
				":status": "200", "sec-websocket-protocol": "transom.json", "connection": "", "upgrade": "", "sec-websocket-accept": "",
				"sec-websocket-extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover", "content-length": "",
			},
		},
		{
			"another version", []hpack.HeaderField{{Name: "sec-websocket-version", Value: "8"}},
			map[string]string{":status": "426", "sec-websocket-version": "13", "content-type": "application/json"},
		},
	} {
		t.Run("Semantics 38: "+test.name, func(t *testing.T) {
			conn := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
				if !Protocol.Sent(r) {
					t.Error("not recognised as a WebSocket")
				}
				d := Protocol.Open(edge.Bookstore(t, "Discuss", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(w), R: r})
				_, err := d.Open(context.WithoutCancel(r.Context()))
				if err == nil {
					_, err = d.Recv()
				}
				d.Finish(err, nil)
			})
			client := connectHTTP2(t, conn, test.fields...)
			got := <-client.header
			for name, want := range test.want {
				if got[name] != want {
					t.Errorf("%s: %q, want %q", name, got[name], want)
				}
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStreamConnAfterwards holds that nothing reaches net/http once the stream is
// closed: it would panic.
func TestStreamConnAfterwards(t *testing.T) {
	var conn net.Conn
	done := make(chan struct{})
	client := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		w.WriteHeader(http.StatusOK)
		var err error
		if conn, _, err = (&streamHijacker{w, exchange.Exchange{W: exchange.FrontOf(w), R: r}}).Hijack(); err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	stream := connectHTTP2(t, client)
	<-done
	<-stream.ended
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := conn.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SetDeadline: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("Read works")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if local, remote := conn.LocalAddr(), conn.RemoteAddr(); local.Network() == "" || remote.String() == "" {
		t.Errorf("addresses %v and %v", local, remote)
	}
	_ = stream.Close()
}
