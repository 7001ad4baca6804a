package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// shape is one of the four kinds of RPC, and the method that stands for it.
type shape struct {
	name   string
	method string
	// clientStreams and serverStreams as in the proto.
	clientStreams, serverStreams bool
	request                      func(text string) proto.Message
	reply                        func() proto.Message
}

var (
	unaryShape = &shape{name: "unary", method: "SearchBooks",
		request: func(text string) proto.Message { return &pb.SearchBooksRequest{Query: text} },
		reply:   func() proto.Message { return &pb.SearchBooksResponse{} }}
	serverShape = &shape{name: "server", method: "WatchBooks", serverStreams: true,
		request: func(text string) proto.Message { return &pb.WatchBooksRequest{Parent: text} },
		reply:   func() proto.Message { return &pb.WatchBooksResponse{} }}
	clientShape = &shape{name: "client", method: "ImportBooks", clientStreams: true,
		request: func(text string) proto.Message { return &pb.ImportBooksRequest{Parent: text} },
		reply:   func() proto.Message { return &pb.ImportBooksResponse{} }}
	bidiShape = &shape{name: "bidi", method: "Discuss", clientStreams: true, serverStreams: true,
		request: func(text string) proto.Message {
			return &pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: text}}
		},
		reply: func() proto.Message { return &pb.DiscussResponse{} }}
	allShapes = []*shape{unaryShape, serverShape, clientShape, bidiShape}
)

// path is the method's own.
func (s *shape) path() string { return "/bookstore.v1.BookstoreService/" + s.method }

func (s *shape) json(t testing.TB, text string) string {
	t.Helper()
	b, err := protojson.Marshal(s.request(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// errTold is the failure that a case asks for.
var errTold = status.Error(codes.FailedPrecondition, "told to")

// matrixBackend does what the text of the first message says.
type matrixBackend struct {
	stub
	// running and cancelled name the blocked calls: one whose time was over early
	// may be heard of late.
	running, cancelled chan string
	blocked            int // how many there were
	conns              *connections
}

// do runs the cases that all shapes have; false for those that are the shape's.
func (b *matrixBackend) do(ctx context.Context, text string) (done bool, err error) {
	text, name, _ := strings.Cut(text, ":")
	switch text {
	case "fail":
		return true, errTold
	case "block":
		b.running <- name
		<-ctx.Done()
		b.cancelled <- name
		return true, status.FromContextError(ctx.Err()).Err()
	}
	return false, nil
}

func newMatrixBackend() *matrixBackend {
	b := &matrixBackend{running: make(chan string, 1000), cancelled: make(chan string, 1000), conns: &connections{}}
	b.search = func(ctx context.Context, r *pb.SearchBooksRequest) (*pb.SearchBooksResponse, error) {
		_, err := b.do(ctx, r.GetQuery())
		return &pb.SearchBooksResponse{}, err
	}
	b.watch = func(r *pb.WatchBooksRequest, stream watchStream) error {
		if done, err := b.do(stream.Context(), r.GetParent()); done {
			return err
		}
		if err := send(stream, 2); err != nil {
			return err
		}
		return after(r.GetParent())
	}
	b.books = func(stream importStream) error {
		n := int32(0)
		for ; ; n++ {
			r, err := stream.Recv()
			if err == io.EOF {
				return stream.SendAndClose(&pb.ImportBooksResponse{Count: n})
			}
			if err != nil {
				return err
			}
			if done, err := b.do(stream.Context(), r.GetParent()); done {
				return err
			}
		}
	}
	b.discuss = func(stream discussStream) error {
		for n := 1; ; n++ {
			r, err := stream.Recv()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if done, err := b.do(stream.Context(), r.GetText()); done {
				return err
			}
			if err := stream.Send(&pb.DiscussResponse{Sequence: uint64(n)}); err != nil {
				return err
			}
			if err := after(r.GetText()); err != nil && n == 2 {
				return err
			}
		}
	}
	return b
}

// after is the end of a stream that has sent its messages.
func after(text string) error {
	if text == "fail after" {
		return errTold
	}
	return nil
}

// connections are those that a listener has accepted, so that they can break.
type connections struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func (c *connections) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.mu.Lock()
		c.open = append(c.open, conn)
		c.mu.Unlock()
	}
	return conn, err
}

// sever breaks all connections.
func (c *connections) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		_ = conn.Close() // it reports only that it was closed before
	}
	c.open = nil
}

// start starts the backend and a gateway in front of it.
func (b *matrixBackend) start(t testing.TB, config string) *gatewaytest.Gateway {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.conns.Listener = l
	b.server = grpc.NewServer()
	pb.RegisterBookstoreServiceServer(b.server, b)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = b.server.Serve(b.conns) // it ends by Close or Stop
	}()
	t.Cleanup(func() {
		b.server.Stop()
		<-served
	})
	return gatewaytest.Start(t, gatewaytest.Options{Backend: l.Addr().String(), Config: config})
}

// matrixCall is one call of the matrix.
type matrixCall struct {
	*shape
	g *gatewaytest.Gateway
	// texts are the client's messages.
	texts []string
	// hold: the client does not end its side.
	hold    bool
	gzip    bool
	timeout time.Duration // zero for none
}

// matrixResult is what the client saw.
type matrixResult struct {
	messages int
	code     codes.Code
	// broken: the answer was broken off, for the protocol has no place for a
	// status.
	broken bool
}

// driver speaks one protocol. It returns when the call has ended or ctx has.
type driver struct {
	name   string
	shapes []*shape
	call   func(ctx context.Context, t testing.TB, c *matrixCall) matrixResult
	// breaks: an error after messages can only break the answer off.
	breaks bool
}

func drivers() []driver {
	streams, answers := []*shape{serverShape, bidiShape}, []*shape{serverShape, clientShape, bidiShape}
	return []driver{
		{name: "REST", shapes: []*shape{unaryShape}, call: callREST("application/json")},
		{name: "SSE", shapes: streams, call: callREST("text/event-stream")},
		{name: "NDJSON", shapes: answers, call: callREST("application/x-ndjson")},
		{name: "JSON array", shapes: answers, call: callREST("application/json"), breaks: true},
		{name: "WebSocket text", shapes: allShapes, call: callWebSocket(false)},
		{name: "WebSocket binary", shapes: allShapes, call: callWebSocket(true)},
		{name: "gRPC", shapes: allShapes, call: callGRPC},
		{name: "gRPC-Web", shapes: []*shape{unaryShape, serverShape}, call: callConnect("grpc-web")},
		{name: "gRPC-Web-text", shapes: []*shape{unaryShape, serverShape}, call: callConnect("grpc-web-text")},
		{name: "Connect JSON", shapes: allShapes, call: callConnect("connect json")},
		{name: "Connect proto", shapes: allShapes, call: callConnect("connect proto")},
	}
}

// TestMatrix runs every protocol with every shape, plain and compressed, to
// every end.
func TestMatrix(t *testing.T) {
	b := newMatrixBackend()
	g := b.start(t, "defaults: { limits: { max_message_bytes: 4096, max_body_bytes: 4096 } }\n")
	for _, d := range drivers() {
		for _, s := range d.shapes {
			for _, gzip := range []bool{false, true} {
				name := fmt.Sprintf("%s/%s/%s", d.name, s.name, map[bool]string{false: "identity", true: "gzip"}[gzip])
				t.Run(name, func(t *testing.T) { b.ends(t, g, d, s, gzip) })
			}
		}
	}
}

// ends runs the call to every end there is.
func (b *matrixBackend) ends(t *testing.T, g *gatewaytest.Gateway, d driver, s *shape, gzip bool) {
	run := func(name string, want matrixResult, c matrixCall) {
		t.Run(name, func(t *testing.T) {
			c.shape, c.g, c.gzip = s, g, gzip
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if got := d.call(ctx, t, &c); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
	sent, messages := []string{"ok"}, 1
	if s.clientStreams {
		sent = []string{"ok", "ok"}
	}
	if s.serverStreams {
		messages = 2
	}
	run("ok", matrixResult{messages: messages}, matrixCall{texts: sent})
	run("an error before the first message", matrixResult{code: codes.FailedPrecondition}, matrixCall{texts: []string{"fail"}, hold: true})
	if s.serverStreams {
		want := matrixResult{messages: 2, code: codes.FailedPrecondition}
		if d.breaks {
			want.code, want.broken = codes.Unknown, true
		}
		texts := []string{"fail after", "fail after"}
		run("an error after messages", want, matrixCall{texts: texts[:len(sent)]})
	}
	run("deadline", matrixResult{code: codes.DeadlineExceeded}, matrixCall{texts: []string{b.block()}, hold: true, timeout: 100 * time.Millisecond})
	run("a message too large", matrixResult{code: codes.ResourceExhausted}, matrixCall{texts: []string{"ok:" + strings.Repeat("x", 8000)}, hold: true})
	t.Run("the client goes away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended, text := make(chan struct{}), b.block()
		go func() {
			defer close(ended)
			d.call(ctx, t, &matrixCall{shape: s, g: g, gzip: gzip, texts: []string{text}, hold: true})
		}()
		await(t, b.running, text)
		cancel()
		await(t, b.cancelled, text)
		wait(t, ended, "the client")
	})
	t.Run("the backend goes away", func(t *testing.T) {
		got, text := make(chan matrixResult, 1), b.block()
		go func() {
			got <- d.call(t.Context(), t, &matrixCall{shape: s, g: g, gzip: gzip, texts: []string{text}, hold: true})
		}()
		await(t, b.running, text)
		b.conns.sever()
		if r := wait(t, got, "the end of the call"); r != (matrixResult{code: codes.Unavailable}) {
			t.Errorf("%+v", r)
		}
		await(t, b.cancelled, text)
	})
}

// block is the text of a message whose call blocks, and no other's.
func (b *matrixBackend) block() string {
	b.blocked++
	return fmt.Sprintf("block:%d", b.blocked)
}

// await waits until the backend has named the call of the text.
func await(t testing.TB, c <-chan string, text string) {
	t.Helper()
	for "block:"+wait(t, c, "the backend to tell of "+text) != text {
	}
}

// callREST speaks JSON over HTTP/1.1.
func callREST(accept string) func(context.Context, testing.TB, *matrixCall) matrixResult {
	return func(ctx context.Context, t testing.TB, c *matrixCall) matrixResult {
		path := c.path()
		if c.shape == unaryShape {
			path = "/v1/books:search"
		}
		var text strings.Builder
		for i, m := range c.texts {
			if accept == "application/json" && c.clientStreams {
				text.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
			}
			text.WriteString(c.json(t, m) + "\n")
		}
		if accept == "application/json" && c.clientStreams && !c.hold {
			text.WriteString("]")
		}
		body, say := io.Pipe()
		defer func() { _ = say.Close() }()
		go func() {
			c.say(say, text.String())
			if !c.hold || !c.clientStreams {
				_ = say.Close()
			}
		}()
		stop := context.AfterFunc(ctx, func() { _ = say.Close() }) // net/http's client waits for the body
		defer stop()
		r, err := http.NewRequestWithContext(ctx, "POST", c.g.URL+path, body)
		if err != nil {
			t.Error(err)
			return matrixResult{code: codes.Unknown}
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", accept)
		if c.gzip {
			r.Header.Set("Content-Encoding", "gzip")
			r.Header.Set("Accept-Encoding", "gzip")
		}
		if c.timeout > 0 {
			r.Header.Set("X-Request-Timeout", fmt.Sprint(c.timeout.Seconds()))
		}
		response, err := c.g.Client.Do(r)
		if err != nil {
			return matrixResult{code: codes.Unknown, broken: true}
		}
		defer func() { _ = response.Body.Close() }()
		return restResult(t, response, c)
	}
}

// say writes the request's body, compressed and flushed where asked for.
func (c *matrixCall) say(w io.Writer, text string) {
	if !c.gzip {
		_, _ = io.WriteString(w, text)
		return
	}
	z := newGzip(w)
	_, _ = io.WriteString(z, text)
	if c.hold && c.clientStreams {
		_ = z.Flush()
		return
	}
	_ = z.Close()
}

// restResult reads an answer over HTTP, of whatever form.
func restResult(t testing.TB, response *http.Response, c *matrixCall) matrixResult {
	t.Helper()
	text, readErr := readPlain(response)
	r := matrixResult{broken: readErr != nil}
	if response.StatusCode != http.StatusOK {
		r.code = jsonCode(t, text)
		return r
	}
	switch response.Header.Get("Content-Type") {
	case "text/event-stream":
		for _, e := range events(string(text)) {
			switch e.kind {
			case "":
				r.messages++
			case "error":
				r.code = jsonCode(t, []byte(e.data))
			}
		}
	case "application/x-ndjson":
		for _, line := range jsonLines(t, string(text)) {
			if rest, ok := strings.CutPrefix(line, `{"error":`); ok {
				r.code = jsonCode(t, []byte(strings.TrimSuffix(rest, "}")))
			} else {
				r.messages++
			}
		}
	default:
		if r.messages = 1; c.serverStreams {
			r.messages = bytes.Count(text, []byte(`"sequence"`))
		}
		if r.broken {
			r.code = codes.Unknown
		}
	}
	return r
}

// ended reports whether an error is only the end of a stream.
func ended(err error) bool { return err == nil || errors.Is(err, io.EOF) }
