package compression

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/transom-gateway/transom/internal/field"
)

// MinSize is the smallest answer that is worth compressing, in bytes.
const MinSize = 1 << 10

// Encoding is one Content-Encoding (RFC 9110, 8.4.1), and one of messages in
// gRPC, gRPC-Web and Connect.
type Encoding struct {
	Name   string
	Header []string
	// Open decompresses what it reads. It may read at once.
	Open func(io.Reader) (io.ReadCloser, error)
	// Whole: only what has come whole is decompressed, as the decompressor allocates
	// by what the client says, not by what it sends.
	Whole   bool
	writers sync.Pool // of Writer
}

// Writer compresses. One is used again and again.
type Writer interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encodings in order of preference where the client has none.
var encodings = []*Encoding{
	{Name: "zstd", Header: []string{"zstd"}, Open: openZstd, writers: sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
		if err != nil {
			panic(err) // the options above are constants that zstd accepts
		}
		return w
	}}},
	{Name: "br", Header: []string{"br"}, Open: openBrotli, Whole: true, writers: sync.Pool{New: func() any {
		return brotli.NewWriterLevel(nil, 3)
	}}},
	{Name: "gzip", Header: []string{"gzip"}, Open: openGzip, writers: sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level above is a constant that gzip accepts
		}
		return w
	}}},
}

// Accepted picks the encoding the client likes best, nil for none.
func Accepted(h http.Header) *Encoding {
	lines := h["Accept-Encoding"]
	if len(lines) == 0 {
		return nil
	}
	var best *Encoding
	bestQ := 0.0
	for _, e := range encodings {
		if q := encodingWeight(lines, e.Name); q > bestQ {
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
			coding, q := field.AcceptItem(item)
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

// Writer borrows a compressor that writes to w; put takes it back.
func (e *Encoding) Writer(w io.Writer) Writer {
	z, ok := e.writers.Get().(Writer)
	if !ok {
		panic("the pool of " + e.Name + " holds something else") // its New is above
	}
	z.Reset(w)
	return z
}

// Put takes back what Writer lent.
func (e *Encoding) Put(z Writer) {
	z.Reset(io.Discard)
	e.writers.Put(z)
}
