package transport_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"

	"github.com/transom-gateway/transom/proxy/transport"
)

// rawServer is a server that a test writes by hand, frame by frame.
type rawServer struct {
	t    testing.TB
	conn net.Conn
	*http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
}

// patience is when a test that hangs fails.
const patience = 30 * time.Second

// listen serves one connection with a script that begins after the client's
// preface, and returns the address. The test waits for the script's end.
func listen(t testing.TB, script func(s *rawServer)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return // the test has ended
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		s := &rawServer{t: t, conn: conn, Framer: http2.NewFramer(conn, conn)}
		s.encoder = hpack.NewEncoder(&s.block)
		s.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
			t.Errorf("the preface is %q, %v", preface, err)
			return
		}
		script(s)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// greet sends settings.
func (s *rawServer) greet(settings ...http2.Setting) { _ = s.WriteSettings(settings...) }

// await reads frames until one of a type comes, nil at the end of the connection.
func (s *rawServer) await(kind http2.FrameType) http2.Frame {
	for {
		frame, err := s.ReadFrame()
		if err != nil {
			return nil
		}
		if frame.Header().Type == kind {
			return frame
		}
	}
}

// call reads the header of the next call and returns the stream's number, 0 at
// the end of the connection.
func (s *rawServer) call() uint32 {
	if frame := s.await(http2.FrameHeaders); frame != nil {
		return frame.Header().StreamID
	}
	return 0
}

// request reads the next call whole. Calls at the same time are for requests: their
// frames may be mixed.
func (s *rawServer) request() uint32 {
	id := s.call()
	for id != 0 {
		frame, err := s.ReadFrame()
		if err != nil {
			break
		}
		if frame.Header().Type == http2.FrameHeaders {
			s.t.Errorf("call %d came before the end of call %d; read them with requests", frame.Header().StreamID, id)
		}
		if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
			break
		}
	}
	return id
}

// requests reads n calls whole, whose frames may be mixed, and returns their
// streams' numbers in order.
func (s *rawServer) requests(n int) (ids []uint32) {
	for ended := 0; ended < n; {
		frame, err := s.ReadFrame()
		if err != nil {
			return make([]uint32, n)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			ids = append(ids, frame.StreamID)
		case *http2.DataFrame:
			if frame.StreamEnded() {
				ended++
			}
		}
	}
	return ids
}

// drain reads until the connection ends.
func (s *rawServer) drain() {
	for {
		if _, err := s.ReadFrame(); err != nil {
			return
		}
	}
}

// fields encodes a header block of names and values.
func (s *rawServer) fields(pairs ...string) []byte {
	s.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = s.encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(s.block.Bytes())
}

func (s *rawServer) headers(id uint32, ends bool, pairs ...string) {
	_ = s.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.fields(pairs...), EndHeaders: true, EndStream: ends})
}

// begin sends the header of an answer.
func (s *rawServer) begin(id uint32) {
	s.headers(id, false, ":status", "200", "content-type", "application/grpc")
}

// message sends messages in one frame.
func (s *rawServer) message(id uint32, texts ...string) {
	_ = s.WriteData(id, false, messages(texts...))
}

// end sends trailers.
func (s *rawServer) end(id uint32, pairs ...string) {
	if pairs == nil {
		pairs = []string{"grpc-status", "0"}
	}
	s.headers(id, true, pairs...)
}

// answer answers a call with a message and status OK.
func (s *rawServer) answer(id uint32, text string) {
	s.begin(id)
	s.message(id, text)
	s.end(id)
}

// messages is texts as gRPC frames them.
func messages(texts ...string) []byte {
	var b []byte
	for _, text := range texts {
		n := len(text)
		b = append(b, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		b = append(b, text...)
	}
	return b
}

// connect connects to an address; the connection ends with the test.
func connect(t testing.TB, address string) *transport.Conn {
	t.Helper()
	return connectWith(t, address, nil)
}

// connectWith is connect with a function that is told of room.
func connectWith(t testing.TB, address string, room func(*transport.Conn) bool) *transport.Conn {
	t.Helper()
	conn, err := dialWith(t, address, room)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func dialWith(t testing.TB, address string, room func(*transport.Conn) bool) (*transport.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := transport.New(ctx, tcp, transport.Options{Authority: "test", UserAgent: "test", Pool: mem.DefaultBufferPool(), Room: room})
	if err == nil {
		t.Cleanup(func() {
			conn.Close()
			<-conn.Done()
		})
	}
	return conn, err
}

const testLimit = 100_000

// call makes a unary call and returns the answer's text.
func call(ctx context.Context, conn *transport.Conn, text string) (string, error) {
	return callWith(ctx, conn, &transport.Request{}, text)
}

// callWith is call with a request that is filled in.
func callWith(ctx context.Context, conn *transport.Conn, r *transport.Request, text string) (string, error) {
	r.Method, r.Limit, r.Message = "/test.Test/Unary", testLimit, mem.BufferSlice{mem.SliceBuffer(text)}
	reply, err := conn.Call(ctx, r)
	defer reply.Message.Free()
	return string(reply.Message.Materialize()), err
}

func wait(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited for %s in vain", what)
	}
}
