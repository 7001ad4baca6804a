package log

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Events 144: a sink goes on behind what it has acknowledged, also if the log was not
// closed; what it did not acknowledge comes again. Nothing is removed before all have
// passed it.
func TestSinks(t *testing.T) {
	fs := newMemory()
	l := openTest(t, fs, small())
	sinks := map[string]*Sink{}
	for _, name := range []string{"one", "two"} {
		s, err := l.Sink(name)
		if err != nil {
			t.Fatal(err)
		}
		sinks[name] = s
	}
	appendTest(t, l, 0, 400)
	sinks["one"].Ack(399)
	sinks["one"].Ack(100) // changes nothing
	sinks["one"].Ack(5000)
	if err := l.saveCursors(); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.First != 0 {
		t.Errorf("removed before the second sink has passed it: %+v", s)
	}
	sinks["two"].Ack(199)
	if err := l.saveCursors(); err != nil {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.First == 0 || s.First > 200 || s.Dropped > 0 {
		t.Errorf("both have passed 200: %+v", s)
	}
	sinks["two"].Ack(250) // is not saved
	again := openTest(t, fs.clone(), small())
	defer closeTest(t, again)
	for name, want := range map[string]uint64{"one": 400, "two": 200} {
		sink, err := again.Sink(name)
		if err != nil {
			t.Fatal(err)
		}
		if sink.Acknowledged() != want {
			t.Errorf("%s begins with %d, want %d", name, sink.Acknowledged(), want)
		}
	}
	closeTest(t, l)
}

// Events 144: a name can be had once, and be forgotten.
func TestSinkNames(t *testing.T) {
	l := openTest(t, newMemory(), small())
	for _, name := range []string{"", "../x", "A", "a.new", strings.Repeat("a", 64)} {
		if _, err := l.Sink(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	sink, err := l.Sink("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sink("a"); err == nil || !strings.Contains(err.Error(), "open already") {
		t.Errorf("a second one: %v", err)
	}
	if err := l.Forget("a"); err == nil {
		t.Error("an open one is forgotten")
	}
	if err := errors.Join(sink.Close(), l.Forget("a")); err != nil {
		t.Error(err)
	}
	if err := l.Forget("a"); err == nil {
		t.Error("it is forgotten twice")
	}
	appendTest(t, l, 0, 300)
	if sink, err = l.Sink("a"); err != nil || sink.Acknowledged() != 300 {
		t.Errorf("a new one begins with %v, %v", sink, err)
	}
	closeTest(t, l)
	if _, err := l.Sink("b"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Events 144 and 145: a cursor that cannot be written is tried again; a full disk gives it the
// room of the spare segment.
func TestCursorOnFullDisk(t *testing.T) {
	fs := newMemory()
	l := openTest(t, fs, small())
	sink, err := l.Sink("one")
	if err != nil {
		t.Fatal(err)
	}
	appendTest(t, l, 0, 400)
	sink.Ack(399)
	fs.mu.Lock()
	removed := false
	fs.fail = func(op, name string, _ int) error {
		removed = removed || op == "remove" && strings.HasSuffix(name, spareName)
		if op == "create" && !removed {
			return syscall.ENOSPC
		}
		return nil
	}
	fs.mu.Unlock()
	if err := l.saveCursors(); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.First == 0 || !removed {
		t.Errorf("nothing was removed: %+v", s)
	}
	appendTest(t, l, 400, 800)
	closeTest(t, l)
}

// Events 145: a log that has all its bytes refuses, drops the oldest, or drops the newest;
// each record is counted, and there is room again once a sink has passed some.
func TestOnFull(t *testing.T) {
	for _, test := range []struct {
		onFull OnFull
		want   error
	}{{Refuse, ErrFull}, {DropOldest, nil}, {DropNewest, ErrDropped}} {
		o := small()
		o.MaxBytes, o.OnFull = 4*o.SegmentBytes, test.onFull
		l := openTest(t, newMemory(), o)
		sink, err := l.Sink("slow")
		if err != nil {
			t.Fatal(err)
		}
		var kept, refused uint64
		for id := range uint64(1000) {
			switch offset, err := l.Append(t.Context(), body(id)); {
			case err == nil && offset != kept:
				t.Fatalf("%d: offset %d, want %d", test.onFull, offset, kept)
			case err == nil:
				kept++
			case test.want == nil || !errors.Is(err, test.want):
				t.Fatalf("%d: %v", test.onFull, err)
			default:
				refused++
			}
		}
		s := l.Stats()
		if s.Bytes > o.MaxBytes {
			t.Errorf("%d: %d bytes", test.onFull, s.Bytes)
		}
		if want := map[OnFull]uint64{Refuse: 0, DropOldest: s.First, DropNewest: refused}[test.onFull]; s.Dropped != want {
			t.Errorf("%d: %d are counted as dropped, want %d", test.onFull, s.Dropped, want)
		}
		if test.want != nil && (refused == 0 || !errors.Is(s.Err, test.want)) {
			t.Errorf("%d: %d refused, %v", test.onFull, refused, s.Err)
		}
		if record, err := sink.Next(t.Context()); err != nil || record.Offset != s.First {
			t.Errorf("%d: the sink goes on at %d, want %d: %v", test.onFull, record.Offset, s.First, err)
		}
		sink.Ack(s.Next - 1)
		if err := l.saveCursors(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), body(0)); err != nil {
			t.Errorf("%d: after the sink has passed all: %v", test.onFull, err)
		}
		if s := l.Stats(); s.Err != nil {
			t.Error(s.Err)
		}
		closeTest(t, l)
	}
}

// Events 145: a full disk is as a full log, and not the end: the log goes on once there is
// room, without being opened again, and what it had is there.
func TestFullDisk(t *testing.T) {
	for _, onFull := range []OnFull{Refuse, DropOldest, DropNewest} {
		fs, clock := newMemory(), fixedTime()
		o := small()
		o.OnFull = onFull
		l, err := open(fs, "/log", o, func() time.Time { clock = clock.Add(time.Second); return clock })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Sink("slow"); err != nil {
			t.Fatal(err)
		}
		setFail := func(f func(string, string, int) error) {
			fs.mu.Lock()
			defer fs.mu.Unlock()
			fs.fail = f
		}
		setFail(func(op, _ string, _ int) error {
			if op == "allocate" || op == "create" {
				return syscall.ENOSPC
			}
			return nil
		})
		var acked []uint64
		var failed error
		for id := range uint64(600) {
			if _, err := l.Append(t.Context(), body(id)); err != nil {
				failed = err
				continue
			}
			acked = append(acked, id)
		}
		want := map[OnFull]error{Refuse: ErrFull, DropNewest: ErrDropped}[onFull]
		if !errors.Is(failed, want) || want != nil && !errors.Is(failed, syscall.ENOSPC) {
			t.Errorf("%d: got %v", onFull, failed)
		}
		setFail(nil)
		for id := range uint64(300) {
			if _, err := l.Append(t.Context(), body(1000+id)); err != nil {
				t.Fatalf("%d: there is room again: %v", onFull, err)
			}
			acked = append(acked, 1000+id)
		}
		first := l.Stats().First
		for offset, id := range readAll(t, l) {
			if acked[offset] != id {
				t.Fatalf("%d: offset %d holds record %d, want %d", onFull, offset, id, acked[offset])
			}
		}
		if (first > 0) != (onFull == DropOldest) {
			t.Errorf("%d: the first offset is %d", onFull, first)
		}
		closeTest(t, l)
	}
}

// Events 145: records become at most MaxAge old, and KeepBytes are kept though all sinks
// have passed them.
func TestAgeAndKept(t *testing.T) {
	clock := fixedTime()
	o := small()
	o.MaxAge, o.KeepBytes = time.Hour, 3*o.SegmentBytes
	l, err := open(newMemory(), "/log", o, func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	appendTest(t, l, 0, 1000)
	if s := l.Stats(); s.Segments < 4 || s.Segments > 5 {
		t.Errorf("kept: %+v", s)
	}
	closeTest(t, l) // the test is the writing goroutine now
	clock = clock.Add(time.Hour / 2)
	l.age()
	clock = clock.Add(time.Hour + time.Minute)
	l.age()
	if s := l.Stats(); s.Segments > 2 || s.First != s.Next {
		t.Errorf("an hour and a half later: %+v", s)
	}
}

// Events 145: where the clock is set back, in a process and between two, offsets go on, nothing is removed before its time, and
// what is old by the clock then is removed when that time has come.
func TestClockSetBack(t *testing.T) {
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	start := fixedTime().Unix()
	clock.Store(start)
	o, fs := small(), newMemory()
	o.MaxAge, o.KeepBytes = time.Hour, 1<<20-1
	var l *Log
	for turn, at := range []int64{start, start - 24*3600, start - 24*3600, start} {
		clock.Store(at)
		if turn != 1 { // the first time it is set back in the process
			if l != nil {
				closeTest(t, l)
			}
			var err error
			if l, err = open(fs, "/log", o, now); err != nil {
				t.Fatal(err)
			}
		}
		from := uint64(turn) * 200 //nolint:gosec // it is small
		appendTest(t, l, from, from+200)
	}
	closeTest(t, l)
	clock.Store(start - 23*3600)
	l.age()
	l, err := open(fs, "/log", o, now)
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, l, 800)
	closeTest(t, l) // the test is the writing goroutine now
	clock.Store(start + 2*3600)
	l.age()
	l.age()
	if s := l.Stats(); s.First < 600 {
		t.Errorf("what is old is kept: %+v", s)
	}
}

// Events 140 and 145: what a log takes where nothing is said.
func TestDefaults(t *testing.T) {
	var o Options
	if err := o.setDefaults(); err != nil || o.SegmentBytes != 64<<20 || o.MaxBytes != 1<<30 || o.MaxRecordBytes != 256<<10 || o.OnFull != Refuse || o.MaxAge != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

// A log says at once what it cannot be.
func TestOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"has no room for a record of":          {SegmentBytes: 8 << 10},
		"between 1 and 1048576 are possible":   {MaxRecordBytes: 2 << 20},
		"has no room for two segments of 6710": {MaxBytes: 64 << 20},
	} {
		if _, err := open(newMemory(), "/log", o, fixedTime); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Events 143 and 145: where nothing can be written, the start says so.
func TestReadOnly(t *testing.T) {
	fs := newMemory()
	fs.fail = func(op, _ string, _ int) error {
		if slices.Contains([]string{"mkdir", "create", "write"}, op) {
			return syscall.EROFS
		}
		return nil
	}
	_, err := open(fs, "/log", small(), fixedTime)
	if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "needs a directory that the gateway can write to") {
		t.Errorf("got %v", err)
	}
}
