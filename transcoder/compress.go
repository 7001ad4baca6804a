package transcoder

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// minCompressed is the smallest answer that is worth compressing, in bytes.
const minCompressed = 1 << 10

// encoding is one Content-Encoding (RFC 9110, 8.4.1), and one of messages in
// gRPC, gRPC-Web and Connect.
type encoding struct {
	name   string
	header []string
	// open decompresses what it reads. It may read at once.
	open func(io.Reader) (io.ReadCloser, error)
	// whole: only what has come whole is decompressed, as the decompressor allocates
	// by what the client says, not by what it sends.
	whole   bool
	writers sync.Pool // of resettableWriter
}

type resettableWriter interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encodings in order of preference where the client has none.
var encodings = []*encoding{
	{name: "zstd", header: []string{"zstd"}, open: openZstd, writers: sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
		if err != nil {
			panic(err) // the options above are constants that zstd accepts
		}
		return w
	}}},
	{name: "br", header: []string{"br"}, open: openBrotli, whole: true, writers: sync.Pool{New: func() any {
		return brotli.NewWriterLevel(nil, 3)
	}}},
	{name: "gzip", header: []string{"gzip"}, open: openGzip, writers: sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level above is a constant that gzip accepts
		}
		return w
	}}},
}

// acceptedEncoding picks the encoding the client likes best, nil for none.
func acceptedEncoding(h http.Header) *encoding {
	lines := h["Accept-Encoding"]
	if len(lines) == 0 {
		return nil
	}
	var best *encoding
	bestQ := 0.0
	for _, e := range encodings {
		if q := encodingWeight(lines, e.name); q > bestQ {
			best, bestQ = e, q
		}
	}
	return best
}

// encodingWeight returns the weight of a coding in Accept-Encoding, 0 for not
// acceptable.
func encodingWeight(lines []string, name string) float64 {
	star := 0.0
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			coding, q := acceptItem(item)
			if coding == name {
				return q
			}
			if coding == "*" {
				star = q
			}
		}
	}
	return star
}

// writer borrows a compressor that writes to w; put takes it back.
func (e *encoding) writer(w io.Writer) resettableWriter {
	z, ok := e.writers.Get().(resettableWriter)
	if !ok {
		panic("the pool of " + e.name + " holds something else") // its New is above
	}
	z.Reset(w)
	return z
}

func (e *encoding) put(z resettableWriter) {
	z.Reset(io.Discard)
	e.writers.Put(z)
}
