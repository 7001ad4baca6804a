package log

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

const (
	window = 128 << 10
	page   = 4 << 10
	// maxSearched bounds the bytes whose checksums are taken to find the next record
	// behind a damaged piece: bodies may be written so that each of their bytes looks
	// like the beginning of a long record.
	maxSearched = 2 << 30
	zeroPiece   = 4 << 10 // that is compared with zeros at a time
)

var zeroBytes [zeroPiece]byte

// scanner reads the records of one segment in order. It allocates its window only.
type scanner struct {
	f    file
	seed uint32
	next uint64 // offset of the record expected at pos
	pos  int64
	end  int64 // nothing is read from here on

	buf      []byte
	from, to int64 // what of the file is in buf

	unreadable int64 // where the last page ends that cannot be read
}

// record returns the body of the record at pos. Without one that is whole, and the
// expected one, it returns false; pos stays in both cases.
func (s *scanner) record() (body []byte, ok bool) {
	return s.recordAt(s.pos, s.next, s.next, nil)
}

// advance goes on behind the record at pos.
func (s *scanner) advance(body int) {
	s.pos += int64(recordSize(body))
	s.next++
}

// recordAt reads a record anywhere, with an offset of the range.
func (s *scanner) recordAt(pos int64, least, most uint64, searched *int64) ([]byte, bool) {
	head := s.bytes(pos, recordHeader)
	if head == nil {
		return nil, false
	}
	length, offset := int64(binary.LittleEndian.Uint32(head[4:])), binary.LittleEndian.Uint64(head[8:])
	if offset < least || offset > most || length > maxBody {
		return nil, false
	}
	whole := s.bytes(pos, recordHeader+int(length))
	if whole == nil {
		return nil, false
	}
	if searched != nil {
		*searched += length
	}
	if crc32.Update(s.seed, castagnoli, whole[4:]) != binary.LittleEndian.Uint32(whole) {
		return nil, false
	}
	return whole[recordHeader:], true
}

// skip goes on at the next record behind a damaged piece whose offset is below limit, and
// reports whether there is one. complete is false if it gave up before all was searched.
func (s *scanner) skip(limit uint64) (found, complete bool) {
	var searched int64
	zeroRecord := crc32.Update(s.seed, castagnoli, make([]byte, recordHeader-4)) == 0
	for pos := s.pos + recordAlign; pos+recordHeader <= s.end; pos += recordAlign {
		if !zeroRecord {
			if pos = s.behindZeros(pos); pos+recordHeader > s.end {
				break
			}
		}
		// Between here and there is no room for more records.
		most := s.next + uint64(pos-s.pos)/recordHeader
		if limit > 0 {
			most = min(most, limit-1)
		}
		if _, ok := s.recordAt(pos, s.next, most, &searched); ok {
			s.next = binary.LittleEndian.Uint64(s.bytes(pos, recordHeader)[8:])
			s.pos = pos
			return true, true
		}
		if searched > maxSearched {
			return false, false
		}
	}
	return false, true
}

// behindZeros is the first place at or behind pos whose header is not all zeros, as all of
// what was allocated and never written is, or one near the end.
func (s *scanner) behindZeros(pos int64) int64 {
	for {
		b := s.bytes(pos, int(min(zeroPiece, (s.end-pos)&^(recordAlign-1))))
		zeros := int64(len(b))
		if !bytes.Equal(b, zeroBytes[:len(b)]) {
			zeros = int64(len(b) - len(bytes.TrimLeft(b, "\x00")))
		}
		if zeros < recordHeader {
			return pos
		}
		// A header may begin in the last zeros.
		pos += (zeros - recordHeader + recordAlign) &^ (recordAlign - 1)
	}
}

// bytes are those of the file, or nil beyond its end. They are valid until the next call.
func (s *scanner) bytes(pos int64, n int) []byte {
	to := pos + int64(n)
	if to > s.end {
		return nil
	}
	if pos < s.from || to > s.to {
		s.fill(pos, n)
	}
	return s.buf[pos-s.from : to-s.from]
}

func (s *scanner) fill(pos int64, n int) {
	s.from, s.to = pos, min(pos+int64(max(n, window)), s.end)
	if want := int(s.to - s.from); cap(s.buf) < want { // one who follows the log reads little at a time, and may be one of many
		s.buf = make([]byte, max(want, min(2*cap(s.buf), window), page))
	}
	s.buf = s.buf[:s.to-s.from]
	s.unreadable = max(s.unreadable, readDamaged(s.f, s.buf, pos))
}

// readDamaged fills b with what can be read. Pages that cannot are zeros, which are no
// record in any segment. It returns where the last of those pages ends.
func readDamaged(f io.ReaderAt, b []byte, pos int64) (unreadable int64) {
	n, err := f.ReadAt(b, pos)
	if err == nil || n == len(b) {
		return 0
	}
	clear(b[n:])
	if err == io.EOF {
		return 0
	}
	for at := n; at < len(b); at += page {
		piece := b[at:min(at+page, len(b))]
		if n, err := f.ReadAt(piece, pos+int64(at)); err != nil {
			clear(piece[n:])
			if err != io.EOF {
				unreadable = pos + int64(at+len(piece))
			}
		}
	}
	return unreadable
}

// damage is a piece of a segment that is no record, and the offsets that it had.
type damage struct {
	from, to    int64
	first, next uint64
}

// scanAll reads a whole segment. With a limit, records up to it are expected; without
// one, what follows the last whole record is no damage. It stops at the first error of
// each. Afterwards pos and next are those behind the last record; searched is false if
// there may be more records behind them.
func (s *scanner) scanAll(limit uint64, each func(Record) error, bad func(damage)) (searched bool, err error) {
	for limit == 0 || s.next < limit {
		body, ok := s.record()
		if ok {
			if err := each(Record{s.next, body}); err != nil {
				return true, err
			}
			s.advance(len(body))
			continue
		}
		lost := damage{from: s.pos, first: s.next}
		found, all := s.skip(limit)
		if !found {
			if limit > 0 {
				bad(damage{from: s.pos, to: s.end, first: s.next, next: limit})
			}
			return all, nil
		}
		lost.to, lost.next = s.pos, s.next
		bad(lost)
	}
	return true, nil
}
