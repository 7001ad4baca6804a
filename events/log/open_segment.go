package log

import (
	"errors"
	"time"
)

// openSegment begins a segment: in the spare file, or in a new one.
func (l *Log) openSegment() error {
	l.removal.Lock() // nobody else renames a file to spare meanwhile
	defer l.removal.Unlock()
	name, err := l.unusedFile()
	if err != nil {
		return err
	}
	l.generation++
	s := newSegment(l.nextOffset(), l.generation, newSalt(), l.now())
	s.size, s.end = l.options.SegmentBytes, headerPage
	f, err := l.prepare(name, s)
	if err != nil {
		return errors.Join(err, l.discard(name))
	}
	if err := l.place(name, s); err != nil {
		return errors.Join(err, f.Close(), l.discard(s.name))
	}
	l.list(s)
	l.setActive(&writer{segment: s, f: f, pos: headerPage})
	return nil
}

func (l *Log) list(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments, s)
}

// prepare writes the header into a file that has its size already.
func (l *Log) prepare(name string, s *segment) (file, error) {
	f, err := l.fs.Open(l.path(name), true)
	if err != nil {
		return nil, err
	}
	header := make([]byte, headerPage)
	copy(header, s.header())
	if _, err := f.WriteAt(header, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// place gives the file its name.
func (l *Log) place(name string, s *segment) error {
	if err := l.fs.Rename(l.path(name), l.path(s.name)); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// discard removes a file in which no segment could be begun.
func (l *Log) discard(name string) error {
	if err := l.fs.Remove(l.path(name)); err != nil && !absent(err) {
		return err
	}
	return nil
}

// unusedFile is the name of a file of a segment's size that is no segment.
func (l *Log) unusedFile() (string, error) {
	if l.takeSpare() {
		return spareName, nil
	}
	return newName, l.allocate(newName)
}

// takeSpare reports whether there was a spare file, which is the caller's then.
func (l *Log) takeSpare() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := l.spare
	l.spare = false
	return had
}

func (l *Log) setSpare() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = true
}

func (l *Log) hasSpare() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spare
}

// allocate makes a file of a segment's size.
func (l *Log) allocate(name string) error {
	if err := l.discard(name); err != nil { // of a process that ended meanwhile
		return err
	}
	f, err := l.fs.Create(l.path(name))
	if err != nil {
		return err
	}
	err = f.Allocate(l.options.SegmentBytes)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, l.discard(name))
	}
	return nil
}

// makeSpare sees to a spare file. Without one the log goes on, until its segment is full.
func (l *Log) makeSpare() {
	if l.hasSpare() || l.now().Before(l.spareAt) {
		return
	}
	err := l.allocateSpare()
	if err == nil {
		l.spareAt = time.Time{}
		return
	}
	if l.spareAt.IsZero() { // the first failure of several
		l.options.Logger.Warn("events log: there is no spare segment; it is tried again", "directory", l.dir, "bytes", l.options.SegmentBytes, "error", err)
	}
	l.spareAt = l.now().Add(reopenAfter)
}

func (l *Log) allocateSpare() error {
	l.removal.Lock()
	defer l.removal.Unlock()
	if err := l.allocate(newName); err != nil {
		return err
	}
	if err := l.fs.Rename(l.path(newName), l.path(spareName)); err != nil {
		return errors.Join(err, l.discard(newName))
	}
	l.setSpare()
	return l.fs.SyncDir(l.dir)
}
