package stream

import (
	"io"
	"net/http"

	"github.com/transom-gateway/transom/transcoder/compression"
)

// lazyBody takes the Content-Encoding off at the first Read: decompressors read
// the beginning of the data when they are made, and that may be long in coming.
type lazyBody struct {
	encoding *compression.Encoding // nil for none
	raw      io.Reader
	open     io.ReadCloser
}

// Read implements io.Reader.
func (b *lazyBody) Read(p []byte) (int, error) {
	if b.encoding == nil {
		return b.raw.Read(p)
	}
	if b.open == nil {
		var err error
		if b.open, err = b.encoding.NewReader(b.raw); err != nil {
			return 0, err
		}
	}
	return b.open.Read(p)
}

// Close gives the decompressor back.
func (b *lazyBody) Close() {
	if b.open != nil {
		_ = b.open.Close() // it has no error of its own
		b.open, b.encoding, b.raw = nil, nil, http.NoBody
	}
}
