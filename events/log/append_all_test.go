package log

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestAppendAllBehindFailure: Events 191: records that are appended together fill several batches, and whichever write or
// sync of them fails, those are in the log that stand before the first that was not acknowledged, and none behind it.
func TestAppendAllBehindFailure(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		for batch := range 3 {
			if n := appendAllFails(t, op, batch+1); n != batch*maxBatchRecords {
				t.Errorf("the %s of batch %d fails, and %d records are acknowledged", op, batch, n)
			}
		}
	}
}

// appendAllFails appends three batches of records at once, has an operation fail, and returns how many records were acknowledged.
func appendAllFails(t *testing.T, op string, nth int) (acknowledged int) {
	t.Helper()
	fs := newMemory()
	o := small()
	o.SegmentBytes, o.MaxBytes = mebibyte, 8*mebibyte
	l := openTest(t, fs, o)
	defer closeTest(t, l)
	if _, err := l.Sink("slow"); err != nil {
		t.Fatal(err)
	}
	held, release := holdSync(fs)
	results := make(chan int, 1)
	go func() {
		n, err := l.AppendAll(t.Context(), [][]byte{body(0)})
		if err != nil {
			t.Error(err)
		}
		results <- n
	}()
	<-held // what comes now waits in the queue
	bodies := make([][]byte, 2*maxBatchRecords+100)
	for i := range bodies {
		bodies[i] = binary.BigEndian.AppendUint64(nil, uint64(i)) //nolint:gosec // it is not negative
	}
	go func() {
		n, err := l.AppendAll(t.Context(), bodies)
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v", err)
		}
		results <- n
	}()
	poll.Until(t, "a batch to be full", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.filling.n == maxBatchRecords
	})
	fs.mu.Lock()
	fs.fail = failNth(op, fs.counts[op]+nth, syscall.EIO)
	fs.mu.Unlock()
	close(release)
	<-results
	acknowledged = <-results
	if next := l.Stats().Next; next != uint64(acknowledged)+1 { //nolint:gosec // it is not negative
		t.Errorf("%d records are in the log, of which %d were acknowledged", next-1, acknowledged)
	}
	r := l.Reader(1)
	for i := range acknowledged {
		if record, err := r.Next(t.Context()); err != nil || !bytes.Equal(record.Body, bodies[i]) {
			t.Fatalf("record %d is %x, %v", i, record.Body, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return acknowledged
}

// TestAppendAllTogether: Events 141: records that are appended together have one sync, as far as they have room in a batch.
func TestAppendAllTogether(t *testing.T) {
	fs := newMemory()
	l := openTest(t, fs, small())
	defer closeTest(t, l)
	syncs := func() int {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		return fs.counts["sync"]
	}
	before := syncs()
	bodies := [][]byte{body(0), body(1), body(2)}
	if n, err := l.AppendAll(t.Context(), bodies); n != 3 || err != nil || syncs() != before+1 {
		t.Errorf("%d records with %d syncs, %v", n, syncs()-before, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := l.AppendAll(ended, bodies); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("of a caller who is gone: %d records, %v", n, err)
	}
	large := make([]byte, 4<<10+1)
	if n, err := l.AppendAll(t.Context(), [][]byte{body(3), large, body(5)}); n != 1 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("before one that is too large: %d records, %v", n, err)
	}
	wantAll(t, l, 4)
}
