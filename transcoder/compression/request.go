package compression

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// What requests may be compressed with, as headers and errors say it. Streams
// over plain HTTP take no br (see encoding.whole).
const (
	Supported      = "gzip, zstd, br or identity"
	streamEncoding = "gzip, zstd or identity"
)

var (
	// AcceptedBodies names them in a header, for a body that comes whole.
	AcceptedBodies  = []string{"gzip, zstd, br"}
	acceptedStreams = []string{"gzip, zstd"}
	// AcceptedMessages names them as gRPC does, whose lists have the encoding that is none.
	AcceptedMessages = []string{"identity,gzip,zstd,br"}
)

// Named returns an encoding of the table, nil if it is not there.
func Named(name string) *Encoding {
	for _, e := range encodings {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// OfBody is what a body is compressed with, nil for nothing. An encoding
// that is not supported is refused, and the answer says which are.
func OfBody(answer, request http.Header, stream bool) (*Encoding, error) {
	name := strings.ToLower(strings.TrimSpace(field.First(request, "Content-Encoding")))
	if name == "" || name == "identity" {
		return nil, nil
	}
	if e := Named(name); e != nil && !(e.Whole && stream) {
		return e, nil
	}
	accepted, expected := AcceptedBodies, Supported
	if stream {
		accepted, expected = acceptedStreams, streamEncoding
	}
	answer["Accept-Encoding"] = accepted
	return nil, rpcerror.New(http.StatusUnsupportedMediaType, codes.InvalidArgument,
		"Content-Encoding %q: expected %s", rpcerror.Clip(name), expected)
}

// bodyReader reports what is wrong with compressed data as the client's fault.
type bodyReader struct{ io.ReadCloser }

// NewReader decompresses a body.
func (e *Encoding) NewReader(r io.Reader) (io.ReadCloser, error) {
	z, err := e.Open(r)
	if err != nil {
		return nil, rpcerror.BadRequest("the body is not %s: %v", e.Name, err)
	}
	return bodyReader{z}, nil
}

// Read implements io.Reader.
func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = rpcerror.BadRequest("the body cannot be decompressed: %v", err)
	}
	return n, err
}

// pooledReader gives its decompressor back when it is closed.
type pooledReader struct {
	io.Reader
	back func()
}

// Close implements io.Closer.
func (p *pooledReader) Close() error {
	if p.back != nil {
		p.back()
		p.back, p.Reader = nil, nil
	}
	return nil
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

func openGzip(r io.Reader) (io.ReadCloser, error) {
	z, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		panic("the pool of gzip readers holds something else") // its New is above
	}
	if err := z.Reset(r); err != nil {
		gzipReaders.Put(z)
		return nil, err
	}
	return &pooledReader{Reader: z, back: func() { gzipReaders.Put(z) }}, nil
}

func openZstd(r io.Reader) (io.ReadCloser, error) { return newZstdReader(r), nil }

var brotliReaders = sync.Pool{New: func() any { return brotli.NewReader(nil) }}

// brotliTurns bounds how many decompressors of brotli there are at a time, each
// of up to 16 MiB, as the client says. All their input has come, so that none
// waits for a client.
var brotliTurns = make(chan struct{}, 2*runtime.GOMAXPROCS(0))

func openBrotli(r io.Reader) (io.ReadCloser, error) {
	brotliTurns <- struct{}{}
	z, ok := brotliReaders.Get().(*brotli.Reader)
	if !ok {
		panic("the pool of brotli readers holds something else") // its New is above
	}
	_ = z.Reset(r) // never fails
	return &pooledReader{Reader: z, back: func() {
		_ = z.Reset(nil) // as above
		brotliReaders.Put(z)
		<-brotliTurns
	}}, nil
}
