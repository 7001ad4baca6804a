package jsonwire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// openLength leaves room for a short length; closeLength writes it.
func openLength(out []byte) []byte { return append(out, 0) }

// closeLength writes the length of what stands from at on into the byte before
// it, and moves the bytes where one is not enough: most messages are short.
func closeLength(out []byte, at int) []byte {
	size := len(out) - at
	if size < 0x80 {
		out[at-1] = byte(size)
		return out
	}
	n := protowire.SizeVarint(uint64(size))
	for range n - 1 {
		out = append(out, 0)
	}
	copy(out[at+n-1:], out[at:at+size])
	protowire.AppendVarint(out[:at-1], uint64(size))
	return out
}

// appendUvarint is protowire.AppendVarint with a short way for short numbers.
func appendUvarint(out []byte, v uint64) []byte {
	if v < 0x80 {
		return append(out, byte(v))
	}
	return protowire.AppendVarint(out, v)
}
