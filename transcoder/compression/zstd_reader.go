package compression

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxWindow is the largest window that is taken; RFC 8878 recommends to
	// support 8 MiB, RFC 9659 allows no more in HTTP.
	MaxWindow = 8 << 20
	// firstZstdWindow is what a decoder begins with: room for the largest block and
	// some before it.
	firstZstdWindow = maxZstdBlock + maxZstdBlock/2
	// mostPooledWindow bounds the window of a decoder that waits for its next use.
	mostPooledWindow = 1 << 20
	maxZstdBlock     = 128 << 10
	// zstdHeaderMax is the longest header: the magic number, the descriptor, the
	// window, a dictionary and a size.
	zstdHeaderMax = 4 + 1 + 1 + 4 + 8
)

// zstdReader decompresses frames of zstd. A decoder allocates the window that
// the frame's header names, whether data follows or not; so this one tells it of
// a small window, which suffices as long as the frame has not become longer than
// that, and then begins again with a window four times as large, until it is the
// one of the header. What it holds follows what has come, and as the windows grow
// by a factor, all the beginnings together cost a third of the whole.
type zstdReader struct {
	src     io.Reader
	decoder *zstd.Decoder
	err     error // of src or of the data; it stays

	inFrame  bool
	window   uint64 // of the decoder
	declared uint64 // the window of the frame's header
	size     uint64 // of the frame's content; unknownSize if the header says none
	checksum bool
	total    uint64 // bytes of content that were returned
	most     uint64 // the largest window of all frames
	last     bool   // input ends with the frame's last block
	grow     bool   // the next block may need a larger window

	// input is the frame as far as it has come, while the window can still grow;
	// at is what the decoder has of it.
	input []byte
	at    int
}

const unknownSize = 1<<64 - 1

var (
	errGrow       = errors.New("the window is too small")
	errZstdMagic  = errors.New("this is no frame of zstd")
	errZstdWindow = errors.New("the frame's window is larger than 8 MiB; RFC 9659 allows no more in HTTP")
	errZstdDict   = errors.New("the frame needs a dictionary; none is known here")
	errZstdBlock  = errors.New("a block is larger than 128 KiB or of an unknown kind")
	errZstdSize   = errors.New("the content is not as long as the frame's header says")
)

var zstdDecoders = sync.Pool{New: func() any {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxWindow))
	if err != nil {
		panic(err) // the options above are constants that zstd accepts
	}
	return z
}}

func newZstdReader(src io.Reader) *zstdReader { return &zstdReader{src: src} }

// Close gives the decoder back.
func (z *zstdReader) Close() error {
	if z.decoder != nil {
		_ = z.decoder.Reset(nil) // reports only that there is no input, which is what we want
		if z.most <= mostPooledWindow {
			zstdDecoders.Put(z.decoder)
		}
	}
	*z = zstdReader{err: io.ErrClosedPipe}
	return nil
}

// Read implements io.Reader.
func (z *zstdReader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for z.err == nil {
		if !z.inFrame {
			z.err = z.begin()
			continue
		}
		n, err = z.decoder.Read(p)
		z.total += uint64(n) //nolint:gosec // never negative
		if z.total > z.size {
			z.err = errZstdSize
			return n, z.err
		}
		if n > 0 {
			return n, nil // an error comes again
		}
		z.err = z.after(err)
	}
	return 0, z.err
}

// after decides how it goes on when the decoder has no more.
func (z *zstdReader) after(err error) error {
	switch {
	case z.grow:
		return z.again()
	case err == io.EOF && z.last:
		z.inFrame = false
		if z.size != unknownSize && z.size != z.total {
			return errZstdSize
		}
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// begin reads the header of a frame, and its first block, before there is a
// decoder. io.EOF means that there is no frame.
func (z *zstdReader) begin() error {
	var head [zstdHeaderMax]byte
	if _, err := io.ReadFull(z.src, head[:5]); err != nil {
		return err
	}
	magic := binary.LittleEndian.Uint32(head[:])
	if magic&^0xf == 0x184d2a50 {
		return z.skip(head[:8])
	}
	if magic != 0xfd2fb528 {
		return errZstdMagic
	}
	header := head[:zstdHeaderSize(head[4])]
	if _, err := io.ReadFull(z.src, header[5:]); err != nil {
		return unexpected(err)
	}
	var h zstd.Header
	if err := h.Decode(header); err != nil {
		return err
	}
	if err := z.accept(&h); err != nil {
		return err
	}
	if err := z.more(); err != nil {
		return err
	}
	if z.decoder == nil {
		d, ok := zstdDecoders.Get().(*zstd.Decoder)
		if !ok {
			panic("the pool of zstd decoders holds something else") // its New is above
		}
		z.decoder = d
	}
	z.inFrame = true
	return z.decoder.Reset(zstdInput{z})
}

// zstdHeaderSize is how long the header is whose descriptor this is, with the
// magic number (RFC 8878, 3.1.1.1).
func zstdHeaderSize(descriptor byte) int {
	n := 5 + [...]int{0, 1, 2, 4}[descriptor&3] + [...]int{0, 2, 4, 8}[descriptor>>6]
	single := descriptor&(1<<5) != 0
	if !single || descriptor>>6 == 0 {
		n++ // the window, or a size of one byte
	}
	return n
}

// accept takes over what a header says, and writes the one that the decoder gets.
func (z *zstdReader) accept(h *zstd.Header) error {
	z.size, z.declared = unknownSize, h.WindowSize
	if h.HasFCS {
		z.size = h.FrameContentSize
	}
	if h.SingleSegment {
		z.declared = max(z.size, zstd.MinWindowSize)
	}
	switch {
	case h.DictionaryID != 0:
		return errZstdDict
	case z.declared > MaxWindow:
		return errZstdWindow
	}
	z.window = min(z.declared, max(firstZstdWindow, min(z.most, mostPooledWindow)))
	z.checksum, z.total, z.last, z.grow = h.HasCheckSum, 0, false, false
	z.input = append(z.input[:0], 0x28, 0xb5, 0x2f, 0xfd, 0, 0)
	if z.checksum {
		z.input[4] = 1 << 2
	}
	z.at = 0
	z.setWindow(z.window)
	return nil
}

// setWindow writes the window into the header that the decoder gets: 1 KiB times
// a power of two, and eighths of that.
func (z *zstdReader) setWindow(window uint64) {
	z.window = window
	z.most = max(z.most, window)
	exponent := bits.Len64(window) - 1
	eighth := uint64(1) << exponent / 8
	eighths := (window - 8*eighth + eighth - 1) / eighth // 8 goes over into the exponent
	z.input[5] = byte(uint64(exponent-10)<<3 + eighths)  //nolint:gosec // exponents are 10 to 23
}

// skip reads over a frame that is no data.
func (z *zstdReader) skip(head []byte) error {
	if _, err := io.ReadFull(z.src, head[5:]); err != nil {
		return unexpected(err)
	}
	_, err := io.CopyN(io.Discard, z.src, int64(binary.LittleEndian.Uint32(head[4:])))
	return unexpected(err)
}

// again has the decoder read the frame from its beginning with a larger window.
func (z *zstdReader) again() error {
	z.grow, z.at = false, 0
	z.setWindow(min(z.declared, 4*z.window))
	if err := z.decoder.Reset(zstdInput{z}); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, z.decoder, int64(z.total)) //nolint:gosec // less than a window
	return unexpected(err)
}

// more reads the next block, whole: until it is there nothing can be made of it.
func (z *zstdReader) more() error {
	if z.at > 0 && z.window == z.declared {
		z.input, z.at = z.input[:0], 0 // no other decoder will need it
	}
	var head [3]byte
	if _, err := io.ReadFull(z.src, head[:]); err != nil {
		return unexpected(err)
	}
	z.input = append(z.input, head[:]...)
	h := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
	z.last = h&1 != 0
	size := int(h >> 3)
	kind := h >> 1 & 3
	if size > maxZstdBlock || kind == 3 {
		return errZstdBlock
	}
	if kind == 1 {
		size = 1 // the byte that is repeated
	}
	if z.last && z.checksum {
		size += 4
	}
	if size == 0 {
		return nil
	}
	buf := bytes.NewBuffer(z.input)
	n, err := io.CopyN(buf, z.src, int64(size)) // grows with what comes
	z.input = buf.Bytes()
	if n == int64(size) {
		return nil
	}
	return unexpected(err)
}

// unexpected is the error of input that ends where it must not.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// zstdInput is what the decoder reads: the frame under a header of ours.
type zstdInput struct{ z *zstdReader }

// Read implements io.Reader. The decoder reads a block when all content of those
// before has been taken.
func (i zstdInput) Read(p []byte) (int, error) {
	z := i.z
	if z.at == len(z.input) {
		if z.last {
			return 0, io.EOF
		}
		if err := z.more(); err != nil {
			return 0, err
		}
		if z.window < z.declared && max(z.total+maxZstdBlock, uint64(len(z.input))) > z.window {
			z.grow = true
			return 0, errGrow
		}
	}
	n := copy(p, z.input[z.at:])
	z.at += n
	return n, nil
}
