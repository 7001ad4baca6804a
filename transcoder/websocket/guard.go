package websocket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"unicode/utf8"

	"github.com/transom-gateway/transom/transcoder/exchange"
)

const (
	// libraryBuffer is enough for the library to read the headers of frames; what is
	// read of the connection at once has a buffer in front of it.
	libraryBuffer = 256
	// maxControlPayload is RFC 6455's, 5.5.
	maxControlPayload = 125

	opClose = 8 // the first of the control frames
	finBit  = 0x80
	rsv1    = 0x40
	maskBit = 0x80
)

// errCloseReason is of a close frame that RFC 6455 forbids, 5.5.1.
var errCloseReason = errors.New("the reason of the close frame is not UTF-8")

// frameGuard is a connection that reads the headers of the client's frames as
// they pass by, so that a message too large is refused by what it says of
// itself, before any of that frame is in memory. A compressed message passes as one
// that is not, because the library leaves out what follows a final block of deflate.
// What breaks RFC 6455 in another way is for the library to refuse, but for the reason
// of a close frame, which it does not look at.
type frameGuard struct {
	net.Conn
	in       *bufio.Reader // Conn, after what was read before the upgrade
	limit    int64         // of a message, in bytes
	inflates bool          // permessage-deflate was agreed on
	dropping func() bool   // the messages are read and dropped: any size will do

	out        []byte      // what is to be read next
	payload    int64       // bytes of a frame's payload that pass behind it
	message    int64       // bytes of the message in all its frames so far
	unlimited  bool        // the message has no limit
	compressed *compressed // the compressed message under way; nil for none
	header     [14]byte    // backs out
	fault      error       // told when out has been read
	over       bool        // nothing is looked at any more
	failed     atomic.Bool // the connection did; also the end of the socket reads
}

// guardFrames puts a guard between a connection and the buffers that come with
// it, and returns the buffers for the library.
func guardFrames(conn net.Conn, rw *bufio.ReadWriter, limit int64, inflates bool, dropping func() bool) (*frameGuard, *bufio.ReadWriter) {
	var from io.Reader = conn
	if early, _ := rw.Peek(rw.Reader.Buffered()); len(early) > 0 { // there are as many
		from = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	rw.Reader.Reset(from)
	g := &frameGuard{Conn: conn, in: rw.Reader, limit: limit, inflates: inflates, dropping: dropping}
	return g, bufio.NewReadWriter(bufio.NewReaderSize(g, libraryBuffer), rw.Writer)
}

// Read implements io.Reader. A message too large is exchange.ErrTooLarge, once, between
// the header of a frame and its payload; reading may go on.
func (g *frameGuard) Read(p []byte) (int, error) {
	for {
		switch {
		case len(g.out) > 0:
			n := copy(p, g.out)
			g.out = g.out[n:]
			return n, nil
		case g.fault != nil:
			return 0, g.tell()
		case g.payload > 0 || g.over:
			return g.pass(p)
		case g.compressed != nil && g.compressed.whole:
			g.inflate()
		default:
			if err := g.frame(); err != nil {
				g.failed.Store(true)
				return 0, err
			}
		}
	}
}

// tell returns the fault. Behind a bad close frame nothing comes.
func (g *frameGuard) tell() error {
	err := g.fault
	if g.fault = nil; err == errCloseReason || err == io.EOF {
		g.fault = io.EOF
	}
	return err
}

// pass reads what nobody looks at.
func (g *frameGuard) pass(p []byte) (int, error) {
	if !g.over && int64(len(p)) > g.payload {
		p = p[:g.payload]
	}
	n, err := g.in.Read(p)
	if err != nil {
		g.failed.Store(true)
	}
	if !g.over {
		g.payload -= int64(n)
	}
	return n, err
}

// frameHeader is the header of a frame (RFC 6455, 5.2).
type frameHeader struct {
	bytes   []byte // valid until the guard reads on
	opcode  byte
	payload int64
	// sound reports whether the library has nothing against it but the first reserved
	// bit.
	sound bool
}

func (h *frameHeader) fin() bool  { return h.bytes[0]&finBit != 0 }
func (h *frameHeader) rsv1() bool { return h.bytes[0]&rsv1 != 0 }

// readHeader waits for the header of the next frame, and leaves it unread.
func (g *frameGuard) readHeader() (h frameHeader, err error) {
	for n := 2; len(h.bytes) < n; n = headerLength(h.bytes) {
		if h.bytes, err = g.in.Peek(n); err != nil {
			return h, err
		}
	}
	h.opcode = h.bytes[0] & 0x0f
	h.payload = int64(h.bytes[1] & 0x7f)
	h.sound = h.bytes[0]&0x30 == 0 && h.bytes[1]&maskBit != 0
	switch h.payload {
	case 126:
		h.payload = int64(binary.BigEndian.Uint16(h.bytes[2:]))
	case 127:
		length := binary.BigEndian.Uint64(h.bytes[2:])
		h.payload = int64(length &^ (1 << 63)) // that bit must not be set
		h.sound = h.sound && length>>63 == 0
	}
	return h, nil
}

// headerLength is how long the header is that begins so.
func headerLength(h []byte) int {
	n := 2
	if h[1]&maskBit != 0 {
		n += 4
	}
	switch h[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	return n
}

// frame takes the next frame's header, and with it what else decides whether it passes.
func (g *frameGuard) frame() error {
	h, err := g.readHeader()
	if err != nil {
		return err
	}
	begin := h.opcode != 0 && h.opcode < opClose
	switch {
	case h.opcode == opClose && h.sound && h.fin() && !h.rsv1() && h.payload <= maxControlPayload:
		if err := g.checkClose(&h); err != nil || g.fault != nil {
			return err
		}
	case begin && g.compressed != nil:
		// A message within another: the library gets to see that there was one.
		g.out = append(g.header[:0], g.compressed.opcode, maskBit, 0, 0, 0, 0)
		g.compressed = nil
		return nil
	case begin:
		g.message, g.unlimited = 0, h.rsv1() && !g.inflates // which the library refuses
		if h.rsv1() && g.inflates && h.opcode <= 2 && h.sound {
			g.compressed = &compressed{opcode: h.opcode}
			return g.collect(&h)
		}
	case h.opcode == 0 && g.compressed != nil && h.sound && !h.rsv1():
		return g.collect(&h)
	}
	if h.opcode < opClose && !g.unlimited {
		if h.payload > g.limit-g.message {
			if !g.dropping() {
				g.refuse()
			}
		} else {
			g.message += h.payload
		}
	}
	g.passFrame(&h, h.bytes[0])
	return nil
}

// refuse refuses a message that is too large, when the header under way has passed.
func (g *frameGuard) refuse() { g.fault, g.over = exchange.ErrTooLarge, true }

// passFrame has a frame pass, with another first byte.
func (g *frameGuard) passFrame(h *frameHeader, first byte) {
	g.out = append(g.header[:0], h.bytes...)
	g.out[0] = first
	_, _ = g.in.Discard(len(h.bytes)) // they are there
	g.payload = h.payload
}

// checkClose waits for a close frame as a whole and looks at its reason.
func (g *frameGuard) checkClose(h *frameHeader) error {
	n := len(h.bytes)
	all, err := g.in.Peek(n + int(h.payload))
	if err != nil {
		return err
	}
	h.bytes = all[:n]
	var plain [maxControlPayload]byte
	reason := plain[:copy(plain[:], all[n:])]
	unmask(reason, h.bytes[n-4:])
	if len(reason) > 2 && !utf8.Valid(reason[2:]) {
		g.fault = errCloseReason
	}
	return nil
}

func unmask(b, key []byte) {
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// collect takes a frame of a compressed message. The memory grows with what comes, not
// with what is announced.
func (g *frameGuard) collect(h *frameHeader) error {
	m := g.compressed
	if h.payload > maxCompressed(g.limit)-int64(len(m.data)) {
		if !g.dropping() {
			g.refuse()
		}
		g.compressed, g.unlimited = nil, true
		g.passFrame(h, h.bytes[0]&finBit|m.opcode)
		return nil
	}
	var key [4]byte
	copy(key[:], h.bytes[len(h.bytes)-4:])
	fin, left := h.fin(), int(h.payload)
	_, _ = g.in.Discard(len(h.bytes)) // they are there
	start := len(m.data)
	for left > 0 {
		m.data = slices.Grow(m.data, min(left, 512))
		room := m.data[len(m.data):cap(m.data)]
		n, err := g.in.Read(room[:min(left, len(room))])
		m.data = m.data[:len(m.data)+n]
		if left -= n; err != nil {
			g.over = true // within a frame
			return err
		}
	}
	unmask(m.data[start:], key[:])
	if fin {
		m.begin()
	}
	return nil
}

// inflate makes a frame of the next piece of a compressed message.
func (g *frameGuard) inflate() {
	m := g.compressed
	if m.passed && g.dropping() {
		m.whole = false // the rest is of no interest
	} else {
		g.fault = m.next()
	}
	if g.fault == nil {
		g.out = m.frame()
	}
	if g.fault != nil || !m.whole {
		m.release()
		g.compressed = nil
	}
}
