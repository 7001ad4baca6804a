// Package watch tells when files change: single files, and folders with all that
// is below them. It does not know what stands in them, nor which change matters.
//
//	w, err := watch.New([]string{"transom.yaml", "protos"}, reload)
//	defer w.Close()
//
// Events of the operating system are only a hint to look again: what counts is
// whether names, sizes, times or identities of files differ from the last look.
// So a swapped symbolic link (Kubernetes), an editor that writes by renaming,
// and lost events are all seen, at the latest by a look every 30 seconds.
package watch

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher looks after files until it is closed.
type Watcher struct {
	paths    []string
	timing   timing
	onChange func()

	look   func(paths []string, listen func(folder string) bool) picture
	events *fsnotify.Watcher // nil where the system gives none
	last   picture
	stop   chan struct{}
	once   sync.Once
	done   chan struct{}
	closed error // of giving back the events, once done is closed
}

// timing is how long a Watcher waits.
type timing struct {
	// quiet without events ends a burst of them; longest ends it in any case.
	quiet, longest time.Duration
	// look is the time between looks without an event, poll the one where not all
	// folders give events.
	look, poll time.Duration
}

var usual = timing{quiet: 100 * time.Millisecond, longest: time.Second, look: 30 * time.Second, poll: 2 * time.Second}

// New begins to watch paths, which need not exist yet. What changes after it
// has returned is seen: call it before reading the files.
//
// onChange is called after each change, from a goroutine of the Watcher, never
// twice at once; changes during a call lead to one more. Where the system cannot
// give events for all folders, they are looked at every two seconds. An error
// means that there is no working directory to start relative paths from.
func New(paths []string, onChange func()) (*Watcher, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		events = nil // all folders are polled then
	}
	return newWatcher(paths, events, usual, onChange)
}

// newWatcher starts a Watcher, which owns events from then on.
func newWatcher(paths []string, events *fsnotify.Watcher, t timing, onChange func()) (*Watcher, error) {
	w := &Watcher{look: look, events: events, timing: t, onChange: onChange, stop: make(chan struct{}), done: make(chan struct{})}
	for _, p := range paths {
		p, err := filepath.Abs(p)
		if err != nil {
			return nil, errors.Join(err, w.closeEvents())
		}
		w.paths = append(w.paths, p)
	}
	w.changed()
	go w.run()
	return w, nil
}

// patience is how long Close waits for a look at files.
const patience = time.Second

// errLooking is the error of Close where a file system does not answer.
var errLooking = errors.New("a file system does not answer; what waits for it is left behind")

// Close ends the watch. It waits for a call of onChange to return, so it must
// not be called from there, but not for long for a file system that does not answer:
// then onChange may still be called once. The error is the system's on giving back its
// events.
func (w *Watcher) Close() error {
	var err error
	w.once.Do(func() {
		close(w.stop)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-w.done:
			err = w.closed
		case <-timer.C:
			err = errLooking
		}
	})
	return err
}

func (w *Watcher) closeEvents() error {
	if w.events == nil {
		return nil
	}
	return w.events.Close()
}

// run waits for events and looks when a burst of them is over, or none came for
// long.
func (w *Watcher) run() {
	defer func() {
		w.closed = w.closeEvents()
		close(w.done)
	}()
	var events chan fsnotify.Event
	var lost chan error
	if w.events != nil {
		events, lost = w.events.Events, w.events.Errors
	}
	b := burst{timing: w.timing}
	timer := time.NewTimer(w.pause())
	defer timer.Stop()
	wake := func() {
		if wait := b.event(time.Now()); wait > 0 {
			timer.Reset(wait)
		}
	}
	for {
		select {
		case <-w.stop:
			return
		case e := <-events:
			if !passing(filepath.Base(e.Name)) {
				wake()
			}
		case err := <-lost:
			if err != nil { // whatever it is, events may be missing
				wake()
			}
		case <-timer.C:
			b = burst{timing: w.timing}
			if w.changed() {
				w.onChange()
			}
			timer.Reset(w.pause())
		}
	}
}

// pause is how long to wait where no event comes.
func (w *Watcher) pause() time.Duration {
	if w.last.deaf {
		return w.timing.poll
	}
	return w.timing.look
}

// changed looks, and compares with the last look. What a file system holds that did not
// answer counts as changed once it does: who read it meanwhile has failed.
func (w *Watcher) changed() bool {
	before, now := w.last, w.look(w.paths, w.listen)
	if now.stalled {
		w.last.stalled, w.last.deaf = true, true // look again soon
		return false
	}
	w.last = now
	return before.stalled || !now.equal(before)
}

// listen asks for the events of a folder; asking again does no harm.
func (w *Watcher) listen(folder string) bool {
	return w.events != nil && w.events.Add(folder) == nil
}

// burst is a run of events close to each other.
type burst struct {
	timing timing
	first  time.Time
}

// event takes note of one more and tells how long to wait before looking; 0 is
// no longer than was told before.
func (b *burst) event(now time.Time) time.Duration {
	if b.first.IsZero() {
		b.first = now
	}
	return max(0, min(b.timing.quiet, b.timing.longest-now.Sub(b.first)))
}

// passing reports whether a file of that name is an editor's own: a swap file, a
// backup, a lock, a trial.
func passing(name string) bool {
	switch filepath.Ext(name) {
	case ".swp", ".swo", ".swx":
		return true
	}
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || name == "4913" ||
		len(name) > 1 && name[0] == '#' && name[len(name)-1] == '#'
}
