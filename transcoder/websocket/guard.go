package websocket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"

	"github.com/transom-gateway/transom/transcoder/exchange"
)

// frameGuard is a connection that reads the headers of the client's frames as
// they pass by, so that a message too large is refused by what it says of
// itself, before any of that frame is in memory. It leaves compressed messages
// alone, whose length says little, and everything that is no WebSocket: that is
// for the library to refuse.
type frameGuard struct {
	net.Conn
	from     io.Reader   // Conn, after what was read before the upgrade
	limit    int64       // of a message, in bytes
	dropping func() bool // the messages are read and dropped: any size will do

	header     [14]byte // of the frame that begins
	have       int      // bytes of it
	payload    int64    // bytes of the frame to come
	message    int64    // bytes of the message in all its frames so far
	compressed bool

	failed atomic.Bool // the connection did; also the end of the socket reads

	refused bool   // a message was; nothing is looked at any more
	told    bool   // the reader knows
	held    []byte // what came behind the header of the refused frame
}

// guardFrames puts a guard between a connection and the buffers that come with
// it.
func guardFrames(conn net.Conn, rw *bufio.ReadWriter, limit int64, dropping func() bool) *frameGuard {
	g := &frameGuard{Conn: conn, from: conn, limit: limit, dropping: dropping}
	if early, _ := rw.Peek(rw.Reader.Buffered()); len(early) > 0 { // there are as many
		g.from = io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)
	}
	rw.Reader.Reset(g)
	return g
}

// Read implements io.Reader. A message too large is exchange.ErrTooLarge, once, between
// the header of a frame and its payload; reading may go on.
func (g *frameGuard) Read(p []byte) (int, error) {
	switch {
	case g.refused && !g.told:
		g.told = true
		return 0, exchange.ErrTooLarge
	case len(g.held) > 0:
		n := copy(p, g.held)
		g.held = g.held[n:]
		return n, nil
	}
	n, err := g.from.Read(p)
	if err != nil {
		g.failed.Store(true)
	}
	if g.refused {
		return n, err
	}
	if passed := g.look(p[:n]); g.refused {
		g.held = bytes.Clone(p[passed:n])
		return passed, nil // an error beside data comes again with the next read
	}
	return n, err
}

// look goes through bytes of frames and returns how many passed: all, unless a
// message is refused.
func (g *frameGuard) look(b []byte) int {
	for at := 0; at < len(b); {
		if g.payload > 0 {
			skip := min(g.payload, int64(len(b)-at))
			g.payload -= skip
			at += int(skip)
			continue
		}
		g.header[g.have] = b[at]
		g.have++
		at++
		if g.have < headerLength(g.header[:g.have]) {
			continue
		}
		g.have = 0
		if g.refused = !g.begin(); g.refused {
			return at
		}
	}
	return len(b)
}

// headerLength is how long the header is that begins so (RFC 6455, 5.2), as far
// as its first bytes tell.
func headerLength(h []byte) int {
	if len(h) < 2 {
		return 2
	}
	n := 2
	if h[1]&0x80 != 0 {
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

// begin takes note of the frame whose header is complete. False for one that
// makes a message too large.
func (g *frameGuard) begin() bool {
	g.payload = int64(g.header[1] & 0x7f)
	switch g.payload {
	case 126:
		g.payload = int64(binary.BigEndian.Uint16(g.header[2:]))
	case 127:
		g.payload = int64(binary.BigEndian.Uint64(g.header[2:]) &^ (1 << 63)) // that bit must not be set
	}
	switch opcode := g.header[0] & 0x0f; {
	case opcode >= 8:
		return true // between the frames of a message
	case opcode != 0:
		g.message, g.compressed = 0, g.header[0]&0x40 != 0
	}
	if g.compressed {
		return true
	}
	if g.payload > g.limit-g.message {
		return g.dropping()
	}
	g.message += g.payload
	return true
}
