package log

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var allBits = flag.Bool("all-bits", false, "whether TestEveryBit flips all bits, and not every 101st")

// damagedLog is a log of two segments whose files a test damages.
func damagedLog(t testing.TB, records uint64) (*memory, []string) {
	t.Helper()
	fs := newMemory()
	o := small()
	o.SegmentBytes = 10 << 10
	l := openTest(t, fs, o)
	if _, err := l.Sink("slow"); err != nil {
		t.Fatal(err)
	}
	appendTest(t, l, 0, records)
	closeTest(t, l)
	var segments []string
	for name := range fs.names {
		if strings.HasSuffix(name, suffix) {
			segments = append(segments, name)
		}
	}
	slices.Sort(segments)
	return fs, segments
}

// Events 142: whichever bit of a segment flips, the log opens, and all records are
// read but the one that the bit belongs to.
func TestEveryBit(t *testing.T) {
	fs, segments := damagedLog(t, 50)
	if len(segments) != 2 {
		t.Fatalf("segments: %v", segments)
	}
	step := 101
	if *allBits {
		step = 1
	}
	for _, name := range segments {
		used := len(fs.names[name].data)
		for used > 0 && fs.names[name].data[used-1] == 0 {
			used--
		}
		for bit := 0; bit < min(used+64, len(fs.names[name].data))*8; bit += step {
			if bit == headerLength*8 { // the rest of the header's page is not used
				bit = headerPage * 8
			}
			flipBit(t, fs, name, bit)
		}
	}
}

func flipBit(t *testing.T, fs *memory, name string, bit int) {
	t.Helper()
	damaged := fs.clone()
	node := damaged.names[name]
	node.data[bit/8] ^= 1 << (bit % 8)
	o := small()
	o.SegmentBytes = 10 << 10
	l, err := open(damaged, "/log", o, fixedTime)
	if err != nil {
		t.Fatalf("%s: bit %d: the start is refused: %v", name, bit, err)
	}
	defer closeTest(t, l)
	found := readAll(t, l)
	for offset, id := range found {
		if offset != id {
			t.Fatalf("%s: bit %d: offset %d holds record %d", name, bit, offset, id)
		}
	}
	if len(found) < 49 {
		t.Fatalf("%s: bit %d: %d of 50 records are read", name, bit, len(found))
	}
}

// Events 142: a piece damaged in the middle is copied aside once, counted, and what is
// behind it is read: of a sealed segment and of the last; also if pages cannot be read.
func TestDamagedPieces(t *testing.T) {
	for name, hurt := range map[string]func(fs *memory, segment string){
		"zeros":      func(fs *memory, s string) { clear(fs.names[s].data[headerPage+500 : headerPage+1200]) },
		"no header":  func(fs *memory, s string) { clear(fs.names[s].data[:headerPage+100]) },
		"unreadable": func(fs *memory, s string) { fs.fail = unreadable(s, 1) },
	} {
		for last := range 2 {
			t.Run(name+" "+[]string{"in the first", "in the last"}[last], func(t *testing.T) {
				fs, segments := damagedLog(t, 94)
				hurt(fs, segments[last*(len(segments)-1)])
				damagedPiece(t, fs)
			})
		}
	}
}

func unreadable(name string, bad int) func(string, string, int) error {
	return func(op, of string, page int) error {
		if op == "read" && of == name && page <= bad {
			return syscall.EIO
		}
		return nil
	}
}

// damagePattern is what is said of a damaged piece.
var damagePattern = regexp.MustCompile(`events log: damaged records are left out" file=/log/\S+ from=\d+ to=\d+ first_offset=\d+ records=\d+ copy=/log/quarantine/\S+`)

func damagedPiece(t *testing.T, fs *memory) {
	t.Helper()
	var lost, next uint64
	for round := range 3 {
		o := small()
		o.SegmentBytes = 10 << 10
		var said bytes.Buffer
		o.Logger = slog.New(slog.NewTextHandler(&said, nil))
		l := openTest(t, fs, o)
		found := readAll(t, l)
		for offset, id := range found {
			if offset != id {
				t.Errorf("offset %d holds record %d", offset, id)
			}
		}
		s := l.Stats()
		if lines := damagePattern.FindAllString(said.String(), -1); len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf(" records=%d ", s.Damaged)) {
			t.Errorf("of %d damaged records it is said: %s", s.Damaged, &said)
		}
		if round == 0 {
			next = s.Next
		}
		if s.Next != next+uint64(round) || s.Next < 94 || s.Damaged == 0 || uint64(len(found))+s.Damaged != s.Next {
			t.Errorf("%d records are read: %+v", len(found), s)
		}
		if round > 0 && s.Damaged != lost {
			t.Errorf("%d records are lost, and were %d before", s.Damaged, lost)
		}
		lost = s.Damaged
		appendTest(t, l, s.Next, s.Next+1)
		closeTest(t, l)
	}
	copies := 0
	for name := range maps.Keys(fs.names) {
		if path.Dir(name) == "/log/quarantine" {
			copies++
		}
	}
	if copies != 1 {
		t.Errorf("%d pieces are kept, want 1", copies)
	}
}

// Events 142: a segment that somebody removed, and files that are none, are no reason not
// to read the others.
func TestMissingSegment(t *testing.T) {
	fs, segments := damagedLog(t, 120)
	gone := segmentNamed(path.Base(segments[1]))
	after := segmentNamed(path.Base(segments[2]))
	delete(fs.names, segments[1])
	fs.names["/log/00-x"+suffix] = &inode{dirty: map[int64]bool{}}
	l := openTest(t, fs, small())
	defer closeTest(t, l)
	found := readAll(t, l)
	if want := 120 - int(after.first-gone.first); len(found) != want {
		t.Errorf("%d records are read, want %d", len(found), want)
	}
}

// Events 142: copies of damaged pieces take no more room than they may; what has none is told of and counted all the same.
func TestQuarantineIsBounded(t *testing.T) {
	fs, segments := damagedLog(t, 94)
	clear(fs.names[segments[0]].data[headerPage+500 : headerPage+1200])
	q := quarantine{fs: fs, dir: "/log/quarantine", logger: slog.New(slog.DiscardHandler), most: 1000}
	s := segmentNamed(path.Base(segments[0]))
	for i := range int64(4) {
		f, err := fs.Open(segments[0], false)
		if err != nil {
			t.Fatal(err)
		}
		q.keep(f, s, damage{from: headerPage + i*400, to: headerPage + (i+1)*400, first: 0, next: 2})
	}
	names, err := fs.List("/log/quarantine")
	if err != nil || len(names) != 2 || q.lost() != 8 {
		t.Errorf("%d pieces of 400 bytes are kept, 1000 bytes may be; %d records are counted; %v", len(names), q.lost(), err)
	}
}

// Events 142: an offset that a sink has acknowledged is not used again, though the records are gone.
func TestAcknowledgedOffsetsAreGone(t *testing.T) {
	for name, lose := range map[string]func(fs *memory, segment string){
		"a segment":            func(fs *memory, segment string) { delete(fs.names, segment) },
		"the end of a segment": func(fs *memory, segment string) { clear(fs.names[segment].data[headerPage+40:]) },
	} {
		fs, segments := damagedLog(t, 50)
		fs.names["/log/cursors/slow"] = &inode{data: encodeCursor(50), dirty: map[int64]bool{}}
		for _, segment := range segments {
			lose(fs, segment)
		}
		l := openTest(t, fs, small())
		if offset, err := l.Append(t.Context(), body(50)); err != nil || offset != 50 {
			t.Fatalf("%s is gone: the next record has offset %d, %v", name, offset, err)
		}
		sink, err := l.Sink("slow")
		if err != nil {
			t.Fatal(err)
		}
		if record, err := sink.Next(t.Context()); err != nil || record.Offset != 50 {
			t.Errorf("%s is gone: the sink goes on with %d, %v", name, record.Offset, err)
		}
		closeTest(t, l)
	}
}

// Events 144: a damaged cursor has its sink begin with the oldest record, so that it gets
// some twice and none not at all.
func TestDamagedCursor(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("x"), make([]byte, cursorLength), make([]byte, 1000)} {
		fs, _ := damagedLog(t, 50)
		fs.names["/log/cursors/slow"] = &inode{data: b, dirty: map[int64]bool{}}
		l := openTest(t, fs, small())
		sink, err := l.Sink("slow")
		if err != nil {
			t.Fatal(err)
		}
		if record, err := sink.Next(t.Context()); err != nil || record.Offset != 0 {
			t.Errorf("%q: begins with %d, %v", b, record.Offset, err)
		}
		closeTest(t, l)
	}
}

// FuzzScan: whatever a segment holds, reading it ends, and gives only what has a
// checksum; offsets ascend.
func FuzzScan(f *testing.F) {
	fs, segments := damagedLog(f, 50)
	s := segmentNamed(path.Base(segments[0]))
	whole := fs.names[segments[0]].data
	f.Add(whole[headerPage:], uint64(0))
	f.Add(whole[headerPage:headerPage+700], uint64(26))
	f.Add(append(slices.Clone(whole[headerPage+8:]), whole[headerPage:]...), uint64(40))
	f.Add([]byte{}, uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, limit uint64) {
		m := newMemory()
		node := &inode{data: append(make([]byte, headerPage), data...), dirty: map[int64]bool{}}
		sc := s.scan(&memoryFile{m, node, "x"}, int64(len(node.data)))
		var last int64 = -1
		_, err := sc.scanAll(limit, func(r Record) error {
			if int64(r.Offset) <= last || limit > 0 && r.Offset >= limit {
				t.Errorf("offset %d after %d, limit %d", r.Offset, last, limit)
			}
			last = int64(r.Offset)
			if id, ok := idOf(r.Body); !ok || id != r.Offset {
				t.Errorf("offset %d holds what was never written: %q", r.Offset, r.Body)
			}
			return nil
		}, func(d damage) {
			if d.to <= d.from && d.to != sc.end || d.next < d.first {
				t.Errorf("damage %+v", d)
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzCursor: a cursor is read as it was written, or not at all.
func FuzzCursor(f *testing.F) {
	f.Add(encodeCursor(0))
	f.Add(encodeCursor(1 << 40))
	f.Add([]byte(cursorMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if next, err := decodeCursor(b); err == nil && string(encodeCursor(next)) != string(b) {
			t.Errorf("%q is %d", b, next)
		}
	})
}

// FuzzSegmentName: a name is read as it was written, or not at all.
func FuzzSegmentName(f *testing.F) {
	f.Add(newSegment(7, 8, 9, time.Time{}).name)
	f.Add("-" + suffix)
	f.Fuzz(func(t *testing.T, name string) {
		if s := segmentNamed(name); s != nil && s.name != name {
			t.Errorf("%q is %q", name, s.name)
		}
	})
}

// A body that looks like records, behind a damaged piece, is searched in bounded time and
// not taken for records.
func TestHostileBody(t *testing.T) {
	fs := newMemory()
	o := Options{MaxRecordBytes: 64 << 10, SegmentBytes: mebibyte, MaxBytes: 2 * mebibyte, Logger: small().Logger}
	l := openTest(t, fs, o)
	hostile := make([]byte, 0, 64<<10)
	for len(hostile)+recordHeader <= 64<<10 {
		hostile = append(hostile, reserve(nil, make([]byte, 0))...)
	}
	complete(hostile, seedOf(1), 1)
	if _, err := l.Append(t.Context(), hostile); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), []byte("good")); err != nil {
		t.Fatal(err)
	}
	closeTest(t, l)
	for name, node := range fs.names {
		if strings.HasSuffix(name, suffix) {
			node.data[headerPage] ^= 1
		}
	}
	l = openTest(t, fs, o)
	defer closeTest(t, l)
	r := l.Reader(0)
	if record, err := r.Next(t.Context()); err != nil || record.Offset != 1 || string(record.Body) != "good" {
		t.Errorf("%d %q: %v", record.Offset, record.Body, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
