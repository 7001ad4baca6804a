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

// encoding is one Content-Encoding (RFC 9110, 8.4.1).
type encoding struct {
	name      string
	header    []string
	newReader func(io.Reader) (io.ReadCloser, error) // nil: answers only
	writers   sync.Pool                              // of resettableWriter
}

type resettableWriter interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encodings in order of preference where the client has none.
var encodings = []*encoding{
	{name: "zstd", header: []string{"zstd"}, newReader: newZstdReader, writers: sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(256<<10))
		if err != nil {
			panic(err) // the options above are constants that zstd accepts
		}
		return w
	}}},
	{name: "br", header: []string{"br"}, writers: sync.Pool{New: func() any {
		return brotli.NewWriterLevel(nil, 3)
	}}},
	{name: "gzip", header: []string{"gzip"}, newReader: newGzipReader, writers: sync.Pool{New: func() any {
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

// write compresses body into w.
func (e *encoding) write(w io.Writer, body *text) error {
	z := e.writer(w)
	defer e.put(z)
	if err := body.writeTo(z); err != nil {
		return err
	}
	return z.Close()
}

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

// pooledReader gives its decompressor back when it is closed.
type pooledReader struct {
	io.Reader
	back func()
}

func (p *pooledReader) Close() error {
	if p.back != nil {
		p.back()
		p.back, p.Reader = nil, nil
	}
	return nil
}

// Read reports what is wrong with compressed data as the client's fault.
func (p *pooledReader) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = badRequest("the body cannot be decompressed: %v", err)
	}
	return n, err
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

func newGzipReader(r io.Reader) (io.ReadCloser, error) {
	z, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		z = new(gzip.Reader)
	}
	if err := z.Reset(r); err != nil {
		gzipReaders.Put(z)
		return nil, badRequest("the body is not gzip: %v", err)
	}
	return &pooledReader{Reader: z, back: func() { gzipReaders.Put(z) }}, nil
}

// maxZstdWindow bounds what a frame header can make the decoder allocate; RFC
// 8878 recommends to support 8 MiB.
const maxZstdWindow = 8 << 20

var zstdReaders = sync.Pool{New: func() any {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		panic(err) // the options above are constants that zstd accepts
	}
	return z
}}

func newZstdReader(r io.Reader) (io.ReadCloser, error) {
	z, ok := zstdReaders.Get().(*zstd.Decoder)
	if !ok {
		panic("the pool of zstd decoders holds something else") // its New is above
	}
	if err := z.Reset(r); err != nil {
		zstdReaders.Put(z)
		return nil, badRequest("the body is not zstd: %v", err)
	}
	return &pooledReader{Reader: z, back: func() {
		_ = z.Reset(nil) // reports only that there is no input, which is what we want
		zstdReaders.Put(z)
	}}, nil
}
