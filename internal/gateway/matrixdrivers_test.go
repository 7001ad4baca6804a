package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

func newGzip(w io.Writer) *gzip.Writer { return gzip.NewWriter(w) }

// readPlain reads an answer's body and takes its encoding off.
func readPlain(response *http.Response) ([]byte, error) {
	if response.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(response.Body)
	}
	z, err := gzip.NewReader(response.Body)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body) // behind the gzip stream the answer has an end, too
	}
	return text, err
}

// jsonCode is the code of a google.rpc.Status.
func jsonCode(t testing.TB, text []byte) codes.Code {
	var s struct{ Code codes.Code }
	var number struct{ Code uint32 }
	if err := json.Unmarshal(text, &number); err != nil {
		t.Errorf("no status: %q: %v", text, err)
	}
	s.Code = codes.Code(number.Code)
	return s.Code
}

// callWebSocket speaks text or binary frames.
func callWebSocket(binary bool) func(context.Context, testing.TB, *matrixCall) matrixResult {
	return func(ctx context.Context, t testing.TB, c *matrixCall) matrixResult {
		o := &websocket.DialOptions{HTTPHeader: http.Header{}}
		if c.gzip {
			o.CompressionMode, o.CompressionThreshold = websocket.CompressionContextTakeover, 1
		}
		if c.timeout > 0 {
			o.HTTPHeader.Set("X-Request-Timeout", "0.1")
		}
		conn, _, err := websocket.Dial(ctx, "ws://"+c.g.Addr+c.path(), o)
		if err != nil {
			t.Errorf("no upgrade: %v", err)
			return matrixResult{code: codes.Unknown}
		}
		defer func() { _ = conn.CloseNow() }()
		for _, text := range c.texts {
			kind, data := websocket.MessageText, []byte(c.json(t, text))
			if binary {
				kind = websocket.MessageBinary
				data, _ = proto.Marshal(c.request(text)) // it has no field that could fail
			}
			if conn.Write(ctx, kind, data) != nil {
				return matrixResult{code: codes.Unknown, broken: true}
			}
		}
		if c.clientStreams && !c.hold {
			_ = conn.Write(ctx, websocket.MessageText, nil) // Read has the reason of a failure
		}
		return webSocketResult(ctx, t, conn, binary)
	}
}

func webSocketResult(ctx context.Context, t testing.TB, conn *websocket.Conn, binary bool) (r matrixResult) {
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			closed := websocket.CloseStatus(err)
			if r.code == codes.OK && closed != websocket.StatusNormalClosure ||
				r.code != codes.OK && closed != websocket.StatusCode(4000+int(r.code)) && closed != websocket.StatusMessageTooBig {
				r.broken = true
			}
			return r
		}
		if rest, ok := strings.CutPrefix(string(data), `{"error":`); ok && kind == websocket.MessageText {
			r.code = jsonCode(t, []byte(strings.TrimSuffix(rest, "}")))
			continue
		}
		if (kind == websocket.MessageBinary) != binary {
			t.Errorf("an answer of kind %v", kind)
		}
		r.messages++
	}
}

// callGRPC speaks gRPC with grpc-go.
func callGRPC(ctx context.Context, t testing.TB, c *matrixCall) (r matrixResult) {
	conn, err := grpc.NewClient(c.g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return matrixResult{code: codes.Unknown}
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := c.bound(ctx)
	defer cancel()
	var options []grpc.CallOption
	if c.gzip {
		options = append(options, grpc.UseCompressor("gzip"))
	}
	desc := &grpc.StreamDesc{ClientStreams: c.clientStreams, ServerStreams: c.serverStreams}
	stream, err := conn.NewStream(ctx, desc, c.path(), options...)
	if err != nil {
		return matrixResult{code: status.Code(err)}
	}
	for _, text := range c.texts {
		if stream.SendMsg(c.request(text)) != nil {
			break // RecvMsg has the reason
		}
	}
	if !c.hold || !c.clientStreams {
		_ = stream.CloseSend() // it never fails
	}
	for {
		err := stream.RecvMsg(c.reply())
		if err == nil {
			r.messages++
			if c.serverStreams {
				continue
			}
			return r
		}
		if err != io.EOF {
			r.code = status.Code(err)
		}
		return r
	}
}

// bound gives the client's context the call's time.
func (c *matrixCall) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.timeout)
}

// callConnect speaks Connect and gRPC-Web with connect-go.
func callConnect(protocol string) func(context.Context, testing.TB, *matrixCall) matrixResult {
	return func(ctx context.Context, _ testing.TB, c *matrixCall) matrixResult {
		ctx, cancel := c.bound(ctx)
		defer cancel()
		var client connect.HTTPClient = c.g.HTTP2
		var options []connect.ClientOption
		switch protocol {
		case "connect json":
			options = append(options, connect.WithProtoJSON())
		case "grpc-web":
			options = append(options, connect.WithGRPCWeb())
		case "grpc-web-text":
			client = textClient{c.g.HTTP2}
			options = append(options, connect.WithGRPCWeb())
		}
		if c.gzip {
			options = append(options, connect.WithSendGzip())
		} else {
			options = append(options, connect.WithAcceptCompression("gzip", nil, nil))
		}
		r, err := matrixResult{}, error(nil)
		switch url := c.g.URL + c.path(); c.shape {
		case unaryShape:
			_, err = connect.NewClient[pb.SearchBooksRequest, pb.SearchBooksResponse](client, url, options...).CallUnary(ctx, connect.NewRequest(&pb.SearchBooksRequest{Query: c.texts[0]}))
			if err == nil {
				r.messages = 1
			}
		case serverShape:
			r.messages, err = connectServer(ctx, connect.NewClient[pb.WatchBooksRequest, pb.WatchBooksResponse](client, url, options...), c)
		case clientShape:
			r.messages, err = connectClient(ctx, connect.NewClient[pb.ImportBooksRequest, pb.ImportBooksResponse](client, url, options...), c)
		case bidiShape:
			r.messages, err = connectBidi(ctx, connect.NewClient[pb.DiscussRequest, pb.DiscussResponse](client, url, options...), c)
		}
		if !ended(err) {
			r.code = codes.Code(connect.CodeOf(err))
		}
		return r
	}
}

func connectServer(ctx context.Context, client *connect.Client[pb.WatchBooksRequest, pb.WatchBooksResponse], c *matrixCall) (n int, err error) {
	stream, err := client.CallServerStream(ctx, connect.NewRequest(&pb.WatchBooksRequest{Parent: c.texts[0]}))
	if err != nil {
		return 0, err
	}
	for stream.Receive() {
		n++
	}
	return n, errors.Join(stream.Err(), stream.Close())
}

func connectClient(ctx context.Context, client *connect.Client[pb.ImportBooksRequest, pb.ImportBooksResponse], c *matrixCall) (int, error) {
	stream := client.CallClientStream(ctx)
	for _, text := range c.texts {
		if stream.Send(&pb.ImportBooksRequest{Parent: text}) != nil {
			break // the answer has the reason
		}
	}
	if c.hold {
		simple, err := stream.Conn()
		if err != nil {
			return 0, err
		}
		err = simple.Receive(&pb.ImportBooksResponse{})
		return 0, errors.Join(err, simple.CloseRequest(), simple.CloseResponse())
	}
	if _, err := stream.CloseAndReceive(); err != nil {
		return 0, err
	}
	return 1, nil
}

func connectBidi(ctx context.Context, client *connect.Client[pb.DiscussRequest, pb.DiscussResponse], c *matrixCall) (n int, err error) {
	stream := client.CallBidiStream(ctx)
	for _, text := range c.texts {
		if stream.Send(&pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: text}}) != nil {
			break // Receive has the reason
		}
	}
	if !c.hold {
		_ = stream.CloseRequest() // as above
	}
	for {
		if _, err = stream.Receive(); err != nil {
			break
		}
		n++
	}
	_ = stream.CloseRequest() // as above
	_ = stream.CloseResponse()
	return n, err
}

// textClient makes gRPC-Web's text form of its binary one.
type textClient struct{ http *http.Client }

// Do implements connect.HTTPClient.
func (c textClient) Do(r *http.Request) (*http.Response, error) {
	message, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(message)
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	r.GetBody = nil
	r.Header.Set("Content-Type", strings.Replace(r.Header.Get("Content-Type"), "grpc-web", "grpc-web-text", 1))
	r.Header.Set("Accept", "application/grpc-web-text")
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	response.Header.Set("Content-Type", strings.Replace(response.Header.Get("Content-Type"), "grpc-web-text", "grpc-web", 1))
	response.Body = &textBody{ReadCloser: response.Body}
	return response, nil
}

// textBody decodes base64, each piece padded for itself.
type textBody struct {
	io.ReadCloser
	text  []byte
	plain bytes.Buffer
}

// Read implements io.Reader.
func (b *textBody) Read(p []byte) (int, error) {
	for b.plain.Len() == 0 {
		chunk := make([]byte, 4<<10)
		n, err := b.ReadCloser.Read(chunk)
		b.text = append(b.text, chunk[:n]...)
		for len(b.text) >= 4 {
			quantum := make([]byte, 3)
			n, err := base64.StdEncoding.Decode(quantum, b.text[:4])
			if err != nil {
				return 0, err
			}
			b.plain.Write(quantum[:n])
			b.text = b.text[4:]
		}
		if err != nil && b.plain.Len() == 0 {
			return 0, err
		}
	}
	return b.plain.Read(p)
}
