package log

import (
	"errors"
	"fmt"
)

// Place makes the cursor of a sink that the log does not know yet, at an offset, or as near to
// it as there are records. It reports whether there was none before.
func (l *Log) Place(name string, from uint64) (made bool, err error) {
	if !sinkName(name) {
		return false, fmt.Errorf("events log: %q cannot be the name of a sink; lower-case letters, digits, hyphens and underscores can", name)
	}
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return false, ErrClosed
	}
	if l.sinks[name] != nil {
		l.mu.Unlock()
		return false, nil
	}
	at := l.within(from)
	c := &cursor{next: at, saved: at, held: true}
	l.sinks[name] = c
	l.mu.Unlock()
	if err := l.create(name, c); err != nil {
		return false, fmt.Errorf("events log: the sink %s cannot be made: %w", name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.held = false
	return true, nil
}

// Cursor is the offset of the first record that a sink has not acknowledged, as Cursors has it for all; false for a sink
// that is not there.
func (l *Log) Cursor(name string) (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.sinks[name]
	if c == nil {
		return 0, false
	}
	return c.next, true
}

// within is the offset nearest to one at which there is a record, or the next one will be.
// The caller holds mu.
func (l *Log) within(offset uint64) uint64 {
	first := l.next
	if len(l.segments) > 0 {
		first = l.segments[0].first
	}
	return min(max(offset, first), l.next)
}

// Seek has a sink that is not open go on at an offset, or as near to it as there are records,
// durably. It returns where that is.
func (l *Log) Seek(name string, to uint64) (uint64, error) {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	c := l.sinks[name]
	if c == nil || c.held || l.closing {
		l.mu.Unlock()
		return 0, errors.New("events log: the sink " + name + " is not there, or is open")
	}
	at := l.within(to)
	c.held = true
	l.mu.Unlock()
	err := l.writeCursor(name, at)
	l.mu.Lock()
	defer l.mu.Unlock()
	c.held = false
	if err == nil {
		c.next, c.saved = at, at
	}
	return at, err
}
