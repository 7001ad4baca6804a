package transcoder

import (
	"io"
	"net/http"
)

// lazyBody takes the Content-Encoding off at the first Read: decompressors read
// the beginning of the data when they are made, and that may be long in coming.
type lazyBody struct {
	encoding *encoding // nil for none
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
		if b.open, err = b.encoding.newReader(b.raw); err != nil {
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
