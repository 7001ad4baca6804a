package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// The five bytes before each message of gRPC, gRPC-Web and Connect's streams:
// flags, and the length of what follows.
const envelopePrefix = 5

const (
	flagCompressed byte = 0x01
	flagConnectEnd byte = 0x02 // the last envelope of a Connect stream
	flagWebTrailer byte = 0x80 // the last envelope of a gRPC-Web answer
)

const (
	// envelopeBuffer holds the prefix and, mostly, the whole message, so that one
	// read of the body fetches both.
	envelopeBuffer = 4 << 10
	// Long messages are read in pieces: what a client claims in a prefix buys it no
	// memory, only what it sends does.
	firstPiece = 16 << 10
	laterPiece = 32 << 10
)

// messagePool lends the memory of messages; a frame gives it back.
var messagePool = mem.DefaultBufferPool()

// envelopeReader takes messages out of their envelopes, decompressed and
// bounded. It is used by one goroutine.
type envelopeReader struct {
	src io.Reader
	// limit bounds one message in bytes, as it was sent and inflated.
	limit int64
	// zip is what messages may be compressed with. Nil for nothing.
	zip *compression.Encoding
	// malformed is the code for broken framing: gRPC and Connect differ.
	malformed codes.Code

	buf        []byte // envelopeBuffer long
	start, end int    // what of buf is not taken yet
	failed     error  // what src returned in place of data, but for io.EOF
	message    io.LimitedReader
}

// begin prepares for a new body and keeps the memory.
func (e *envelopeReader) begin(src io.Reader, limit int64, malformed codes.Code) {
	buf := e.buf
	if buf == nil {
		buf = make([]byte, envelopeBuffer)
	}
	*e = envelopeReader{src: src, limit: limit, malformed: malformed, buf: buf}
}

// next returns the next message. io.EOF is the end of the body between two
// messages.
func (e *envelopeReader) next() (proxy.Frame, error) {
	if err := e.fill(envelopePrefix); err != nil {
		if err == io.EOF && e.start < e.end {
			return proxy.Frame{}, e.broken("the body ended within a message's prefix")
		}
		return proxy.Frame{}, err
	}
	flags := e.buf[e.start]
	size := int64(binary.BigEndian.Uint32(e.buf[e.start+1:]))
	e.start += envelopePrefix
	switch {
	case flags&^flagCompressed != 0:
		return proxy.Frame{}, e.broken("a message's flags are 0x%02x; expected 0 or 1", flags)
	case flags != 0 && e.zip == nil:
		return proxy.Frame{}, status.Error(codes.Internal, "a message is flagged as compressed, but the request names no encoding")
	case size > e.limit:
		return proxy.Frame{}, messageTooLarge(e.limit)
	case flags != 0:
		return e.inflate(size)
	}
	return e.take(int(size))
}

// close makes sure that nothing follows the only message of a request.
func (e *envelopeReader) close() error {
	switch err := e.fill(1); err {
	case io.EOF:
		return nil
	case nil:
		return status.Error(codes.Unimplemented, "the request has more than one message; a call that does not stream takes exactly one")
	default:
		return err
	}
}

// fill makes at least n bytes available in the buffer. io.EOF means that fewer
// are left.
func (e *envelopeReader) fill(n int) error {
	if e.start == e.end {
		e.start, e.end = 0, 0
	}
	if len(e.buf)-e.start < n {
		e.end = copy(e.buf, e.buf[e.start:e.end])
		e.start = 0
	}
	for e.end-e.start < n {
		m, err := e.src.Read(e.buf[e.end:])
		e.end += m
		if err != nil && e.end-e.start < n {
			return e.readError(err)
		}
	}
	return nil
}

// Read implements io.Reader on what is left of the body.
func (e *envelopeReader) Read(p []byte) (int, error) {
	if e.start < e.end {
		n := copy(p, e.buf[e.start:e.end])
		e.start += n
		return n, nil
	}
	n, err := e.src.Read(p)
	if err != nil && err != io.EOF {
		e.failed = e.readError(err)
	}
	return n, err
}

// take returns the next size bytes as a message.
func (e *envelopeReader) take(size int) (proxy.Frame, error) {
	if size == 0 {
		return proxy.Frame{}, nil
	}
	if mem.IsBelowBufferPoolingThreshold(size) {
		b := make([]byte, size)
		if err := e.readFull(b); err != nil {
			return proxy.Frame{}, err
		}
		return proxy.WrapFrame(b), nil
	}
	pieces := make(mem.BufferSlice, 0, 1)
	for size > 0 {
		b := messagePool.Get(min(size, pieceSize(len(pieces))))
		if err := e.readFull(*b); err != nil {
			messagePool.Put(b)
			pieces.Free()
			return proxy.Frame{}, err
		}
		size -= len(*b)
		pieces = append(pieces, mem.NewBuffer(b, messagePool))
	}
	return proxy.FrameOf(pieces), nil
}

func pieceSize(pieces int) int {
	if pieces == 0 {
		return firstPiece
	}
	return laterPiece
}

func (e *envelopeReader) readFull(b []byte) error {
	n := copy(b, e.buf[e.start:e.end])
	e.start += n
	if n == len(b) {
		return nil
	}
	switch _, err := io.ReadFull(e.src, b[n:]); err {
	case nil:
		return nil
	case io.EOF, io.ErrUnexpectedEOF:
		return e.broken("the body ended within a message")
	default:
		return e.readError(err)
	}
}

// inflate returns a message of size compressed bytes.
func (e *envelopeReader) inflate(size int64) (proxy.Frame, error) {
	if size == 0 {
		return proxy.Frame{}, nil // nothing is nothing, compressed or not
	}
	from := io.Reader(&e.message)
	if e.zip.Whole {
		f, err := e.take(int(size))
		if err != nil {
			return proxy.Frame{}, err
		}
		defer f.Free()
		from, size = bytes.NewReader(f.Bytes()), 0
	}
	e.message = io.LimitedReader{R: e, N: size}
	pieces, err := inflated(e.zip, from, e.limit)
	switch {
	case err == nil && e.message.N == 0:
		return proxy.FrameOf(pieces), nil
	case err == exchange.ErrTooLarge:
		return proxy.Frame{}, messageTooLarge(e.limit)
	case e.failed != nil:
		err = e.failed
	case e.message.N > 0 && (err == nil || err == io.EOF || err == io.ErrUnexpectedEOF):
		err = e.broken("the body ended within a message")
	default:
		err = e.broken("a message cannot be decompressed: %v", err)
	}
	pieces.Free()
	return proxy.Frame{}, err
}

// inflated decompresses r, to at most limit bytes.
func inflated(e *compression.Encoding, r io.Reader, limit int64) (mem.BufferSlice, error) {
	z, err := e.Open(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = z.Close() }() // it has no error of its own
	return readPieces(z, limit)
}

// readPieces reads r to its end, at most limit bytes. Beside an error there are
// no pieces.
func readPieces(r io.Reader, limit int64) (mem.BufferSlice, error) {
	var pieces mem.BufferSlice
	for total := int64(0); ; {
		b := messagePool.Get(pieceSize(len(pieces)))
		n, err := readUntilFull(r, *b)
		total += int64(n)
		if total > limit {
			err = exchange.ErrTooLarge
		}
		if n > 0 && (err == nil || err == io.EOF) {
			*b = (*b)[:n]
			pieces = append(pieces, mem.NewBuffer(b, messagePool))
		} else {
			messagePool.Put(b)
		}
		switch err {
		case nil:
		case io.EOF:
			return pieces, nil
		default:
			pieces.Free()
			return nil, err
		}
	}
}

// readUntilFull is io.ReadFull that leaves the reader's own error as it is.
func readUntilFull(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

func messageTooLarge(limit int64) error {
	return rpcerror.New(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
		"a message is larger than %d bytes", limit)
}

func (e *envelopeReader) broken(format string, args ...any) error {
	return status.Errorf(e.malformed, format, args...)
}

// readError says in gRPC's terms why the body could not be read. io.EOF stays.
func (e *envelopeReader) readError(err error) error {
	if err == io.EOF {
		return err
	}
	return e.bodyError(err)
}

func (e *envelopeReader) bodyError(err error) error {
	var own *rpcerror.StatusError
	limit, bounded := exchange.ServerLimit(err)
	switch {
	case bounded:
		return rpcerror.New(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
			"the body is larger than %d bytes", limit)
	case errors.As(err, &own):
		return err
	case errors.Is(err, errBadBase64):
		return e.broken("%v", err)
	case exchange.IsMisframed(err):
		return e.broken(exchange.Misframed)
	}
	return errClientGone
}

// errClientGone ends the call of a client that went away, or whose reading was
// ended because the answer is complete.
var errClientGone = status.Error(codes.Canceled, "the client went away")
