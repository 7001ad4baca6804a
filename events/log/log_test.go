package log

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// small are options by which a test fills several segments.
func small() Options {
	return Options{SegmentBytes: 16 << 10, MaxBytes: 1 << 20, MaxRecordBytes: 4 << 10, Logger: slog.New(slog.DiscardHandler)}
}

func openTest(t testing.TB, fs filesystem, o Options) *Log {
	t.Helper()
	l, err := open(fs, "/log", o, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeTest(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// body is the content of the id-th record: its length and bytes come of the id.
func body(id uint64) []byte {
	random := rand.New(rand.NewPCG(id, 7))
	b := binary.BigEndian.AppendUint64(nil, id)
	for range random.IntN(300) {
		b = append(b, byte(random.Uint32()))
	}
	return b
}

// idOf is the id of a record's body; false if it is no such body.
func idOf(b []byte) (uint64, bool) {
	if len(b) < 8 {
		return 0, false
	}
	id := binary.BigEndian.Uint64(b)
	return id, slices.Equal(b, body(id))
}

func appendTest(t testing.TB, l *Log, from, to uint64) {
	t.Helper()
	for id := from; id < to; id++ {
		if _, err := l.Append(t.Context(), body(id)); err != nil {
			t.Fatalf("record %d: %v", id, err)
		}
	}
}

// readAll returns the ids of all records of a log, by their offsets.
func readAll(t testing.TB, l *Log) map[uint64]uint64 {
	t.Helper()
	r := l.Reader(0)
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	found, last := map[uint64]uint64{}, int64(-1)
	for {
		record, err := r.Next(ended)
		if errors.Is(err, context.Canceled) || errors.Is(err, ErrClosed) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		id, ok := idOf(record.Body)
		if !ok {
			t.Fatalf("offset %d holds what was never appended: %q", record.Offset, record.Body)
		}
		if int64(record.Offset) <= last {
			t.Fatalf("offset %d comes after %d", record.Offset, last)
		}
		last = int64(record.Offset)
		found[record.Offset] = id
	}
}

func wantAll(t testing.TB, l *Log, n uint64) {
	t.Helper()
	found := readAll(t, l)
	for id := range n {
		if got, ok := found[id]; !ok || got != id {
			t.Fatalf("offset %d holds record %d (%t), of %d records", id, got, ok, len(found))
		}
	}
	if uint64(len(found)) != n {
		t.Fatalf("there are %d records, want %d", len(found), n)
	}
}

// Events 140 and 141: what is appended is read again, in order, over segments, by other
// readers, and after the log was closed.
func TestAppendAndRead(t *testing.T) {
	for name, fs := range map[string]func() (filesystem, string){
		"memory": func() (filesystem, string) { return newMemory(), "/log" },
		"disk":   func() (filesystem, string) { return disk{}, t.TempDir() + "/a/b" },
	} {
		t.Run(name, func(t *testing.T) {
			fs, dir := fs()
			const n = 200
			for round := range uint64(3) {
				l, err := open(fs, dir, small(), time.Now)
				if err != nil {
					t.Fatal(err)
				}
				wantAll(t, l, round*n)
				if round == 0 {
					if _, err := l.Sink("slow"); err != nil { // holds everything
						t.Fatal(err)
					}
				}
				appendTest(t, l, round*n, (round+1)*n)
				wantAll(t, l, (round+1)*n)
				if s := l.Stats(); s.Segments < 2 || s.Next != (round+1)*n || s.First != 0 || s.Damaged > 0 || s.Err != nil {
					t.Errorf("stats: %+v", s)
				}
				closeTest(t, l)
			}
		})
	}
}

// Events 141: those who wait at a time are written together, and each gets its own
// offset.
func TestGroupCommit(t *testing.T) {
	fs := newMemory()
	l := openTest(t, fs, small())
	if _, err := l.Sink("slow"); err != nil {
		t.Fatal(err)
	}
	held, release := holdSync(fs)
	const callers = 128
	results := make(chan error, callers)
	call := func(id uint64) {
		offset, err := l.Append(t.Context(), body(id))
		if err == nil && offset == 0 != (id == 0) {
			err = fmt.Errorf("record %d has offset %d", id, offset)
		}
		results <- err
	}
	go call(0)
	<-held
	fs.mu.Lock()
	before := fs.counts["sync"]
	fs.mu.Unlock()
	for id := range uint64(callers - 1) {
		go call(id + 1)
	}
	poll.Until(t, "the records to wait", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.filling.n == callers-1
	})
	close(release)
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	closeTest(t, l)
	// One for all, one where a segment ended, and some for segments and cursors.
	if syncs := fs.counts["sync"] - before; syncs > 12 {
		t.Errorf("%d syncs for %d records that waited together", syncs, callers-1)
	}
	again := openTest(t, fs, small())
	defer closeTest(t, again)
	if found := readAll(t, again); len(found) != callers {
		t.Errorf("%d records, want %d", len(found), callers)
	}
}

// holdSync lets the next sync begin, and end when release is closed.
func holdSync(fs *memory) (held, release chan struct{}) {
	held, release = make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.fail = func(op, _ string, _ int) error {
		if op == "sync" {
			once.Do(func() {
				close(held)
				fs.mu.Unlock()
				<-release
				fs.mu.Lock()
			})
		}
		return nil
	}
	return held, release
}

// Events 141: a caller leaves when its context ends, whether it waits for the disk or for
// room in the queue; the queue is bounded by its records and their bytes.
func TestAppendLeaves(t *testing.T) {
	for name, test := range map[string]struct{ bytes, room int }{
		"by records": {0, maxBatchRecords},
		"by bytes":   {4 << 10, maxBatchBytes / recordSize(4<<10)},
	} {
		t.Run(name, func(t *testing.T) { appendLeaves(t, make([]byte, test.bytes), test.room) })
	}
}

func appendLeaves(t *testing.T, body []byte, room int) {
	t.Helper()
	fs := newMemory()
	l := openTest(t, fs, small())
	held, release := holdSync(fs) // a disk that does not answer
	ctx, cancel := context.WithCancel(t.Context())
	callers := room + 100
	results := make(chan error, callers+1)
	append1 := func() {
		_, err := l.Append(ctx, body)
		results <- err
	}
	go append1()
	<-held
	for range callers {
		go append1()
	}
	poll.Until(t, "the records to wait", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.filling.n == room && l.filling.full != nil
	})
	cancel()
	for range callers + 1 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	close(release)
	closeTest(t, l)
	if _, err := l.Append(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestAppendTooLarge(t *testing.T) {
	l := openTest(t, newMemory(), small())
	defer closeTest(t, l)
	_, err := l.Append(t.Context(), make([]byte, 4<<10+1))
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "4097 bytes, 4096 are the most") {
		t.Errorf("got %v", err)
	}
	for _, n := range []int{0, 1, 4 << 10} {
		if _, err := l.Append(t.Context(), make([]byte, n)); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// Events 140: bytes of an earlier use of a file are never taken for a record.
func TestRecycledFile(t *testing.T) {
	fs := newMemory()
	l := openTest(t, fs, small())
	sink, err := l.Sink("fast")
	if err != nil {
		t.Fatal(err)
	}
	// Records of one size, so that those of an old use begin where new ones do.
	for i := range uint64(2000) {
		if _, err := l.Append(t.Context(), binary.BigEndian.AppendUint64(nil, i)); err != nil {
			t.Fatal(err)
		}
		sink.Ack(i)
		if i%100 == 0 {
			if err := l.saveCursors(); err != nil {
				t.Fatal(err)
			}
		}
		if i%37 != 0 {
			continue
		}
		closeTest(t, l)
		l = openTest(t, fs, small())
		if s := l.Stats(); s.Next != i+1 || s.Damaged > 0 {
			t.Fatalf("after %d records: %+v", i+1, s)
		}
		if sink, err = l.Sink("fast"); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.Stats(); s.First == 0 || s.Segments > 3 {
		t.Errorf("nothing was removed: %+v", s)
	}
	if n := fs.counts["allocate"]; n > 8 {
		t.Errorf("%d files were allocated; passed segments should be used again", n)
	}
	closeTest(t, l)
}

// Events 140: the record of another segment is none of this one, though it stands where the next one belongs and has
// its offset: what a disk gives back after a crash may be of any file.
func TestRecordsOfAnotherFile(t *testing.T) {
	files := make([]*memory, 2)
	for i := range files {
		files[i] = newMemory()
		l := openTest(t, files[i], small())
		for n := range uint64(10 + 10*i) { //nolint:gosec // it is small
			if _, err := l.Append(t.Context(), binary.BigEndian.AppendUint64(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
		closeTest(t, l)
	}
	data := func(fs *memory) []byte {
		for name, node := range fs.names {
			if strings.HasSuffix(name, suffix) {
				return node.data
			}
		}
		t.Fatal("there is no segment")
		return nil
	}
	from := headerPage + 10*recordSize(8)
	copy(data(files[0])[from:], data(files[1])[from:])
	l := openTest(t, files[0], small())
	defer closeTest(t, l)
	if s := l.Stats(); s.Next != 10 {
		t.Errorf("of a log of 10 records %d are read", s.Next)
	}
}

// A reader waits for what is not there yet, and sees it once it is durable.
func TestReaderFollows(t *testing.T) {
	l := openTest(t, newMemory(), small())
	const n = 1000
	results := make(chan error, 4)
	for i := range 4 {
		go func() {
			r := l.Reader(uint64(i * 10))
			for next := uint64(i * 10); next < n; next++ {
				record, err := r.Next(t.Context())
				if err == nil {
					if id, ok := idOf(record.Body); !ok || id != next || record.Offset != next {
						err = fmt.Errorf("offset %d holds %d (%t), want %d", record.Offset, id, ok, next)
					}
				}
				if err != nil {
					results <- err
					return
				}
			}
			results <- r.Close()
		}()
	}
	if _, err := l.Sink("slow"); err != nil {
		t.Fatal(err)
	}
	appendTest(t, l, 0, n)
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	r := l.Reader(n)
	go func() {
		_, err := r.Next(t.Context())
		results <- err
	}()
	closeTest(t, l)
	if err := <-results; !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed log: %v", err)
	}
}

func fixedTime() time.Time { return time.Unix(1_800_000_000, 0) }
