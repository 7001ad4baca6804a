package log

import (
	"errors"
	"fmt"
	"regexp"
)

// sinkNames is what sinks may be called: their cursors are files of that name.
var sinkNames = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func sinkName(name string) bool { return sinkNames.MatchString(name) }

// Sink reads the log for one receiver. What it has acknowledged is remembered, and the
// next Sink of that name goes on behind it; a crash takes a tenth of a second of that
// back. What it has not acknowledged stays in the log, but for Options.OnFull and MaxAge.
type Sink struct {
	*Reader
	cursor *cursor
}

// Sink returns the sink of a name: lower-case letters, digits, hyphens and underscores.
// One that the log does not know begins with the next record that is appended, one whose
// cursor was damaged with the oldest. A name can be had once at a time.
func (l *Log) Sink(name string) (*Sink, error) {
	if !sinkName(name) {
		return nil, fmt.Errorf("events log: %q cannot be the name of a sink; lower-case letters, digits, hyphens and underscores can", name)
	}
	c, isNew, err := l.hold(name)
	if err != nil {
		return nil, err
	}
	if isNew {
		// Before anything is appended that the sink shall get.
		if err := l.create(name, c); err != nil {
			return nil, fmt.Errorf("events log: the sink %s cannot be made: %w", name, err)
		}
	}
	s := &Sink{cursor: c}
	s.Reader = l.Reader(s.acknowledged(l))
	return s, nil
}

func (l *Log) hold(name string) (c *cursor, isNew bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, false, ErrClosed
	}
	c = l.sinks[name]
	if c == nil {
		c = &cursor{next: l.next, saved: l.next}
		l.sinks[name], isNew = c, true
	}
	if c.held {
		return nil, false, fmt.Errorf("events log: the sink %s is open already", name)
	}
	c.held = true
	return c, isNew, nil
}

func (l *Log) create(name string, c *cursor) error {
	l.saving.Lock()
	defer l.saving.Unlock()
	err := l.writeCursor(name, c.saved)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.sinks, name)
	}
	return err
}

// Forget removes a sink that is not open: nothing waits for it any more.
func (l *Log) Forget(name string) error {
	if err := l.unhold(name); err != nil {
		return err
	}
	l.saving.Lock()
	err := l.fs.Remove(l.cursorPath(name))
	if absent(err) {
		err = nil
	}
	err = errors.Join(err, l.fs.SyncDir(l.path(cursorsFolder)))
	l.saving.Unlock()
	l.removePassed()
	return err
}

func (l *Log) unhold(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.sinks[name]
	switch {
	case c == nil:
		return fmt.Errorf("events log: there is no sink %q", name)
	case c.held:
		return fmt.Errorf("events log: the sink %s is open", name)
	}
	delete(l.sinks, name)
	return nil
}

// Ack says that the record of the offset and all before are done. An offset before one
// that was acknowledged changes nothing, nor does one that the log does not have yet.
func (s *Sink) Ack(offset uint64) {
	l := s.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset >= l.next || offset < s.cursor.next {
		return
	}
	s.cursor.next = offset + 1
	l.saveSoon(saveAfter)
}

// Acknowledged is the offset of the first record that is not acknowledged.
func (s *Sink) Acknowledged() uint64 { return s.acknowledged(s.l) }

func (s *Sink) acknowledged(l *Log) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.cursor.next
}

// Close ends the reading. What is acknowledged is saved soon, or when the log is closed.
func (s *Sink) Close() error {
	err := s.Reader.Close()
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.cursor.held = false
	return err
}
