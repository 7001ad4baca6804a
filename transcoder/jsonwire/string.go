package jsonwire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
	"unsafe"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// unusual marks, in a word of eight bytes, those that a JSON string does not hold
// as they are: controls, quotes, backslashes; and those that are not ASCII. It is
// zero exactly when there is none; a mark above the lowest one may be false.
//
// A quote (0x22) is what becomes a space when its second bit is turned, and no
// other byte from 0x20 on becomes less than 0x21 by it: so one subtraction finds
// controls and quotes.
func unusual(v uint64) uint64 { return marks(v) & highs }

// marks is unusual before the other bits are masked away.
func marks(v uint64) uint64 {
	slash := v ^ ones*'\\'
	return (v ^ ones*2 - ones*0x21) | (slash - ones) | v
}

// appendString appends s as a JSON string. It returns false where s is not
// UTF-8.
func appendString(dst, s []byte) ([]byte, bool) {
	dst, ok := appendText(append(dst, '"'), s)
	return append(dst, '"'), ok
}

// appendText is appendString without the quotes.
func appendText(dst, s []byte) ([]byte, bool) {
	n := len(s)
	switch {
	case n > 16:
		return appendLong(dst, s)
	case n >= 8:
		// Two words that may overlap, looked at and copied.
		low, high := binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[n-8:])
		if (marks(low)|marks(high))&highs != 0 {
			return appendUnusual(dst, s, usual(s, 0))
		}
		if at := len(dst); cap(dst)-at >= n {
			dst = dst[:at+n]
			binary.LittleEndian.PutUint64(dst[at:], low)
			binary.LittleEndian.PutUint64(dst[at+n-8:], high)
			return dst, true
		}
	case n >= 4:
		low, high := binary.LittleEndian.Uint32(s), binary.LittleEndian.Uint32(s[n-4:])
		if unusual(uint64(low)|uint64(high)<<32) != 0 {
			return appendUnusual(dst, s, usual(s, 0))
		}
		if at := len(dst); cap(dst)-at >= n {
			dst = dst[:at+n]
			binary.LittleEndian.PutUint32(dst[at:], low)
			binary.LittleEndian.PutUint32(dst[at+n-4:], high)
			return dst, true
		}
	default:
		if i := usual(s, 0); i < n {
			return appendUnusual(dst, s, i)
		}
	}
	return append(dst, s...), true
}

// appendLong is appendText for more than eight bytes.
func appendLong(dst, s []byte) ([]byte, bool) {
	n, i := len(s), 0
	for ; i+32 <= n; i += 32 {
		w := s[i : i+32]
		m := marks(binary.LittleEndian.Uint64(w)) | marks(binary.LittleEndian.Uint64(w[8:])) |
			marks(binary.LittleEndian.Uint64(w[16:])) | marks(binary.LittleEndian.Uint64(w[24:]))
		if m&highs != 0 {
			return appendUnusual(dst, s, usual(s, i))
		}
	}
	for ; i+8 < n; i += 8 {
		if unusual(binary.LittleEndian.Uint64(s[i:])) != 0 {
			return appendUnusual(dst, s, usual(s, i))
		}
	}
	// The last word overlaps the one before it.
	if unusual(binary.LittleEndian.Uint64(s[n-8:])) != 0 {
		return appendUnusual(dst, s, usual(s, (n-1)&^7))
	}
	return append(dst, s...), true
}

// usual returns where the run of usual bytes ends that begins at i.
func usual(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if m := unusual(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	if i < len(b) && len(b) >= 8 && unusual(binary.LittleEndian.Uint64(b[len(b)-8:])) == 0 {
		return len(b) // the last word overlaps what was looked at
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			break
		}
	}
	return i
}

// appendUnusual is appendText for a string whose byte i is unusual.
func appendUnusual(dst, b []byte, i int) ([]byte, bool) {
	const hex = "0123456789abcdef"
	start := 0
	for i < len(b) {
		c := b[i]
		if c >= 0x80 {
			_, n := utf8.DecodeRune(b[i:])
			if n == 1 {
				return dst, false
			}
			i += n
			if i < len(b) && b[i] < 0x80 {
				i = usual(b, i)
			}
			continue
		}
		dst = append(dst, b[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		start = i + 1
		i = usual(b, start)
	}
	return append(dst, b[start:]...), true
}

// stringOf gives bytes as a string for a call that keeps nothing of it.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
