package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// maxFolders is how many processes may share a directory.
const maxFolders = 256

// openFolder opens the first folder of the directory that no process has open; folders are
// called 1, 2 and so on. It makes one where there is none.
func openFolder(directory string, o log.Options) (*log.Log, string, error) {
	for i := 1; i <= maxFolders; i++ {
		folder := strconv.Itoa(i)
		l, err := log.Open(filepath.Join(directory, folder), o)
		switch {
		case err == nil:
			return l, folder, nil
		case errors.Is(err, log.ErrLocked):
			continue
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
			return nil, "", fmt.Errorf("events need a directory that can be written, and %s cannot: set data_directory to one, such as a volume: %w", directory, err)
		}
		return nil, "", err
	}
	return nil, "", fmt.Errorf("%s has %d folders of events that other processes use", directory, maxFolders)
}

// folders are the folders of logs in the directory.
func folders(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil && n > 0 && n <= maxFolders && entry.IsDir() {
			all = append(all, entry.Name())
		}
	}
	return all, nil
}

// HasFolders reports whether there is a log in the directory, perhaps with events that were
// not sent.
func HasFolders(directory string) bool {
	all, err := folders(directory)
	return err == nil && len(all) > 0
}

// upkeepEvery is how often the bus looks for folders of processes that are gone, and for
// sinks that nobody has any more.
const upkeepEvery = 5 * time.Second

// passEvery is how often the log is told that it may drop what is before open intents.
const passEvery = time.Second

// keepUp does what is due at once and at times, until the bus is stopped.
func (b *Bus) keepUp() {
	b.intents.publishLeft(b.stopping, b.options.Logger)
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	passes := time.NewTicker(passEvery)
	defer passes.Stop()
	for {
		select {
		case <-passes.C:
			b.intents.pass()
			b.look()
		case <-ticker.C:
			b.intents.publishLeft(b.stopping, b.options.Logger)
			b.takeOver()
			b.forget()
		case <-b.stopping.Done():
			return
		}
	}
}

// look holds that the folder of the log is there: what is written to files that somebody has removed is lost
// with the process.
func (b *Bus) look() {
	path := filepath.Join(b.options.Directory, b.folder)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || b.removed.Load() != nil {
		return
	}
	err := fmt.Errorf("the folder of the events log was removed: %s: start the gateway again", path)
	b.removed.Store(&err)
	b.options.Logger.Error("events cannot be stored any more", "error", err)
}

// takeOver brings what processes left that are gone into the log of this one.
func (b *Bus) takeOver() {
	all, err := folders(b.options.Directory)
	if err != nil {
		b.options.Logger.Warn("the folders of the events log cannot be listed", "error", err)
	}
	for _, folder := range all {
		if folder == b.folder {
			continue
		}
		path := filepath.Join(b.options.Directory, folder)
		o := b.options.Log
		o.Logger = b.options.Logger
		left, err := log.Open(path, o)
		if errors.Is(err, log.ErrLocked) {
			continue
		}
		if err != nil {
			b.options.Logger.Warn("a folder of events that a process has left cannot be opened", "folder", path, "error", err)
			continue
		}
		n, err := b.move(left)
		if err == nil {
			err = os.RemoveAll(path) // while it is locked
		}
		if err := errors.Join(err, left.Close()); err != nil && b.stopping.Err() == nil {
			b.options.Logger.Warn("events that a process has left are not all taken over; this is tried again", "folder", path, "events", n, "error", err)
			continue
		}
		b.options.Logger.Info("took over the events that a process has left", "folder", path, "events", n)
	}
}

// move appends to the log of the bus what sinks have not got of another one, for these
// sinks alone.
func (b *Bus) move(from *log.Log) (n int, err error) {
	cursors := from.Cursors()
	end := from.Stats().Next
	first := end
	for _, next := range cursors {
		first = min(first, next)
	}
	open := map[string]*events.Event{}
	r := from.Reader(first)
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		record, err := r.Next(ended)
		if err != nil || record.Offset >= end {
			break
		}
		parsed, err := events.ParseRecord(record.Body)
		if err != nil {
			continue // its sinks would skip it, too
		}
		note(open, parsed)
		e := parsed.Event
		if e == nil {
			continue
		}
		if e.Sinks = waiting(e, cursors, record.Offset); len(e.Sinks) == 0 {
			continue
		}
		if err := b.append(e); err != nil {
			return n, err
		}
		n++
	}
	for _, e := range open {
		if err := b.append(unknown(e)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// waiting are the sinks of an event at that offset that have not got it.
func waiting(e *events.Event, cursors map[string]uint64, offset uint64) []string {
	var names []string
	for name, next := range cursors {
		if name != intentsCursor && next <= offset && e.For(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// append makes an event durable, and waits for room.
func (b *Bus) append(e *events.Event) error {
	record := events.AppendRecord(nil, e)
	for {
		_, err := b.log.Append(b.stopping, record)
		if !errors.Is(err, log.ErrFull) {
			return err
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-b.stopping.Done():
			timer.Stop()
			return b.stopping.Err()
		}
	}
}

// forget removes the cursors of sinks that no configuration in use has, which would keep the log
// from becoming smaller.
func (b *Bus) forget() {
	b.mu.Lock()
	used := map[string]bool{intentsCursor: true}
	for r := range b.runners {
		used[r.name] = true
	}
	for p := range b.live {
		for _, name := range p.sinkNames() {
			used[name] = true
		}
	}
	none, l := len(b.live) == 0, b.log
	b.mu.Unlock()
	if none || l == nil {
		return
	}
	next := l.Stats().Next
	for name, at := range l.Cursors() {
		if used[name] {
			continue
		}
		if err := l.Forget(name); err != nil {
			b.options.Logger.Warn("the place of a sink in the events log cannot be removed", "sink", name, "error", err)
			continue
		}
		b.options.Logger.Warn("the configuration no longer has the sink, which is forgotten", "sink", name, "events_not_sent", next-at)
	}
}
