package log

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// A segment begins with a page for its header, so that nothing that is written later can
// damage it:
//
//	magic       8 bytes
//	version     4 bytes
//	checksum    4 bytes, CRC-32C of the rest
//	salt        8 bytes
//	first       8 bytes, offset of the first record
//	generation  8 bytes
//	created     8 bytes, in nanoseconds since 1970
//
// Its name has first, generation and salt too, by which it is read where the header is
// damaged. Of two segments with the same first offset, the one of the lower generation
// has no record that counts.
const (
	magic        = "TRANSLOG"
	version      = 1
	headerLength = 48
	headerPage   = page
	suffix       = ".log"
	spareName    = "spare"
	newName      = "new" // a segment that is being made
)

// segment is one file of records. Its fields but the last two do not change once it is listed.
type segment struct {
	name       string
	first      uint64
	generation uint64
	salt       uint64
	seed       uint32
	created    time.Time // zero where the header is damaged
	size       int64
	end        int64 // no durable record ends behind it; guarded by Log.mu
	readers    int   // that have it open; guarded by Log.mu
}

func newSegment(first, generation, salt uint64, created time.Time) *segment {
	return &segment{
		name:  fmt.Sprintf("%020d-%010d-%016x%s", first, generation, salt, suffix),
		first: first, generation: generation, salt: salt, seed: seedOf(salt), created: created,
	}
}

// newSalt is a random one by which zeros are no record.
func newSalt() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		salt := binary.LittleEndian.Uint64(b[:])
		if crc32.Update(seedOf(salt), castagnoli, make([]byte, recordHeader-4)) != 0 {
			return salt
		}
	}
}

// segmentNamed reads the name of a segment, or returns nil if it is none.
func segmentNamed(name string) *segment {
	parts := strings.Split(strings.TrimSuffix(name, suffix), "-")
	if len(parts) != 3 {
		return nil
	}
	first, err1 := strconv.ParseUint(parts[0], 10, 64)
	generation, err2 := strconv.ParseUint(parts[1], 10, 64)
	salt, err3 := strconv.ParseUint(parts[2], 16, 64)
	if errors.Join(err1, err2, err3) != nil {
		return nil
	}
	s := newSegment(first, generation, salt, time.Time{})
	if s.name != name {
		return nil
	}
	return s
}

func (s *segment) header() []byte {
	h := append(make([]byte, 0, headerLength), magic...)
	h = binary.LittleEndian.AppendUint32(h, version)
	h = binary.LittleEndian.AppendUint32(h, 0)
	h = binary.LittleEndian.AppendUint64(h, s.salt)
	h = binary.LittleEndian.AppendUint64(h, s.first)
	h = binary.LittleEndian.AppendUint64(h, s.generation)
	h = binary.LittleEndian.AppendUint64(h, uint64(s.created.UnixNano())) //nolint:gosec // restored by the same conversion
	binary.LittleEndian.PutUint32(h[12:], crc32.Checksum(h[16:], castagnoli))
	return h
}

// readHeader compares the header with the name, and takes the time from it. An error says
// what is wrong with the header; the segment can be read all the same.
func (s *segment) readHeader(f file) error {
	h := make([]byte, headerLength)
	_ = readDamaged(f, h, 0) // zeros are a damaged header
	switch {
	case !bytes.HasPrefix(h, []byte(magic)):
		return fmt.Errorf("begins with %q, not with %q", h[:len(magic)], magic)
	case binary.LittleEndian.Uint32(h[8:]) != version:
		return fmt.Errorf("has version %d, not %d", binary.LittleEndian.Uint32(h[8:]), version)
	}
	s.created = time.Unix(0, int64(binary.LittleEndian.Uint64(h[40:]))) //nolint:gosec // as it was written
	if !bytes.Equal(h, s.header()) {
		s.created = time.Time{}
		return errors.New("has a header that differs from its name, or a wrong checksum")
	}
	return nil
}

// scan returns a scanner of the segment's records up to end.
func (s *segment) scan(f file, end int64) *scanner {
	return &scanner{f: f, seed: s.seed, next: s.first, pos: headerPage, end: end}
}

// writer is the segment that is written.
type writer struct {
	*segment
	f   file
	pos int64
}

func (w *writer) room() int64 { return w.size - w.pos }

// write makes records durable. After an error nothing may be written to the segment.
func (w *writer) write(records []byte, synced func(time.Duration)) error {
	if _, err := w.f.WriteAt(records, w.pos); err != nil {
		return err
	}
	began := time.Now()
	if err := w.f.Sync(); err != nil {
		return err
	}
	if synced != nil {
		synced(time.Since(began))
	}
	w.pos += int64(len(records))
	return nil
}
