package websocket

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

const (
	// compressedExcess and an eighth of the limit is how much larger than the limit a
	// message may be before it is inflated: deflate adds a little to what it cannot
	// compress.
	compressedExcess = 1 << 10
	// maxFinals is how many final blocks a message may have. Each costs the copy of a
	// window.
	maxFinals = 1000
	// window is how far deflate looks back, in bytes.
	window = 32 << 10
	// pieceSize is the payload of the frames that a compressed message becomes.
	pieceSize = 4 << 10
	// pieceHeader is the header of one, with a mask of zeros.
	pieceHeader = 8
)

// deflateTail is what the sender has left out (RFC 7692, 7.2.1), and a final block, by
// which a message that is whole is told from one that is cut off.
const deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// compressed is a message under permessage-deflate. It is collected, and then read in pieces.
type compressed struct {
	opcode byte   // of the next frame that it becomes
	data   []byte // as far as it has come
	whole  bool   // and is being inflated
	passed bool   // a piece was
	*inflater
}

// inflater has what inflating needs.
type inflater struct {
	source   bytes.Reader
	flate    io.ReadCloser
	finals   int
	past     []byte // the end of what was inflated, at least a window of it
	piece    [pieceHeader + pieceSize]byte
	inflated int // bytes in piece
}

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(bytes.NewReader(nil))} }}

// begin begins to inflate what was collected.
func (m *compressed) begin() {
	i, ok := inflaters.Get().(*inflater)
	if !ok {
		return // the pool holds nothing else
	}
	m.inflater, m.whole = i, true
	if len(m.data) == 0 {
		m.data = append(m.data, 0) // the empty message is an empty block (RFC 7692, 7.2.3.6)
	}
	m.data = append(m.data, deflateTail...)
	i.source.Reset(m.data)
	i.finals, i.past = 0, i.past[:0]
	i.restart()
}

// restart begins a stream of deflate that looks back on what came before.
func (i *inflater) restart() {
	if r, ok := i.flate.(flate.Resetter); ok { // as the package says
		_ = r.Reset(&i.source, i.past[max(0, len(i.past)-window):]) // it has no error
	}
}

// release gives back what inflating needed. What frame returned is not valid any more.
func (m *compressed) release() {
	inflaters.Put(m.inflater)
	m.inflater = nil
}

// maxCompressed is how large a message may be before it is inflated.
func maxCompressed(limit int64) int64 {
	limit = min(limit, 1<<40)
	return limit + limit/8 + compressedExcess
}

// next inflates the next piece. A final block ends a stream of deflate, not the
// message (RFC 7692, 7.2.3.4).
func (m *compressed) next() error {
	i := m.inflater
	n, err := i.flate.Read(i.piece[pieceHeader:])
	i.inflated = n
	i.remember(i.piece[pieceHeader:][:n])
	switch {
	case err == io.EOF && (i.source.Len() == 0 || i.source.Len() == len(deflateTail)):
		// The sender should have added an empty block behind a final one, but what it
		// means is plain.
		m.whole = n > 0
		return nil
	case err == io.EOF:
		if i.finals++; i.finals > maxFinals {
			return fmt.Errorf("more than %d final blocks of deflate: %w", maxFinals, flate.CorruptInputError(len(m.data)-i.source.Len()))
		}
		i.restart()
		return nil
	}
	return err
}

// remember keeps the end of what was inflated.
func (i *inflater) remember(b []byte) {
	if len(i.past)+len(b) > 2*window {
		i.past = i.past[:copy(i.past, i.past[len(i.past)-window:])]
	}
	i.past = append(i.past, b...)
}

// frame is the piece as a frame that is not compressed. The last one is empty.
func (m *compressed) frame() []byte {
	i := m.inflater
	first := m.opcode
	if !m.whole {
		return []byte{finBit | first, maskBit, 0, 0, 0, 0}
	}
	if i.inflated == 0 {
		return nil
	}
	m.opcode, m.passed = 0, true
	i.piece[0], i.piece[1] = first, maskBit|126
	binary.BigEndian.PutUint16(i.piece[2:], uint16(i.inflated))
	clear(i.piece[4:pieceHeader])
	return i.piece[:pieceHeader+i.inflated]
}
