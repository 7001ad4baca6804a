package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/aside"
)

// Rejected is an event that a sink will never take.
type Rejected struct {
	// ID names it among those of its sink.
	ID   string    `json:"id"`
	Sink string    `json:"sink"`
	At   time.Time `json:"at"`
	// Reason is what the sink said.
	Reason string        `json:"reason"`
	Event  *events.Event `json:"-"`
	// Record is the event as the log keeps it.
	Record []byte `json:"record"`
}

// How much is put aside for one sink; beyond that the oldest go of the sender that has the most, so that
// nobody pushes out what others sent.
const (
	rejectedFolder = "rejected"
	maxRejected    = 10_000
)

// writers is how many rejected events are written at once: a sink that refuses all must not be slower
// than its events come, and disks sync several files together.
const writers = 16

// reject puts events aside, and returns what went wrong with each. Where nothing can be written, as for a
// bus that has no directory, they are dropped.
func (b *Bus) reject(sink string, refused []*events.Event, whys []error) []error {
	errs := make([]error, len(refused))
	if b.options.Directory == "" {
		return errs
	}
	box, names, gone := b.box(sink), make([]string, len(refused)), []string(nil)
	ids, senders := make([]string, len(refused)), make([]string, len(refused))
	for i, e := range refused {
		ids[i], senders[i] = events.NewID(time.Now()), aside.Sender(e.Extension("authid"), e.Source)
		names[i] = aside.FileName(ids[i], senders[i])
		more, _ := box.Place(ids[i], senders[i], maxRejected, false)
		gone = append(gone, more...)
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(writers, len(refused)) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(refused); i = int(next.Add(1)) - 1 {
				errs[i] = putAside(box.Folder(), names[i], Rejected{ID: ids[i], Sink: sink, At: time.Now().UTC(), Reason: aside.Reason(whys[i].Error()), Record: events.AppendRecord(nil, refused[i])})
			}
		})
	}
	running.Wait()
	b.remove(sink, box, gone)
	for i, err := range errs {
		box.Wrote(ids[i], senders[i], err)
	}
	return errs
}

// putAside writes one of them.
func putAside(folder, name string, r Rejected) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return aside.Write(folder, name, text)
}

// remove removes those for which there is no more room.
func (b *Bus) remove(sink string, box *aside.Box, files []string) {
	if len(files) == 0 {
		return
	}
	for _, file := range files {
		_ = os.Remove(filepath.Join(box.Folder(), file)) // it is taken for one that is there at the next look
	}
	b.mu.Lock()
	dropped := b.dropping[sink]
	dropped.n += len(files)
	tell := time.Since(dropped.told) > time.Minute
	if tell {
		dropped.told = time.Now()
	}
	b.dropping[sink] = dropped
	b.mu.Unlock()
	if tell {
		b.options.Logger.Error("too many events are put aside: the oldest of those are dropped who have the most", "sink", sink, "events", dropped.n, "most", maxRejected)
	}
}

// dropping is how many events that were put aside were dropped for want of room, and when that was told.
type dropping struct {
	n    int
	told time.Time
}

// box is where the rejected events of a sink lie.
func (b *Bus) box(sink string) *aside.Box {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.aside[sink] == nil {
		b.aside[sink] = aside.NewBox(b.rejectedPath(sink))
	}
	return b.aside[sink]
}

// rejectedIDs are the IDs of what is put aside for a sink, the oldest first.
func (b *Bus) rejectedIDs(sink string) []string {
	ids := aside.NewBox(b.rejectedPath(sink)).List() // it may be asked for by somebody who guesses
	slices.Sort(ids)
	return ids
}

// rejectedFile is the file of a rejected event.
func (b *Bus) rejectedFile(sink, id string) (string, error) {
	if !aside.IsID(id) {
		return "", ErrNotRejected
	}
	box := b.box(sink)
	name := box.File(id)
	if name == "" {
		return "", ErrNotRejected
	}
	return filepath.Join(box.Folder(), name), nil
}

func (b *Bus) rejectedPath(sink string) string {
	if !filepath.IsLocal(sink) {
		sink = "none" // it is asked for by somebody who guesses
	}
	return filepath.Join(b.options.Directory, rejectedFolder, sink)
}

// ErrNotRejected is returned for an ID that no rejected event of the sink has.
var ErrNotRejected = errors.New("the sink has no rejected event of that ID")

// RejectingSinks are the names of sinks that have refused events.
func (b *Bus) RejectingSinks() (names []string) {
	entries, err := os.ReadDir(filepath.Join(b.options.Directory, rejectedFolder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.options.Logger.Warn("the rejected events cannot be listed", "error", err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Rejected lists the rejected events of a sink, the oldest first, without what is damaged.
func (b *Bus) Rejected(sink string) []Rejected {
	var all []Rejected
	for _, id := range b.rejectedIDs(sink) {
		r, err := b.rejected(sink, id)
		if err != nil {
			b.options.Logger.Warn("a rejected event cannot be read", "sink", sink, "id", id, "error", err)
			continue
		}
		all = append(all, r)
	}
	return all
}

func (b *Bus) rejected(sink, id string) (Rejected, error) {
	path, err := b.rejectedFile(sink, id)
	if err != nil {
		return Rejected{}, err
	}
	text, err := os.ReadFile(path) //nolint:gosec // its name is an ID
	if errors.Is(err, fs.ErrNotExist) {
		return Rejected{}, ErrNotRejected
	}
	if err != nil {
		return Rejected{}, err
	}
	var r Rejected
	if err := json.Unmarshal(text, &r); err != nil {
		return Rejected{}, err
	}
	record, err := events.ParseRecord(r.Record)
	if err != nil || record.Event == nil {
		return Rejected{}, fmt.Errorf("its record: %w", errors.Join(err, events.ErrRecord))
	}
	r.Event = record.Event
	return r, nil
}

// RetryRejected stores a rejected event again, for that sink alone, and no longer has it aside.
func (b *Bus) RetryRejected(sink, id string) error {
	r, err := b.rejected(sink, id)
	if err != nil {
		return err
	}
	if b.Log() == nil {
		return ErrNoLog
	}
	r.Event.Sinks = []string{sink}
	if err := b.append(r.Event); err != nil {
		return err
	}
	return b.DropRejected(sink, id)
}

// DropRejected removes a rejected event.
func (b *Bus) DropRejected(sink, id string) error {
	path, err := b.rejectedFile(sink, id)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	b.box(sink).Dropped(id)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotRejected
	}
	return err
}
