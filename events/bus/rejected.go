package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transom-gateway/transom/events"
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
	maxReason      = 1 << 10
	rejectedSuffix = ".json"
)

// reject puts an event aside. Where nothing can be written, as for a bus that has no
// directory, the event is dropped.
func (b *Bus) reject(sink string, e *events.Event, why error) error {
	if b.options.Directory == "" {
		return nil
	}
	reason := strings.ToValidUTF8(why.Error(), "\uFFFD")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	now := time.Now()
	r := Rejected{ID: events.NewID(now), Sink: sink, At: now.UTC(), Reason: reason, Record: events.AppendRecord(nil, e)}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := write(b.rejectedPath(sink), r.ID+rejectedSuffix, text); err != nil {
		return err
	}
	b.bound(sink)
	return nil
}

// bound removes the oldest of too many.
func (b *Bus) bound(sink string) {
	b.mu.Lock()
	b.aside[sink]++
	n := b.aside[sink]
	b.mu.Unlock()
	if n > 1 && n <= maxRejected {
		return
	}
	ids := b.rejectedIDs(sink)
	for len(ids) > maxRejected {
		b.options.Logger.Error("too many events are put aside: the oldest is dropped", "sink", sink, "id", ids[0], "most", maxRejected)
		_ = b.DropRejected(sink, ids[0])
		ids = ids[1:]
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
		if id, ok := strings.CutSuffix(entry.Name(), rejectedSuffix); ok && isID(id) {
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

// write makes a file durable, whole or not at all.
func write(folder, name string, text []byte) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(folder, name)); err != nil {
		return err
	}
	return syncFolder(folder)
}

func syncFolder(name string) error {
	d, err := os.Open(name) //nolint:gosec // it is below the data directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
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
	if !isID(id) {
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

// isID reports whether it is what NewID makes, and so cannot lead out of a folder.
func isID(id string) bool {
	return len(id) == 36 && strings.Trim(id, "0123456789abcdef-") == ""
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
	if !isID(id) {
		return ErrNotRejected
	}
	err := os.Remove(filepath.Join(b.rejectedPath(sink), id+rejectedSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotRejected
	}
	return err
}
