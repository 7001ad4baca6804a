package log

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestReadyAgain: Events 145, 159: once a full log has room again Stats says so, though nobody appends: who is not ready
// gets no calls. It has room for what was refused, not for less.
func TestReadyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := small()
		o.MaxBytes = 4 * o.SegmentBytes
		l := openTest(t, newMemory(), o)
		defer closeTest(t, l)
		sink, err := l.Sink("slow")
		if err != nil {
			t.Fatal(err)
		}
		for id := uint64(0); err == nil; id++ {
			_, err = l.Append(t.Context(), body(id))
		}
		if !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := l.Stats().Err; !errors.Is(err, ErrFull) {
			t.Fatalf("nothing has changed, but it says %v", err)
		}
		sink.Ack(l.Stats().Next - 1)
		time.Sleep(2 * time.Second)
		if err := l.Stats().Err; err != nil {
			t.Error(err)
		}
		appendTest(t, l, 0, 3)
	})
}
