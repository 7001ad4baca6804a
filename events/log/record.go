package log

import (
	"encoding/binary"
	"hash/crc32"
)

// A record is, in little endian,
//
//	checksum  4 bytes, CRC-32C of the segment's salt and all that follows but padding
//	length    4 bytes, of the body
//	offset    8 bytes
//	body
//	padding   to a multiple of 8
//
// The salt keeps bytes of an earlier use of the same file, and of any other file, from
// being taken for a record. The offset is there so that records behind a damaged piece
// are found, and known.
const (
	recordHeader = 16
	recordAlign  = 8
	// maxBody is the largest body that is read, whatever the setting was when it was
	// written.
	maxBody = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is one record of the log.
type Record struct {
	Offset uint64
	// Body is what was appended. It is valid until the next call of Next.
	Body []byte
}

// recordSize is what a record takes in a segment.
func recordSize(body int) int {
	return (recordHeader + body + recordAlign - 1) &^ (recordAlign - 1)
}

// reserve appends a record without checksum and offset, which are known when it is
// written.
func reserve(b, body []byte) []byte {
	from := len(b)
	b = append(b, make([]byte, recordHeader)...)
	binary.LittleEndian.PutUint32(b[from+4:], uint32(len(body))) //nolint:gosec // bounded by maxBody
	b = append(b, body...)
	for (len(b)-from)%recordAlign != 0 {
		b = append(b, 0)
	}
	return b
}

// fit is how many of the reserved records have room, and how many bytes they take.
func fit(reserved []byte, room int64) (n, size int) {
	for size < len(reserved) {
		next := size + sizeOf(reserved[size:])
		if int64(next) > room {
			break
		}
		n, size = n+1, next
	}
	return n, size
}

// sizeOf is the size of the first of the reserved records.
func sizeOf(reserved []byte) int {
	return recordSize(int(binary.LittleEndian.Uint32(reserved[4:])))
}

// complete gives reserved records their offsets and checksums.
func complete(reserved []byte, seed uint32, offset uint64) {
	for len(reserved) > 0 {
		length := int(binary.LittleEndian.Uint32(reserved[4:]))
		binary.LittleEndian.PutUint64(reserved[8:], offset)
		binary.LittleEndian.PutUint32(reserved, crc32.Update(seed, castagnoli, reserved[4:recordHeader+length]))
		reserved = reserved[recordSize(length):]
		offset++
	}
}

// seedOf is the checksum's state after the salt.
func seedOf(salt uint64) uint32 {
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, salt), castagnoli)
}
