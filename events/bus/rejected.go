package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// How much is put aside for one sink; beyond that the oldest give way.
const (
	rejectedFolder = "rejected"
	maxRejected    = 10_000
	rejectedSuffix = ".json"
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
	ids := make([]string, len(refused))
	for i := range ids {
		ids[i] = events.NewID(time.Now())
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(writers, len(refused)) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(refused); i = int(next.Add(1)) - 1 {
				errs[i] = b.putAside(sink, ids[i], refused[i], whys[i])
			}
		})
	}
	running.Wait()
	b.bound(sink, len(refused))
	return errs
}

// putAside writes one of them.
func (b *Bus) putAside(sink, id string, e *events.Event, why error) error {
	text, err := json.Marshal(Rejected{ID: id, Sink: sink, At: time.Now().UTC(), Reason: aside.Reason(why.Error()), Record: events.AppendRecord(nil, e)})
	if err != nil {
		return err
	}
	return aside.Write(b.rejectedPath(sink), id+rejectedSuffix, text)
}

// bound removes the oldest of too many, a tenth at once, as the folder is read for that.
func (b *Bus) bound(sink string, more int) {
	b.mu.Lock()
	n, known := b.aside[sink]
	b.aside[sink] = n + more
	b.mu.Unlock()
	if known && n+more <= maxRejected {
		return
	}
	ids := b.rejectedIDs(sink)
	if len(ids) > maxRejected {
		surplus := len(ids) - maxRejected*9/10
		b.options.Logger.Error("too many events are put aside: the oldest are dropped", "sink", sink, "first", ids[0], "events", surplus, "most", maxRejected)
		for _, id := range ids[:surplus] {
			_ = b.DropRejected(sink, id)
		}
		ids = ids[surplus:]
	}
	b.mu.Lock()
	b.aside[sink] = len(ids)
	b.mu.Unlock()
}

// rejectedIDs are the IDs of what is put aside for a sink, the oldest first.
func (b *Bus) rejectedIDs(sink string) (ids []string) {
	entries, err := os.ReadDir(b.rejectedPath(sink)) // by name, which begins with the time
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.options.Logger.Warn("the rejected events of a sink cannot be listed", "sink", sink, "error", err)
	}
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), rejectedSuffix); ok && aside.IsID(id) {
			ids = append(ids, id)
		}
	}
	return ids
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
	if !aside.IsID(id) {
		return Rejected{}, ErrNotRejected
	}
	text, err := os.ReadFile(filepath.Join(b.rejectedPath(sink), id+rejectedSuffix)) //nolint:gosec // its name is an ID
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
	if !aside.IsID(id) {
		return ErrNotRejected
	}
	err := os.Remove(filepath.Join(b.rejectedPath(sink), id+rejectedSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotRejected
	}
	return err
}
