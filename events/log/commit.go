package log

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

// reopenAfter is how long after a failure no other segment is opened.
const reopenAfter = 250 * time.Millisecond

// run writes batches until the log is closed.
func (l *Log) run() {
	defer l.wakeReaders()
	defer close(l.done)
	var ticks <-chan time.Time
	if l.options.MaxAge > 0 {
		ticker := time.NewTicker(min(max(l.options.MaxAge/8, time.Second), time.Minute))
		defer ticker.Stop()
		ticks = ticker.C
	}
	again := time.NewTimer(0)
	defer again.Stop()
	<-again.C
	for {
		select {
		case <-again.C:
			if !l.tryAgain() {
				again.Reset(tryAfter)
			}
			continue
		case <-l.wake:
		case <-ticks:
			l.age()
			continue
		}
		runtime.Gosched() // whoever is ready to append comes along
		b, last := l.take()
		if b != nil {
			if l.commit(b); b.err != nil {
				again.Reset(tryAfter)
			}
		}
		if last {
			return
		}
		l.makeSpare()
	}
}

// tryAfter is how long after a failure it is tried whether there is room again: who asks Stats whether the log
// can be written may append nothing before it says so.
const tryAfter = time.Second

// tryAgain reports whether what was refused has room now, or something was written since.
func (l *Log) tryAgain() bool {
	l.mu.Lock()
	failed := l.stats.Err != nil
	l.mu.Unlock()
	if !failed {
		return true
	}
	if l.writable(l.refused) != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Err = nil
	return true
}

// commit writes and syncs a batch: at once, or in parts where a segment ends.
func (l *Log) commit(b *batch) {
	records := b.records
	b.first = l.nextOffset()
	for len(records) > 0 {
		n, size, err := l.commitPart(records)
		if err != nil {
			b.err = err
			break
		}
		b.good += n
		records = records[size:]
	}
	l.finish(b)
}

// commitPart writes as many records as have room in one segment.
func (l *Log) commitPart(records []byte) (n, size int, err error) {
	if err := l.writable(int64(sizeOf(records))); err != nil {
		l.refused = int64(sizeOf(records))
		return 0, 0, err
	}
	n, size = fit(records, l.active.room())
	complete(records[:size], l.active.seed, l.nextOffset())
	if err := l.active.write(records[:size], l.options.Synced); err != nil {
		l.options.Logger.Error("events log: a write failed; the segment ends before it, and another is begun",
			"file", l.path(l.active.name), "at", l.active.pos, "error", err)
		l.seal()
		return 0, 0, l.refusal(err)
	}
	l.publish(n)
	return n, size, nil
}

// writable sees to a segment with room for a record of the size.
func (l *Log) writable(size int64) error {
	if l.active != nil && l.active.room() >= size {
		return nil
	}
	if err := l.makeRoom(); err != nil {
		return err
	}
	if l.now().Before(l.retryAt) {
		return l.openErr
	}
	if l.active != nil {
		if err := l.active.f.Close(); err != nil { // all of it is synced
			l.options.Logger.Warn("events log: a full segment cannot be closed", "file", l.path(l.active.name), "error", err)
		}
		l.setActive(nil)
	}
	err := l.openSegment()
	if outOfRoom(err) && l.options.OnFull == DropOldest && l.dropOldest() {
		err = l.openSegment()
	}
	if err != nil {
		if !l.now().Before(l.tellAt) {
			l.options.Logger.Error("events log: no segment can be begun", "directory", l.dir, "error", err)
			l.tellAt = l.now().Add(time.Minute)
		}
		l.openErr, l.retryAt = l.refusal(err), l.now().Add(reopenAfter)
		return l.openErr
	}
	return nil
}

// refusal is what callers are told of an error.
func (l *Log) refusal(err error) error {
	switch {
	case !outOfRoom(err):
		return fmt.Errorf("events log: %w", err)
	case l.options.OnFull == DropNewest:
		return fmt.Errorf("%w: %w: %w", ErrDropped, ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// seal ends the active segment after a failed write, at the last record that is known to
// be durable. The file is neither written nor synced again: the system may have marked
// pages as written that are not.
func (l *Log) seal() {
	failed := l.active
	l.setActive(nil)
	if failed.first < l.nextOffset() {
		if err := errors.Join(failed.f.Truncate(failed.pos), failed.f.Close()); err != nil {
			l.options.Logger.Warn("events log: a segment cannot be cut where it ends; its name and that of the next say so", "file", l.path(failed.name), "error", err)
		}
		return
	}
	// It has no record. Should it stay, its generation tells that it counts for nothing.
	l.unlist(failed.segment)
	if err := errors.Join(failed.f.Close(), l.fs.Remove(l.path(failed.name)), l.fs.SyncDir(l.dir)); err != nil {
		l.options.Logger.Warn("events log: an empty segment cannot be removed", "file", l.path(failed.name), "error", err)
	}
}

// setActive changes the segment that is written. Only the writing goroutine calls it.
func (l *Log) setActive(w *writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active, l.writing = w, w != nil
	if w != nil {
		w.end = w.pos
	}
}

func (l *Log) unlist(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, listed := range l.segments {
		if listed == s {
			l.segments = append(l.segments[:i:i], l.segments[i+1:]...)
		}
	}
}

func (l *Log) nextOffset() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// publish shows readers n records more.
func (l *Log) publish(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next += uint64(n) //nolint:gosec // it is not negative
	l.active.end = l.active.pos
	l.announce()
}

// announce wakes the readers that wait. The caller holds mu.
func (l *Log) announce() {
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *Log) wakeReaders() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.announce()
}
