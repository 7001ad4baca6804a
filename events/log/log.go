package log

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

var (
	// ErrClosed is what a log, and its readers, return once it is closed.
	ErrClosed = errors.New("the events log is closed")
	// ErrFull is wrapped by Append's error if there is no room by Options.MaxBytes or on
	// the disk.
	ErrFull = errors.New("the events log is full")
	// ErrDropped is wrapped by Append's error if the record was dropped as the log is
	// full and Options.OnFull is DropNewest.
	ErrDropped = errors.New("the record was dropped")
	// ErrTooLarge is wrapped by Append's error for a record beyond Options.MaxRecordBytes.
	ErrTooLarge = errors.New("the record is too large")
	// ErrLocked is wrapped by Open's error if another Log has the directory open.
	ErrLocked = errors.New("the directory is used by another process")
)

// OnFull is what Append does where there is no room.
type OnFull int

const (
	// Refuse has Append fail with ErrFull.
	Refuse OnFull = iota
	// DropOldest removes the oldest segment.
	DropOldest
	// DropNewest has Append fail with ErrDropped, and counts the record as dropped.
	DropNewest
)

// Options are the settings of a log. The zero value is that of a log with segments of
// 64 MiB, 1 GiB in all, that keeps nothing longer than it has to and refuses when full.
type Options struct {
	// SegmentBytes is the size of a segment, 64 MiB if it is 0.
	SegmentBytes int64
	// MaxRecordBytes is the size of the largest record, 256 KiB if it is 0; 1 MiB at most.
	MaxRecordBytes int
	// MaxBytes is the size of all segments but the spare one, 1 GiB if it is 0.
	MaxBytes int64
	// MaxAge is how old records may become, however many sinks wait for them, 0 for any.
	MaxAge time.Duration
	// KeepBytes is the size of the segments that are kept, for readers from an earlier
	// offset, although every sink has passed them.
	KeepBytes int64
	OnFull    OnFull
	// Logger is told of damage and of trouble with the disk; slog.Default if it is nil.
	Logger *slog.Logger
	// Synced, if it is not nil, is called with the duration of each sync.
	Synced func(time.Duration)
}

const mebibyte = 1 << 20

func (o *Options) setDefaults() error {
	set := func(value *int64, to int64) {
		if *value == 0 {
			*value = to
		}
	}
	set(&o.SegmentBytes, 64*mebibyte)
	set(&o.MaxBytes, 1024*mebibyte)
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = 256 << 10
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case o.MaxRecordBytes < 0 || o.MaxRecordBytes > maxBody:
		return fmt.Errorf("the largest record is %d bytes; between 1 and %d are possible", o.MaxRecordBytes, maxBody)
	case o.SegmentBytes < int64(headerPage+recordSize(o.MaxRecordBytes)):
		return fmt.Errorf("a segment of %d bytes has no room for a record of %d", o.SegmentBytes, o.MaxRecordBytes)
	case o.MaxBytes < 2*o.SegmentBytes:
		return fmt.Errorf("a log of %d bytes has no room for two segments of %d", o.MaxBytes, o.SegmentBytes)
	}
	return nil
}

// Log is an open log. Its methods may be called by any number of goroutines.
type Log struct {
	dir     string
	options Options
	fs      filesystem
	now     func() time.Time
	lock    io.Closer

	wake chan struct{} // has a value when there is something to write
	done chan struct{} // closed when the writing goroutine has ended

	// What the writing goroutine alone uses.
	active     *writer
	generation uint64
	retryAt    time.Time // no segment is opened before
	openErr    error     // why the last one was not
	spareAt    time.Time // no spare one is made before; zero unless the last failed
	refused    int64     // the size of the record that was refused last, until one of that size has room
	tellAt     time.Time // of a refusal the log is told again

	mu       sync.Mutex
	filling  *batch
	freed    []byte // a buffer for the next batch
	closing  bool
	segments []*segment // by their first offset; the last is the active one, if there is one
	next     uint64     // offset of the next record; those before are durable
	grown    chan struct{}
	sinks    map[string]*cursor
	writing  bool // whether the last segment is the active one
	spare    bool
	stats    Stats

	saveDue bool  // whether the cursors will be saved
	saveErr error // why they were not

	saving sync.Mutex // held while cursors are written, and before removal
	// removal is held by those who remove segments, and before mu.
	removal sync.Mutex

	aside quarantine
}

// Open opens the log in a directory, which is made if it is not there. Damage is no error;
// it is told to the logger and counted by Stats.
func Open(dir string, options Options) (*Log, error) {
	return open(disk{}, dir, options, time.Now)
}

func open(fs filesystem, dir string, options Options, now func() time.Time) (*Log, error) {
	if err := options.setDefaults(); err != nil {
		return nil, fmt.Errorf("events log: %w", err)
	}
	l := &Log{
		dir: dir, options: options, fs: fs, now: now,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		grown: make(chan struct{}), sinks: map[string]*cursor{},
	}
	l.filling = newBatch(nil)
	l.aside = quarantine{fs: fs, dir: filepath.Join(dir, "quarantine"), logger: options.Logger, most: maxQuarantine}
	for _, made := range []string{dir, l.path(cursorsFolder)} {
		if err := fs.MkdirAll(made); err != nil {
			return nil, fmt.Errorf("events log: %w; it needs a directory that the gateway can write to", err)
		}
	}
	lock, err := fs.Lock(l.path("lock"))
	if err != nil {
		return nil, fmt.Errorf("events log: %w", err)
	}
	l.lock = lock
	if err := l.recover(); err != nil {
		return nil, fmt.Errorf("events log: %w", errors.Join(err, lock.Close()))
	}
	go l.run()
	return l, nil
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// Close writes what waits, saves the cursors and gives the directory free. Readers get
// ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		<-l.done
		return nil
	}
	l.closing = true
	l.mu.Unlock()
	l.signal()
	<-l.done
	err := l.saveCursors()
	if l.active != nil {
		err = errors.Join(err, l.active.f.Close())
	}
	return errors.Join(err, l.lock.Close())
}

// signal wakes the writing goroutine.
func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// Stats are figures of a log.
type Stats struct {
	First, Next uint64 // offsets of the oldest record and of the next one
	Segments    int
	Bytes       int64     // of the segments
	Oldest      time.Time // when the oldest segment was made; zero if that is not known
	// Dropped is how many records no sink has got or will get: by DropOldest, DropNewest
	// or MaxAge. Damaged is how many were lost to damage. Both are counted from Open on.
	Dropped, Damaged uint64
	// Err is why the last Append failed for the disk or for want of room; nil after one
	// that did not.
	Err error
}

// Cursors returns, for each sink, the offset of the first record that it has not
// acknowledged.
func (l *Log) Cursors() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]uint64, len(l.sinks))
	for name, c := range l.sinks {
		all[name] = c.next
	}
	return all
}

// Stats returns the figures of the moment.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.First, s.Next, s.Segments, s.Damaged = l.next, l.next, len(l.segments), l.aside.lost()
	for i, segment := range l.segments {
		if i == 0 {
			s.First, s.Oldest = segment.first, segment.created
		}
		s.Bytes += segment.size
	}
	return s
}
