package log

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

// Events 143: after a failed write or sync the segment ends before it, its callers get an
// error, and the next record is written to another segment without a restart.
func TestFailedWrite(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		for nth := 1; nth <= 12; nth++ {
			for _, cut := range []bool{false, true} {
				failedWrite(t, op, nth, cut)
			}
		}
	}
}

func failedWrite(t *testing.T, op string, nth int, cut bool) {
	t.Helper()
	fs, clock := newMemory(), fixedTime()
	fs.fail = failNth(op, 8+nth, syscall.EIO)
	l, err := open(fs, "/log", small(), func() time.Time { clock = clock.Add(time.Second); return clock })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sink("slow"); err != nil {
		t.Fatal(err)
	}
	var acked []uint64 // ids by offset
	failed := 0
	for id := range uint64(60) {
		offset, err := l.Append(t.Context(), body(id))
		switch {
		case errors.Is(err, syscall.EIO):
			if failed++; isWriting(l) {
				t.Fatalf("%s %d: the segment is still written after a failure", op, nth)
			}
			continue
		case err != nil:
			t.Fatal(err)
		case offset != uint64(len(acked)):
			t.Fatalf("record %d has offset %d, want %d", id, offset, len(acked))
		}
		acked = append(acked, id)
	}
	if failed > 1 { // none where it hit a spare segment
		t.Errorf("%s %d: %d records failed", op, nth, failed)
	}
	check := func(l *Log) {
		t.Helper()
		found := readAll(t, l)
		for offset, id := range acked {
			if got, ok := found[uint64(offset)]; !ok || got != id {
				t.Fatalf("%s %d: offset %d holds record %d (%t), want %d", op, nth, offset, got, ok, id)
			}
		}
		if len(found) != len(acked) {
			t.Fatalf("%s %d: %d records, want %d", op, nth, len(found), len(acked))
		}
	}
	check(l)
	closeTest(t, l)
	if cut {
		fs = fs.clone()
	}
	again := openTest(t, fs, small())
	defer closeTest(t, again)
	check(again)
}

// isWriting reports whether the log has a segment that it goes on with.
func isWriting(l *Log) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writing
}
