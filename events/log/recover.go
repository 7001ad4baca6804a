package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// recover finds the segments and cursors of the directory, and where the last segment
// ends. It fails only where the directory cannot be read or written at all.
func (l *Log) recover() error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names { // in the order of first offset and generation
		if s := segmentNamed(name); s != nil {
			l.segments = append(l.segments, s)
			l.generation = max(l.generation, s.generation)
			continue
		}
		if strings.HasSuffix(name, suffix) {
			l.options.Logger.Error("events log: a file has the name of no segment and is not read", "file", l.path(name))
		}
	}
	l.dropEmpty()
	for i, s := range l.segments {
		if err := l.look(s, i == len(l.segments)-1); err != nil {
			return err
		}
	}
	l.readCursors()
	if err := l.skipSeen(); err != nil {
		return err
	}
	return l.begin()
}

// dropEmpty removes segments in whose place another was begun before they had a record.
func (l *Log) dropEmpty() {
	kept := l.segments[:0]
	for i, s := range l.segments {
		if i+1 < len(l.segments) && l.segments[i+1].first == s.first {
			if err := l.fs.Remove(l.path(s.name)); err != nil {
				l.options.Logger.Warn("events log: an empty segment cannot be removed", "file", l.path(s.name), "error", err)
			}
			continue
		}
		kept = append(kept, s)
	}
	l.segments = kept
}

// look reads a segment's header, and the whole of the last one.
func (l *Log) look(s *segment, last bool) error {
	f, err := l.openSized(s, last)
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err != nil {
		l.options.Logger.Error("events log: a segment cannot be opened", "file", l.path(s.name), "error", err)
		l.next = s.first + uint64(l.options.SegmentBytes)/recordHeader //nolint:gosec // it is not negative
		return nil
	}
	if err := s.readHeader(f); err != nil {
		l.options.Logger.Error("events log: a segment's header is damaged; its records are read by its name", "file", l.path(s.name), "error", fmt.Sprint(err))
	}
	if !last {
		return f.Close()
	}
	l.lookAtLast(s, f)
	return nil
}

func (l *Log) openSized(s *segment, write bool) (file, error) {
	f, err := l.fs.Open(l.path(s.name), write)
	if err != nil {
		return nil, err
	}
	if s.size, err = f.Size(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.end = s.size
	return f, nil
}

// lookAtLast reads the last segment to its end, and goes on writing there.
func (l *Log) lookAtLast(s *segment, f file) {
	sc := s.scan(f, s.size)
	each := func(Record) error { return nil }
	searched, _ := sc.scanAll(0, each, func(d damage) { l.aside.keep(f, s, d) }) // each returns no error
	l.next, s.end = sc.next, sc.pos
	if sc.unreadable > sc.pos {
		searched = false // there may be records that cannot be read
	}
	// Readers shall see what is on disk only, and may see all of this.
	if err := f.Sync(); err != nil {
		l.options.Logger.Error("events log: the last segment cannot be synced; another is begun", "file", l.path(s.name), "error", err)
		searched = false
	}
	if !searched || s.size < l.options.SegmentBytes {
		l.leave(s, f, searched)
		return
	}
	if torn(f, sc.pos, s.size, sc.next) {
		l.options.Logger.Warn("events log: the last record was not written whole; it was never acknowledged, and the log ends before it", "file", l.path(s.name), "at", sc.pos, "offset", sc.next)
	}
	l.setActive(&writer{segment: s, f: f, pos: sc.pos})
}

// leave ends the segment where it is read to. What cannot be told apart behind it keeps
// its offsets.
func (l *Log) leave(s *segment, f file, searched bool) {
	if !searched {
		lost := damage{from: s.end, to: s.size, first: l.next}
		lost.next = l.next + uint64(s.size-s.end)/recordHeader //nolint:gosec // it is not negative
		l.aside.keep(f, s, lost)
		l.next = lost.next
	}
	if err := f.Close(); err != nil {
		l.options.Logger.Warn("events log: a segment cannot be closed", "file", l.path(s.name), "error", err)
	}
}

// torn reports whether the record of the next offset begins there.
func torn(f file, pos, end int64, next uint64) bool {
	sc := scanner{f: f, end: end}
	head := sc.bytes(pos, recordHeader)
	return head != nil && binary.LittleEndian.Uint64(head[8:]) == next && binary.LittleEndian.Uint64(head) != 0
}

// skipSeen leaves out offsets that a sink has acknowledged and that are gone, so that no
// other record gets them.
func (l *Log) skipSeen() error {
	var seen uint64
	for _, c := range l.sinks {
		seen = max(seen, c.saved)
	}
	if seen <= l.next {
		return nil
	}
	if len(l.segments) > 0 {
		l.options.Logger.Error("events log: records that a sink has acknowledged are gone; their offsets are not used again", "directory", l.dir, "first", l.next, "next", seen)
	}
	l.next = seen
	if l.active != nil {
		err := l.active.f.Close()
		l.setActive(nil)
		return err
	}
	return nil
}

// begin sees to a segment and a spare one. A full disk is no reason not to start: Append
// says so, and tries again.
func (l *Log) begin() error {
	if names, err := l.fs.List(l.dir); err == nil {
		for _, name := range names {
			l.adoptSpare(name)
		}
	}
	if l.active == nil {
		err := l.writable(recordHeader)
		if err != nil && !outOfRoom(err) && len(l.segments) == 0 {
			return err // nothing was ever written here
		}
		l.stats.Err = err
	}
	l.makeSpare()
	return nil
}

// adoptSpare keeps a spare file of the right size, and removes another.
func (l *Log) adoptSpare(name string) {
	if name != spareName {
		return
	}
	f, err := l.fs.Open(l.path(name), false)
	if err == nil {
		var size int64
		size, err = f.Size()
		_ = f.Close() // only read
		if err == nil && size == l.options.SegmentBytes {
			l.setSpare()
			return
		}
	}
	if err := l.discard(name); err != nil {
		l.options.Logger.Warn("events log: a spare segment cannot be removed", "file", l.path(name), "error", err)
	}
}
