package envelope_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// coder compresses in the way of connect-go and of grpc-go.
type coder struct {
	name   string
	writer func(io.Writer) io.WriteCloser
	reader func(io.Reader) (io.Reader, error)
	read   *atomic.Int64 // messages that were decompressed
}

var coders = []*coder{
	{"gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }, new(atomic.Int64)},
	{"zstd", func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err) // the options are good
		}
		return z
	}, func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) }, new(atomic.Int64)},
	{"br", func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) }, func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }, new(atomic.Int64)},
}

func (c *coder) pack(t testing.TB, b []byte) string {
	t.Helper()
	var out bytes.Buffer
	w := c.writer(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// connectOptions teach connect-go's client to send so and to take it.
func (c *coder) connectOptions() []connect.ClientOption {
	return []connect.ClientOption{
		connect.WithAcceptCompression(c.name,
			func() connect.Decompressor { return &connectDecompressor{coder: c} },
			func() connect.Compressor { return &connectCompressor{coder: c} }),
		connect.WithSendCompression(c.name),
	}
}

type connectDecompressor struct {
	io.Reader
	coder *coder
}

func (d *connectDecompressor) Close() error { return nil }

func (d *connectDecompressor) Reset(r io.Reader) (err error) {
	if d.Reader, err = d.coder.reader(r); err == nil {
		d.coder.read.Add(1)
	}
	return err
}

type connectCompressor struct {
	io.WriteCloser
	coder *coder
}

func (c *connectCompressor) Reset(w io.Writer) { c.WriteCloser = c.coder.writer(w) }

// grpcCompressor is a coder as grpc-go wants it.
type grpcCompressor struct{ *coder }

func (c grpcCompressor) Name() string                                 { return c.name }
func (c grpcCompressor) Compress(w io.Writer) (io.WriteCloser, error) { return c.writer(w), nil }
func (c grpcCompressor) Decompress(r io.Reader) (z io.Reader, err error) {
	c.read.Add(1)
	return c.reader(r)
}

// Clients of gRPC, gRPC-Web and Connect compress with what bodies of plain HTTP
// may have, and are answered in kind.
func TestEncodings(t *testing.T) {
	e := newEdge(t)
	direct := connectClient{http: httpClient(t, true), url: "http://" + e.direct, options: []connect.ClientOption{connect.WithGRPC()}}
	for _, c := range coders {
		for protocol, options := range map[string][]connect.ClientOption{"Connect": nil, "gRPC-Web": {connect.WithGRPCWeb()}, "gRPC": {connect.WithGRPC()}} {
			t.Run(c.name+"/"+protocol, func(t *testing.T) {
				through := connectClient{http: httpClient(t, true), url: e.url, options: append(c.connectOptions(), options...)}
				before := c.read.Load()
				compareConnect(t, direct, through, true)
				// One answer of the unary call, one of the server stream and two of the
				// other are large.
				if n := c.read.Load() - before; n < 4 {
					t.Errorf("%d messages came compressed", n)
				}
			})
		}
	}
}

func TestEncodingsOfGRPC(t *testing.T) {
	for _, c := range coders[1:] {
		encoding.RegisterCompressor(grpcCompressor{c})
	}
	e := newEdge(t)
	client := testpb.NewTestServiceClient(dial(t, e.address))
	direct := testpb.NewTestServiceClient(dial(t, e.direct))
	for _, c := range coders {
		for shape, run := range shapes {
			t.Run(c.name+"/"+shape, func(t *testing.T) {
				want := run(t.Context(), direct)
				before := c.read.Load()
				got := run(t.Context(), client, grpc.UseCompressor(c.name))
				if n := c.read.Load() - before; n == 0 && shape != "client stream" && c.name != "gzip" { // whose short answer is not compressed; which is grpc-go's own
					t.Error("no answer came compressed")
				}
				if got.Code != want.Code || len(got.Messages) != len(want.Messages) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

// What an answer is compressed with is what the client takes; what nobody knows
// is refused, with the list of what is known.
func TestEncodingsAreNegotiated(t *testing.T) {
	e := newEdge(t)
	http1, http2 := httpClient(t, false), httpClient(t, true)
	long := request(t, strings.Repeat("x", 5000))
	for _, test := range []struct{ encoding, accept, want string }{
		{"zstd", "identity,gzip", "gzip"},
		{"zstd", "identity, zstd, gzip", "zstd"},
		{"br", "", "br"},
		{"gzip", "snappy, br", "br"},
		{"gzip", "identity", ""},
		{"", "gzip", ""}, // as grpc-go does: compressed is who compresses
	} {
		for _, contentType := range []string{"application/grpc", "application/grpc-web"} {
			body, headers := envelope(0, long), []string{"Grpc-Accept-Encoding", test.accept}
			if test.accept == "" {
				headers = nil
			}
			for _, c := range coders {
				if c.name == test.encoding {
					body, headers = envelope(1, []byte(c.pack(t, long))), append(headers, "Grpc-Encoding", c.name)
				}
			}
			r := send(t, http2, e.url+testService+"UnaryCall", contentType, body, headers...)
			answer := readAll(t, r)
			if got := r.Header.Get("Grpc-Encoding"); got != test.want || len(answer) < 5 || (answer[0] == 1) != (got != "") {
				t.Errorf("%s: %+v: got %q, flags %q", contentType, test, got, answer[:1])
			}
		}
	}
	for _, test := range []struct{ contentType, encoding, accept, list string }{
		{"application/grpc", "Grpc-Encoding", "Grpc-Accept-Encoding", "identity,gzip,zstd,br"},
		{"application/grpc-web", "Grpc-Encoding", "Grpc-Accept-Encoding", "identity,gzip,zstd,br"},
		{"application/connect+proto", "Connect-Content-Encoding", "Connect-Accept-Encoding", "gzip, zstd, br"},
		{"application/proto", "Content-Encoding", "Accept-Encoding", "gzip, zstd, br"},
	} {
		method := "UnaryCall"
		if strings.Contains(test.contentType, "connect") {
			method = "FullDuplexCall"
		}
		r := send(t, http2, e.url+testService+method, test.contentType, envelope(0, nil), test.encoding, "snappy")
		if answer := readAll(t, r) + r.Header.Get("Grpc-Message"); r.Header.Get(test.accept) != test.list || !strings.Contains(answer, "gzip, zstd, br or identity") {
			t.Errorf("%s: got %q %s", test.contentType, r.Header.Get(test.accept), answer)
		}
	}
	for list, want := range map[string]string{"br, gzip": "br", "gzip, br": "gzip", "identity, zstd": "zstd", "snappy": ""} {
		r := send(t, http1, e.url+testService+"StreamingOutputCall", "application/connect+json",
			envelope(0, []byte(`{"responseParameters":[{"size":3000}]}`)), "Connect-Accept-Encoding", list)
		_ = readAll(t, r)
		if got := r.Header.Get("Connect-Content-Encoding"); got != want || r.StatusCode != http.StatusOK {
			t.Errorf("Connect-Accept-Encoding %q: got %d %q", list, r.StatusCode, got)
		}
	}
}

// Messages and bodies that are no good in any encoding.
func TestEncodingsHostile(t *testing.T) {
	e := newEdge(t)
	client := httpClient(t, true)
	for _, c := range coders {
		good := c.pack(t, request(t, "x"))
		bomb := c.pack(t, make([]byte, 8*testMaxMessage))
		for name, test := range map[string]struct{ message, status string }{
			"a message":                       {good, "0"},
			"nothing":                         {"", "0"},
			"rubbish":                         {"abcdefgh", "13"},
			"cut":                             {good[:len(good)-2], "13"},
			"and rubbish":                     {good + "rubbish", "13"},
			"Semantics 21: a bomb":            {bomb, "8"},
			"Semantics 21: too large as sent": {strings.Repeat("x", testMaxMessage+1), "8"},
		} {
			a := readAnswer(t, send(t, client, e.url+testService+"UnaryCall", "application/grpc", envelope(1, []byte(test.message)), "Grpc-Encoding", c.name), false)
			if a.status != test.status {
				t.Errorf("%s, %s: got %s %s, want %s", c.name, name, a.status, a.message, test.status)
			}
		}
	}
}
