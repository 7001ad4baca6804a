package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
	"time"
)

const (
	cursorsFolder = "cursors"
	cursorMagic   = "TRANSCUR"
	cursorLength  = 24
	unsaved       = ".new" // what a cursor is written as first
	// saveAfter is how long a cursor may be behind its sink.
	saveAfter = 100 * time.Millisecond
	// saveAgainAfter is how long nothing is saved after a failure.
	saveAgainAfter = time.Second
)

// cursor is how far one sink has come. Its fields are guarded by Log.mu.
type cursor struct {
	next  uint64 // all before are acknowledged
	saved uint64 // what of that is durable
	held  bool   // whether a Sink of it is open
}

func encodeCursor(next uint64) []byte {
	b := append(make([]byte, 0, cursorLength), cursorMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, next)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[16:], castagnoli))
	return b
}

func decodeCursor(b []byte) (next uint64, err error) {
	if len(b) != cursorLength {
		return 0, fmt.Errorf("has %d bytes, not %d", len(b), cursorLength)
	}
	next = binary.LittleEndian.Uint64(b[16:])
	if string(b) != string(encodeCursor(next)) {
		return 0, errors.New("has a wrong beginning or checksum")
	}
	return next, nil
}

// readCursors reads the cursors of all sinks. A sink whose cursor is damaged begins with
// the oldest record: it gets some twice, and none not at all.
func (l *Log) readCursors() {
	names, err := l.fs.List(l.path(cursorsFolder))
	if err != nil {
		l.options.Logger.Error("events log: the cursors cannot be read; sinks begin with the oldest record", "error", err)
	}
	for _, name := range names {
		if !sinkName(name) || strings.HasSuffix(name, unsaved) {
			continue
		}
		next, err := l.readCursor(name)
		if err != nil {
			l.options.Logger.Error("events log: a cursor is damaged; its sink begins with the oldest record", "file", l.cursorPath(name), "error", err)
		}
		l.sinks[name] = &cursor{next: next, saved: next}
	}
}

func (l *Log) cursorPath(name string) string {
	return filepath.Join(l.dir, cursorsFolder, name)
}

func (l *Log) readCursor(name string) (uint64, error) {
	f, err := l.fs.Open(l.cursorPath(name), false)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	size, err := f.Size()
	if err != nil || size > cursorLength {
		return 0, errors.Join(err, fmt.Errorf("has %d bytes, not %d", size, cursorLength))
	}
	b := make([]byte, size)
	_ = readDamaged(f, b, 0) // zeros are a damaged cursor
	return decodeCursor(b)
}

// writeCursor replaces a cursor's file as a whole.
func (l *Log) writeCursor(name string, next uint64) error {
	err := l.replaceCursor(name, next)
	if outOfRoom(err) && l.takeSpare() {
		// What is acknowledged makes room, so it comes first.
		if err := l.fs.Remove(l.path(spareName)); err != nil {
			return err
		}
		err = l.replaceCursor(name, next)
	}
	return err
}

func (l *Log) replaceCursor(name string, next uint64) error {
	to, from := l.cursorPath(name), l.cursorPath(name)+unsaved
	if err := l.fs.Remove(from); err != nil && !absent(err) {
		return err
	}
	f, err := l.fs.Create(from)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(encodeCursor(next), 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := l.fs.Rename(from, to); err != nil {
		return err
	}
	return l.fs.SyncDir(l.path(cursorsFolder))
}

// saveCursors makes durable what sinks have acknowledged, and removes what all have
// passed.
func (l *Log) saveCursors() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	var errs []error
	for name, next := range l.unsavedCursors() {
		if err := l.writeCursor(name, next); err != nil {
			errs = append(errs, fmt.Errorf("events log: the cursor of %s is not saved: %w", name, err))
			continue
		}
		l.markSaved(name, next)
	}
	l.removePassed()
	return errors.Join(errs...)
}

func (l *Log) unsavedCursors() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := map[string]uint64{}
	for name, c := range l.sinks {
		if c.next != c.saved {
			changed[name] = c.next
		}
	}
	return changed
}

func (l *Log) markSaved(name string, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.sinks[name]; c != nil {
		c.saved = next
	}
}

// saveSoon has the cursors saved after a time, unless they will be already. The caller
// holds mu.
func (l *Log) saveSoon(after time.Duration) {
	if l.saveDue || l.closing {
		return
	}
	l.saveDue = true
	time.AfterFunc(after, l.saveDueCursors)
}

func (l *Log) saveDueCursors() {
	if !l.beginSave() {
		return
	}
	err := l.saveCursors()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.saveErr = nil
		return
	}
	if l.saveErr == nil { // the first failure of several
		l.options.Logger.Error("events log: how far sinks have come cannot be saved; it is tried again", "error", err)
	}
	l.saveErr = err
	l.saveSoon(saveAgainAfter)
}

// beginSave reports whether the log is still open: Close saves by itself.
func (l *Log) beginSave() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saveDue = false
	return !l.closing
}
