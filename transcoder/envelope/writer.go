package envelope

import (
	"bytes"
	"encoding/binary"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// envelopeWriter puts messages into envelopes. It is used by one goroutine.
type envelopeWriter struct {
	dst io.Writer
	// zip compresses messages that are worth it. Nil for none.
	zip *compression.Encoding

	// each is called before each piece of a long message with its size. Nil for
	// nothing to do.
	each func(size int)

	// base64, if not nil, is dst.
	base64 *base64Writer

	prefix [envelopePrefix]byte
	zipped bytes.Buffer // kept between calls
}

// begin prepares for a new answer and keeps the memory.
func (e *envelopeWriter) begin(dst io.Writer) {
	e.dst, e.zip, e.each, e.base64 = dst, nil, nil, nil
	if e.zipped.Cap() > exchange.MaxKept {
		e.zipped = bytes.Buffer{}
	}
}

// frame writes one message, which stays the caller's.
func (e *envelopeWriter) frame(f *proxy.Frame) error {
	size := f.Len()
	if e.zip != nil && size >= compression.MinSize {
		return e.compressed(&transcoder.Text{Short: f.Bytes()})
	}
	if err := e.head(0, size); err != nil {
		return err
	}
	for _, b := range f.Buffers() {
		if _, err := e.dst.Write(b.ReadOnlyData()); err != nil {
			return errNotReading
		}
	}
	return nil
}

// text writes one message.
func (e *envelopeWriter) text(message *transcoder.Text) error {
	if e.zip != nil && message.Size() >= compression.MinSize {
		return e.compressed(message)
	}
	if message.Long == nil {
		return e.raw(0, message.Short)
	}
	if err := e.head(0, message.Size()); err != nil {
		return err
	}
	return message.CopyTo(envelopePieces{e})
}

// envelopePieces writes the pieces of a long message.
type envelopePieces struct{ e *envelopeWriter }

// Write implements io.Writer.
func (p envelopePieces) Write(b []byte) (int, error) {
	if p.e.each != nil {
		p.e.each(len(b))
	}
	if _, err := p.e.dst.Write(b); err != nil {
		return 0, errNotReading
	}
	return len(b), nil
}

func (e *envelopeWriter) compressed(message *transcoder.Text) error {
	e.zipped.Reset()
	if err := message.Compress(e.zip, &e.zipped); err != nil {
		return status.Errorf(codes.Internal, "compressing a message: %v", err)
	}
	return e.raw(flagCompressed, e.zipped.Bytes())
}

// raw writes an envelope with the flags as they are.
func (e *envelopeWriter) raw(flags byte, b []byte) error {
	if err := e.head(flags, len(b)); err != nil {
		return err
	}
	if _, err := e.dst.Write(b); err != nil {
		return errNotReading
	}
	return nil
}

// end is called behind an envelope. It pads the base64, so that the envelope can be read
// before the next one comes.
func (e *envelopeWriter) end() error {
	if e.base64 != nil && e.base64.end() != nil {
		return errNotReading
	}
	return nil
}

func (e *envelopeWriter) head(flags byte, size int) error {
	if uint64(size) > 1<<32-1 {
		return status.Errorf(codes.ResourceExhausted, "a message of %d bytes does not fit an envelope", size)
	}
	e.prefix[0] = flags
	binary.BigEndian.PutUint32(e.prefix[1:], uint32(size)) //nolint:gosec // checked above
	if _, err := e.dst.Write(e.prefix[:]); err != nil {
		return errNotReading
	}
	return nil
}

// errNotReading ends the call of a client that takes no more of its answer.
var errNotReading = status.Error(codes.Canceled, "the client went away or stopped reading")
