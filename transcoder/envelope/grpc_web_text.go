package envelope

import (
	"encoding/base64"
	"errors"
	"io"
)

// errBadBase64 is what a base64Reader finds wrong.
var errBadBase64 = errors.New("the body is not base64")

// base64Reader decodes the body of gRPC-Web text: standard base64, of which
// each part may be padded by itself. Line breaks are skipped.
type base64Reader struct {
	src io.Reader
	err error // what src ended with

	in      [1 << 10]byte
	out     [1 << 10]byte
	quantum [4]byte // characters that are not four yet
	have    int

	start, end int // what of out is not taken yet
}

func (b *base64Reader) begin(src io.Reader) {
	b.src, b.err = src, nil
	b.have, b.start, b.end = 0, 0, 0
}

// Read implements io.Reader.
func (b *base64Reader) Read(p []byte) (int, error) {
	for b.start == b.end {
		if b.err != nil {
			return 0, b.err
		}
		n, err := b.src.Read(b.in[:])
		b.start, b.end = 0, 0
		if bad := b.decode(b.in[:n]); bad != nil {
			err = bad
		} else if err == io.EOF {
			if bad := b.decodeLast(); bad != nil {
				err = bad
			}
		}
		b.err = err
	}
	n := copy(p, b.out[b.start:b.end])
	b.start += n
	return n, nil
}

// decode appends to out what src gives; out has room for it.
func (b *base64Reader) decode(src []byte) error {
	for _, c := range src {
		if c == '\r' || c == '\n' {
			continue
		}
		b.quantum[b.have] = c
		if b.have++; b.have < len(b.quantum) {
			continue
		}
		b.have = 0
		n, err := base64.StdEncoding.Decode(b.out[b.end:], b.quantum[:])
		b.end += n
		if err != nil {
			return errBadBase64
		}
	}
	return nil
}

// decodeLast takes a last part without its padding.
func (b *base64Reader) decodeLast() error {
	n, err := base64.RawStdEncoding.Decode(b.out[b.end:], b.quantum[:b.have])
	b.end += n
	b.have = 0
	if err != nil {
		return errBadBase64
	}
	return nil
}

// base64Writer encodes an answer in gRPC-Web text. What is written between two
// ends is one padded part.
type base64Writer struct {
	dst  io.Writer
	rest [3]byte // bytes that are not three yet
	have int
	out  [4 << 10]byte
}

func (b *base64Writer) begin(dst io.Writer) { b.dst, b.have = dst, 0 }

// Write implements io.Writer.
func (b *base64Writer) Write(p []byte) (int, error) {
	total := len(p)
	if b.have > 0 {
		n := copy(b.rest[b.have:], p)
		b.have += n
		p = p[n:]
		if b.have < len(b.rest) {
			return total, nil
		}
		if err := b.encode(b.rest[:]); err != nil {
			return 0, err
		}
		b.have = 0
	}
	for len(p) >= len(b.rest) {
		n := min(len(p)/3, len(b.out)/4) * 3
		if err := b.encode(p[:n]); err != nil {
			return 0, err
		}
		p = p[n:]
	}
	b.have = copy(b.rest[:], p)
	return total, nil
}

// end pads what is left.
func (b *base64Writer) end() error {
	n := b.have
	b.have = 0
	if n == 0 {
		return nil
	}
	return b.encode(b.rest[:n])
}

func (b *base64Writer) encode(p []byte) error {
	base64.StdEncoding.Encode(b.out[:], p)
	_, err := b.dst.Write(b.out[:base64.StdEncoding.EncodedLen(len(p))])
	return err
}
