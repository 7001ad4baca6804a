package log

import (
	"errors"
	"fmt"
	"io/fs"
)

// Report is what Inspect found.
type Report struct {
	Segments int
	Records  uint64
	First    uint64 // offset of the oldest record
	Next     uint64 // offset behind the last one
	// Problems has a line for each damaged piece, header and cursor.
	Problems []string
	// Sinks are the offsets that sinks go on with, by their names.
	Sinks map[string]uint64
}

// Inspect reads all of a log's directory and changes nothing, not even a lock: a log that
// is written meanwhile may be read to any of its last records. It calls each for every
// whole record, in order, and stops at its first error.
func Inspect(dir string, each func(Record) error) (Report, error) {
	return inspect(disk{}, dir, each)
}

func inspect(fs filesystem, dir string, each func(Record) error) (Report, error) {
	l := &Log{dir: dir, fs: fs}
	names, err := fs.List(dir)
	if err != nil {
		return Report{}, err
	}
	for _, name := range names {
		if s := segmentNamed(name); s != nil {
			l.segments = append(l.segments, s)
		}
	}
	if len(l.segments) == 0 {
		return Report{}, fmt.Errorf("%s has no segments; is it the directory of a log?", dir)
	}
	report := Report{Segments: len(l.segments), First: l.segments[0].first, Sinks: map[string]uint64{}}
	for i, s := range l.segments {
		limit := uint64(0)
		if i+1 < len(l.segments) {
			limit = l.segments[i+1].first
		}
		if limit == s.first && i+1 < len(l.segments) {
			continue // another was begun in its place
		}
		if err := l.inspectSegment(s, limit, each, &report); err != nil {
			return report, err
		}
	}
	l.inspectCursors(&report)
	return report, nil
}

func (l *Log) inspectSegment(s *segment, limit uint64, each func(Record) error, report *Report) error {
	problem := func(format string, args ...any) {
		report.Problems = append(report.Problems, l.path(s.name)+": "+fmt.Sprintf(format, args...))
	}
	f, err := l.openSized(s, false)
	if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
		return nil
	}
	if err != nil {
		problem("cannot be opened: %v", err)
		return nil
	}
	defer func() { _ = f.Close() }() // only read
	if err := s.readHeader(f); err != nil {
		problem("%v", err)
	}
	sc := s.scan(f, s.size)
	_, err = sc.scanAll(limit, func(r Record) error {
		report.Records++
		return each(r)
	}, func(d damage) {
		problem("bytes %d to %d are damaged; they had the records %d to %d", d.from, d.to, d.first, d.next-1)
	})
	report.Next = sc.next
	return err
}

func (l *Log) inspectCursors(report *Report) {
	names, err := l.fs.List(l.path(cursorsFolder))
	if err != nil {
		report.Problems = append(report.Problems, fmt.Sprintf("the cursors cannot be read: %v", err))
	}
	for _, name := range names {
		if !sinkName(name) {
			continue
		}
		next, err := l.readCursor(name)
		if err != nil {
			report.Problems = append(report.Problems, fmt.Sprintf("%s: %v", l.cursorPath(name), err))
			continue
		}
		report.Sinks[name] = next
	}
}
