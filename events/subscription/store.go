package subscription

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/aside"
)

// Store keeps in a folder what subscriptions must know after a restart, and dead letters. Several
// processes may share it.
type Store struct {
	Folder string

	mu    sync.Mutex
	boxes map[string]*aside.Box // by subscription
}

const (
	pausedName = "paused"
	deadFolder = "dead"
	// defaultDead is how many dead letters a subscription has, at most.
	defaultDead = 10_000
)

// Paused reports whether a subscription was paused.
func (s *Store) Paused(name string) bool {
	if s == nil {
		return false
	}
	_, err := os.Stat(filepath.Join(s.Folder, name, pausedName))
	return err == nil
}

// SetPaused notes whether it is.
func (s *Store) SetPaused(name string, paused bool) error {
	folder := filepath.Join(s.Folder, name)
	if paused {
		return aside.Write(folder, pausedName, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"))
	}
	err := os.Remove(filepath.Join(folder, pausedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, aside.Sync(folder))
}

// Letter is a dead letter.
type Letter struct {
	// ID names it among those of its subscription.
	ID string `json:"id"`
	// At is when it became one.
	At time.Time `json:"at"`
	// Code, Message and Reason are those of the Result.
	Code     string `json:"code"`
	Message  string `json:"message,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Attempts int    `json:"attempts"`
	// Method was called, and Trace is the traceparent of the event.
	Method    string        `json:"method"`
	Trace     string        `json:"trace,omitempty"`
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
	Event     *events.Event `json:"-"`
	// Record is the event as the log keeps it.
	Record []byte `json:"record"`
	// Metadata and Unreadable are those of the Message.
	Metadata   []Pair `json:"metadata,omitempty"`
	Unreadable string `json:"unreadable,omitempty"`
}

// Again is the message of a dead letter.
func (d *Letter) Again() *Message {
	return &Message{Partition: d.Partition, Offset: d.Offset, Key: d.Event.Key, Event: d.Event, Metadata: d.Metadata, Unreadable: d.Unreadable}
}

// NewLetter makes a dead letter of a message.
func NewLetter(method string, m *Message, r Result, attempts int) Letter {
	now := time.Now()
	return Letter{
		ID: events.NewID(now), At: now.UTC(), Code: r.Code.String(), Message: aside.Reason(r.Message), Reason: r.Reason, Attempts: attempts,
		Method: method, Trace: m.Event.Extension("traceparent"), Topic: m.Event.Topic, Partition: m.Partition, Offset: m.number(), Event: m.Event,
		Metadata: m.Metadata, Unreadable: aside.Reason(m.Unreadable),
	}
}

// Bound is how many dead letters a subscription may have, and what becomes of one more.
type Bound struct {
	// Most is that number. 0: 10,000.
	Most int
	// Wait has Bury refuse one more. Otherwise the oldest go of the sender that has the most, so that
	// nobody pushes out what others sent.
	Wait bool
}

// Limit is how many there may be.
func (b Bound) Limit() int {
	if b.Most <= 0 {
		return defaultDead
	}
	return b.Most
}

// Bury keeps a dead letter, durably, and returns those that went for it.
func (s *Store) Bury(name string, d Letter, b Bound) (gone []Letter, err error) {
	d.Record = events.AppendRecord(nil, d.Event)
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	box, hash := s.box(name), aside.Sender(d.Event.Extension("authid"), d.Event.Source)
	files, ok := box.Place(d.ID, hash, b.Limit(), b.Wait)
	if !ok {
		return nil, fmt.Errorf("%d dead letters of %s are put aside, and max_dead_letters allows no more: send them again, or drop them", b.Limit(), name)
	}
	err = aside.Write(box.Folder(), aside.FileName(d.ID, hash), text)
	for _, file := range files {
		if err != nil {
			break
		}
		path := filepath.Join(box.Folder(), file)
		letter, unreadable := readLetter(path)
		if unreadable != nil {
			letter.ID, _, _ = aside.ParseName(file)
		}
		gone = append(gone, letter)
		err = os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	box.Wrote(d.ID, hash, err)
	return gone, err
}

func (s *Store) box(name string) *aside.Box {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes == nil {
		s.boxes = map[string]*aside.Box{}
	}
	if s.boxes[name] == nil {
		s.boxes[name] = aside.NewBox(filepath.Join(s.Folder, name, deadFolder))
	}
	return s.boxes[name]
}

// ErrNoDead is returned for an ID that no dead letter of the subscription has.
var ErrNoDead = errors.New("the subscription has no dead letter of that ID")

// Count is how many dead letters a subscription has.
func (s *Store) Count(name string) int { return len(s.ids(name)) }

func (s *Store) ids(name string) []string {
	ids := s.box(name).List()
	slices.Sort(ids)
	return ids
}

// Each calls f with the dead letters of a subscription, the oldest first, until that returns
// false. What is damaged is left out.
func (s *Store) Each(name string, f func(Letter) bool) {
	for _, id := range s.ids(name) {
		if d, err := s.Letter(name, id); err == nil && !f(d) {
			return
		}
	}
}

// Letter returns a dead letter.
func (s *Store) Letter(name, id string) (Letter, error) {
	path, err := s.path(name, id)
	if err != nil {
		return Letter{}, err
	}
	return readLetter(path)
}

// path is that of the file of a dead letter.
func (s *Store) path(name, id string) (string, error) {
	if !aside.IsID(id) || !filepath.IsLocal(name) {
		return "", ErrNoDead
	}
	box := s.box(name)
	file := box.File(id)
	if file == "" {
		return "", ErrNoDead
	}
	return filepath.Join(box.Folder(), file), nil
}

func readLetter(path string) (d Letter, err error) {
	text, err := os.ReadFile(path) //nolint:gosec // its name is an ID
	if errors.Is(err, fs.ErrNotExist) {
		return d, ErrNoDead
	}
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, err
	}
	record, err := events.ParseRecord(d.Record)
	if err != nil || record.Event == nil {
		return d, fmt.Errorf("its record: %w", errors.Join(err, events.ErrRecord))
	}
	d.Event = record.Event
	return d, nil
}

// Drop removes a dead letter.
func (s *Store) Drop(name, id string) error {
	path, err := s.path(name, id)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	s.box(name).Dropped(id)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoDead
	}
	return err
}
