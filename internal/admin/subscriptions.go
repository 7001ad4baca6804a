package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Subscribing is a Gateway whose subscriptions are looked at, and stopped and moved by hand.
type Subscribing interface {
	Subscriptions(ctx context.Context) []Subscription
	// The error is ErrNoEvent for a name or ID that nothing has.
	PauseSubscription(name string) error
	ResumeSubscription(name string) error
	// SeekSubscription returns at which offsets of its partitions the subscription goes on.
	SeekSubscription(ctx context.Context, name string, to SeekTo) (map[int32]int64, error)
	// DeadLetters lists those of a subscription, the oldest first, up to most, that come behind
	// the one of an id; "" for all.
	DeadLetters(name, after string, most int) ([]DeadLetter, error)
	DeadLetter(name, id string) (DeadLetter, error)
	RetryDeadLetter(ctx context.Context, name, id string) error
	DropDeadLetter(name, id string) error
}

// Subscription is one as /events/groups shows it.
type Subscription struct {
	Name       string                  `json:"name"`
	Source     string                  `json:"source"`
	Topic      string                  `json:"topic"`
	Method     string                  `json:"method"`
	State      string                  `json:"state"` // "running", "paused", "waiting" or "away"
	InFlight   int                     `json:"in_flight"`
	Dead       int                     `json:"dead"`
	Failure    string                  `json:"failure,omitempty"`
	Since      *time.Time              `json:"since,omitempty"`
	LastCommit *time.Time              `json:"last_commit,omitempty"`
	Partitions []SubscriptionPartition `json:"partitions"`
	// LagFailure is why Partitions are not known.
	LagFailure string `json:"lag_failure,omitempty"`
}

// SubscriptionPartition is how far a subscription has come in a partition.
type SubscriptionPartition struct {
	Partition  int32   `json:"partition"`
	Committed  int64   `json:"committed"`
	End        int64   `json:"end"`
	Lag        int64   `json:"lag"`
	LagSeconds float64 `json:"lag_seconds"`
}

// SeekTo is where a subscription is to go on: "earliest", "latest", a time, or an offset of a
// partition.
type SeekTo struct {
	Earliest, Latest bool
	Time             time.Time
	Offset           int64
	Partition        int32
}

// DeadLetter is one as /events/dead/NAME shows it.
type DeadLetter struct {
	ID        string          `json:"id"`
	At        time.Time       `json:"at"`
	Code      string          `json:"code"`
	Message   string          `json:"message,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Attempts  int             `json:"attempts"`
	Method    string          `json:"method"`
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Event     json.RawMessage `json:"event"`
}

// maxDeadLetters is how many one answer has. Who gets as many asks again with the last one's id as the
// parameter after.
const maxDeadLetters = 1000

// subscriptions adds what is said of subscriptions (Events 170, 174 and 175).
func (s *server) subscriptions() {
	g, ok := s.Gateway.(Subscribing)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /events/groups", func(w http.ResponseWriter, r *http.Request) {
		list := g.Subscriptions(r.Context())
		if list == nil {
			list = []Subscription{}
		}
		answer(w, http.StatusOK, map[string][]Subscription{"groups": list})
	})
	s.change("POST /events/groups/{name}/pause", "subscription_pause", quiet(func(r *http.Request) error { return g.PauseSubscription(r.PathValue("name")) }))
	s.change("POST /events/groups/{name}/resume", "subscription_resume", quiet(func(r *http.Request) error { return g.ResumeSubscription(r.PathValue("name")) }))
	s.change("POST /events/groups/{name}/seek", "subscription_seek", func(r *http.Request) (string, error) {
		to, err := seekTo(r)
		if err != nil {
			return "", errUsage{err}
		}
		at, err := g.SeekSubscription(r.Context(), r.PathValue("name"), to)
		return landed(at), err
	})
	s.mux.HandleFunc("GET /events/dead/{name}", func(w http.ResponseWriter, r *http.Request) {
		list, err := g.DeadLetters(r.PathValue("name"), r.URL.Query().Get("after"), maxDeadLetters)
		if err != nil {
			eventFailed(w, err)
			return
		}
		if list == nil {
			list = []DeadLetter{}
		}
		answer(w, http.StatusOK, map[string][]DeadLetter{"dead": list})
	})
	s.mux.HandleFunc("GET /events/dead/{name}/{id}", func(w http.ResponseWriter, r *http.Request) {
		letter, err := g.DeadLetter(r.PathValue("name"), r.PathValue("id"))
		if err != nil {
			eventFailed(w, err)
			return
		}
		answer(w, http.StatusOK, letter)
	})
	s.change("POST /events/dead/{name}/{id}/retry", "dead_letter_retry", quiet(func(r *http.Request) error {
		return g.RetryDeadLetter(r.Context(), r.PathValue("name"), r.PathValue("id"))
	}))
	s.change("POST /events/dead/{name}/{id}/drop", "dead_letter_drop", quiet(func(r *http.Request) error {
		return g.DropDeadLetter(r.PathValue("name"), r.PathValue("id"))
	}))
}

// quiet is what has nothing to say but that it is done.
func quiet(do func(*http.Request) error) func(*http.Request) (string, error) {
	return func(r *http.Request) (string, error) { return "done\n", do(r) }
}

// landed says where a subscription goes on, a line for each partition.
func landed(at map[int32]int64) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(at)) {
		_, _ = fmt.Fprintf(&b, "partition %d goes on at offset %d\n", id, at[id]) // into memory
	}
	return b.String()
}

// change adds something that changes a subscription, which is audited. What it says is the answer.
func (s *server) change(pattern, event string, do func(*http.Request) (string, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		said, err := do(r)
		s.wrote(r, event, fmt.Sprintf("subscription=%q id=%q to=%q", r.PathValue("name"), r.PathValue("id"), r.URL.Query().Get("to")), err)
		if err != nil {
			eventFailed(w, err)
			return
		}
		text(w, http.StatusOK, said)
	})
}

// seekTo reads where to.
func seekTo(r *http.Request) (SeekTo, error) {
	q := r.URL.Query()
	text := q.Get("to")
	if n, err := strconv.ParseInt(q.Get("partition"), 10, 32); q.Get("partition") != "" && (err != nil || n < 0) {
		return SeekTo{}, errors.New("partition: expected a number")
	} else if offset, err := strconv.ParseInt(text, 10, 64); err == nil && offset >= 0 {
		return SeekTo{Offset: offset, Partition: int32(n)}, nil //nolint:gosec // it has 32 bits
	}
	switch text {
	case "earliest":
		return SeekTo{Earliest: true}, nil
	case "latest":
		return SeekTo{Latest: true}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return SeekTo{}, fmt.Errorf("to: found %.100q, expected earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z", text)
	}
	return SeekTo{Time: at}, nil
}
