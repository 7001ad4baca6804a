package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// Events 143 and 144: what the log has made, renamed and removed in its folders is durable when it goes on: segments,
// those that are kept to be used again, and cursors.
func TestFoldersAreSynced(t *testing.T) {
	fs := newMemory()
	l := openTest(t, fs, small())
	sink, err := l.Sink("one")
	if err != nil {
		t.Fatal(err)
	}
	var acknowledged uint64
	settled := func(after string) {
		t.Helper()
		poll.Until(t, "a spare segment", l.hasSpare)
		l.removal.Lock() // whoever makes or removes one has done so
		defer l.removal.Unlock()
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if len(fs.changes) > 0 {
			t.Errorf("%s: %d changes of folders are not synced, the first of %q", after, len(fs.changes), fs.changes[0].name)
		}
	}
	for round := range uint64(4) {
		appendTest(t, l, acknowledged, acknowledged+200)
		acknowledged += 200
		for _, to := range []uint64{acknowledged - 150, acknowledged - 1} { // within a segment, and over some
			sink.Ack(to)
			settled("before that")
			if round == 2 && l.takeSpare() { // a segment that is passed takes its place
				if err := errors.Join(fs.Remove("/log/"+spareName), fs.SyncDir("/log")); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.saveCursors(); err != nil {
				t.Fatal(err)
			}
			settled(fmt.Sprint("round ", round, ", ", to, " is acknowledged"))
		}
	}
	closeTest(t, l)
	if fs.counts["remove"] == 0 || l.Stats().First == 0 {
		t.Error("no segment was removed")
	}
}

// Events 144: whichever call of the file system the power is cut at while a cursor is written, it is what it was, or what
// it becomes.
func TestCursorIsReplacedWhole(t *testing.T) {
	for point := 1; ; point++ {
		fs := newMemory()
		l := openTest(t, fs, small())
		sink, err := l.Sink("one")
		if err != nil {
			t.Fatal(err)
		}
		appendTest(t, l, 0, 20)
		sink.Ack(4)
		if err := l.saveCursors(); err != nil {
			t.Fatal(err)
		}
		sink.Ack(9)
		fs.mu.Lock()
		fs.crashAt = fs.calls + point
		fs.mu.Unlock()
		whole := l.saveCursors() == nil
		fs.mu.Lock()
		fs.crashAt = 1
		fs.mu.Unlock()
		_ = l.Close() // the machine is off
		for seed := range uint64(8) {
			again := openTest(t, fs.cut(rand.New(rand.NewPCG(seed, 1))), small())
			if next, ok := again.Cursor("one"); !ok || next != 5 && next != 10 || whole && next != 10 {
				t.Errorf("call %d: the sink goes on at %d (%t), saved: %t", point, next, ok, whole)
			}
			closeTest(t, again)
		}
		if whole {
			return
		}
	}
}

// Events 144: what a sink has acknowledged is saved within a tenth of a second, and where that fails a second later.
func TestCursorIsSavedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newMemory()
		l := openTest(t, fs, small())
		defer closeTest(t, l)
		sink, err := l.Sink("one")
		if err != nil {
			t.Fatal(err)
		}
		appendTest(t, l, 0, 20)
		saved := func() uint64 {
			synctest.Wait()
			next, err := decodeCursor(fs.clone().names["/log/cursors/one"].data)
			if err != nil {
				t.Error(err)
			}
			return next
		}
		sink.Ack(4)
		time.Sleep(100 * time.Millisecond)
		if next := saved(); next != 5 {
			t.Errorf("a tenth of a second later the cursor is at %d", next)
		}
		fs.mu.Lock()
		fs.fail = func(op, name string, _ int) error {
			if op == "write" && strings.HasSuffix(name, unsaved) {
				return syscall.EIO
			}
			return nil
		}
		fs.mu.Unlock()
		sink.Ack(9)
		time.Sleep(100 * time.Millisecond)
		if next := saved(); next != 5 {
			t.Errorf("after a failure the cursor is at %d", next)
		}
		fs.mu.Lock()
		fs.fail = nil
		fs.mu.Unlock()
		time.Sleep(time.Second)
		if next := saved(); next != 10 {
			t.Errorf("a second after a failure the cursor is at %d", next)
		}
	})
}

// Events 145: a segment that a sink has passed is kept until that is durable: after a crash the sink asks for it again.
func TestRemovedWhenDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openTest(t, newMemory(), small())
		defer closeTest(t, l)
		sink, err := l.Sink("one")
		if err != nil {
			t.Fatal(err)
		}
		appendTest(t, l, 0, 300)
		sink.Ack(299)
		appendTest(t, l, 300, 500) // begins other segments
		if first := l.Stats().First; first != 0 {
			t.Errorf("the log begins at %d while the cursor on disk is at 0", first)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if first := l.Stats().First; first == 0 {
			t.Error("nothing was removed")
		}
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
}
