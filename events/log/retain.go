package log

import (
	"fmt"
)

// makeRoom sees to room for one segment more within MaxBytes: first of what every sink
// has passed, then as OnFull says.
func (l *Log) makeRoom() error {
	l.removePassed()
	for l.bytes()+l.options.SegmentBytes > l.options.MaxBytes {
		if l.options.OnFull == DropOldest && l.dropOldest() {
			continue
		}
		err := fmt.Errorf("%w: its segments have %d bytes, of %d at most, and wait for sinks", ErrFull, l.bytes(), l.options.MaxBytes)
		if l.options.OnFull == DropNewest {
			err = fmt.Errorf("%w: %w", ErrDropped, err)
		}
		return err
	}
	return nil
}

func (l *Log) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytesLocked()
}

func (l *Log) bytesLocked() (sum int64) {
	for _, s := range l.segments {
		sum += s.size
	}
	return sum
}

// removePassed removes the segments that every sink has passed, but for KeepBytes of them.
func (l *Log) removePassed() {
	l.removal.Lock()
	defer l.removal.Unlock()
	for l.removeIf(func(next uint64, bytes int64) bool {
		return len(l.segments) > 1 && next <= l.passed() && bytes-l.options.SegmentBytes >= l.options.KeepBytes
	}) {
	}
}

// passed is the offset below which every sink is done, durably. The caller holds mu.
func (l *Log) passed() uint64 {
	least := l.next
	for _, c := range l.sinks {
		least = min(least, c.saved)
	}
	return least
}

// dropOldest removes the oldest segment, whoever waits for it, and reports whether there
// was one. Only the writing goroutine calls it, when no segment has room.
func (l *Log) dropOldest() bool {
	l.removal.Lock()
	defer l.removal.Unlock()
	if l.active != nil && l.count() == 1 {
		_ = l.active.f.Close() // all of it is synced
		l.setActive(nil)
	}
	return l.removeIf(func(uint64, int64) bool { return true })
}

func (l *Log) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.segments)
}

// age removes segments whose youngest record is older than MaxAge.
func (l *Log) age() {
	l.removeAged()
	if l.active == nil || l.active.pos == headerPage || l.now().Sub(l.active.created) < l.options.MaxAge/4 || !l.hasSpare() {
		return
	}
	if l.writable(l.options.SegmentBytes) == nil { // another, so that this one can become old
		l.makeSpare()
	}
}

func (l *Log) removeAged() {
	l.removal.Lock()
	defer l.removal.Unlock()
	for l.removeIf(func(uint64, int64) bool {
		return len(l.segments) > 1 && !l.segments[1].created.IsZero() && l.now().Sub(l.segments[1].created) > l.options.MaxAge
	}) {
	}
}

// removeIf removes the oldest segment, unless it is being written, if the condition holds
// for the first offset behind it and the size of all segments. It calls it with mu held,
// and is called with removal held.
func (l *Log) removeIf(condition func(next uint64, bytes int64) bool) bool {
	s, shared := l.unlistOldest(condition)
	if s == nil {
		return false
	}
	if err := l.removeFile(s, shared); err != nil {
		l.options.Logger.Warn("events log: a segment cannot be removed", "file", l.path(s.name), "error", err)
	}
	return true
}

// unlistOldest takes the oldest segment from the list. shared is true if readers have it
// open.
func (l *Log) unlistOldest(condition func(next uint64, bytes int64) bool) (s *segment, shared bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return nil, false
	}
	s, next := l.segments[0], l.next
	switch {
	case len(l.segments) > 1:
		next = l.segments[1].first
	case l.writing:
		return nil, false
	}
	if !condition(next, l.bytesLocked()) {
		return nil, false
	}
	l.stats.Dropped += next - min(next, max(s.first, l.passed()))
	l.segments = l.segments[1:]
	return s, s.readers > 0
}

// removeFile removes a segment's file, or keeps it as the spare one: a file that was
// written before needs no room, and less work of the disk.
func (l *Log) removeFile(s *segment, shared bool) error {
	name := l.path(s.name)
	if shared || l.hasSpare() || !l.hasSize(name) {
		if err := l.fs.Remove(name); err != nil {
			return err
		}
		return l.fs.SyncDir(l.dir)
	}
	if err := l.fs.Rename(name, l.path(spareName)); err != nil {
		return err
	}
	l.setSpare()
	return l.fs.SyncDir(l.dir)
}

// hasSize reports whether a file is as large as a segment: one whose write failed was cut.
func (l *Log) hasSize(name string) bool {
	f, err := l.fs.Open(name, false)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // only read
	size, err := f.Size()
	return err == nil && size == l.options.SegmentBytes
}
