package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Eventful is a Gateway whose events are looked at, and rejected ones dealt with by hand.
type Eventful interface {
	// EventSinks are the sinks by name, and the log.
	EventSinks() (EventSinks, error)
	// TailEvents calls each with the events of the log in JSON, one after the other, until
	// ctx ends or each returns an error.
	TailEvents(ctx context.Context, q EventQuery, each func(event []byte) error) error
	// RejectedEvents lists what a sink has refused for good, the oldest first; for "" of all
	// sinks.
	RejectedEvents(sink string) ([]RejectedEvent, error)
	// RetryRejected sends one again to its sink, and DropRejected forgets it. The error is
	// ErrNoEvent where there is none.
	RetryRejected(sink, id string) error
	DropRejected(sink, id string) error
}

// EventSinks is how the bus of events is.
type EventSinks struct {
	Sinks []EventSink `json:"sinks"`
	Log   *EventLog   `json:"log,omitempty"`
}

// EventSink is a sink as /events/sinks shows it.
type EventSink struct {
	Name string `json:"name"`
	// Queue is what waits best effort, and Lag what the log has for it.
	Queue int    `json:"queue"`
	Lag   uint64 `json:"lag"`
	// Failure is why it does not take events, since Since.
	Failure     string     `json:"failure,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
	// SilentSince is since when it has acknowledged nothing of what it was sent, where that is some seconds ago.
	SilentSince *time.Time `json:"silent_since,omitempty"`
	// Refusal is why it has rejected an event, if it has acknowledged none since then.
	Refusal string `json:"refusal,omitempty"`
	// NotReloaded says which of its files are not in effect.
	NotReloaded string `json:"not_reloaded,omitempty"`
}

// EventLog is the log as /events/sinks shows it.
type EventLog struct {
	Records uint64     `json:"records"`
	Bytes   int64      `json:"bytes"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	Failure string     `json:"failure,omitempty"`
}

// EventQuery says which events are meant: those of a type and a topic, as far as these are not
// empty. A type may end with ".*".
type EventQuery struct {
	Type, Topic string
	// Earliest begins with the oldest event that the log has.
	Earliest bool
}

// RejectedEvent is one as /events/rejected shows it.
type RejectedEvent struct {
	Sink   string    `json:"sink"`
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Topic  string    `json:"topic"`
	Key    string    `json:"key,omitempty"`
	// Event is the CloudEvent.
	Event json.RawMessage `json:"event"`
}

// ErrNoEvent is the error of an Eventful for what is not there. For what cannot be done as things are, through no fault of
// the gateway, an error has the method NotDone.
var ErrNoEvent = errors.New("no such event")

// events adds what is said of events (Surface 296).
func (s *server) events() {
	g, ok := s.Gateway.(Eventful)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /events/sinks", func(w http.ResponseWriter, _ *http.Request) {
		sinks, err := g.EventSinks()
		if err != nil {
			eventFailed(w, err)
			return
		}
		answer(w, http.StatusOK, sinks)
	})
	s.mux.HandleFunc("GET /events/tail", func(w http.ResponseWriter, r *http.Request) { tail(w, r, g) })
	s.mux.HandleFunc("GET /events/rejected", func(w http.ResponseWriter, r *http.Request) {
		list, err := g.RejectedEvents(r.URL.Query().Get("sink"))
		if err != nil {
			eventFailed(w, err)
			return
		}
		if list == nil {
			list = []RejectedEvent{}
		}
		answer(w, http.StatusOK, map[string][]RejectedEvent{"rejected": list})
	})
	for verb, do := range map[string]func(sink, id string) error{"retry": g.RetryRejected, "drop": g.DropRejected} {
		s.mux.HandleFunc("POST /events/rejected/{sink}/{id}/"+verb, func(w http.ResponseWriter, r *http.Request) {
			sink, id := r.PathValue("sink"), r.PathValue("id")
			err := do(sink, id)
			s.wrote(r, "event_"+verb, fmt.Sprintf("sink=%q id=%q", sink, id), err)
			if err != nil {
				eventFailed(w, err)
				return
			}
			text(w, http.StatusOK, "done\n")
		})
	}
}

// tail writes events as they come, one JSON document a line.
func tail(w http.ResponseWriter, r *http.Request, g Eventful) {
	q, err := eventQuery(r.URL.Query())
	if err != nil {
		eventFailed(w, err)
		return
	}
	c := http.NewResponseController(w)
	begun := false
	begin := func() error {
		begun = true
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(http.StatusOK)
		return c.Flush()
	}
	err = g.TailEvents(r.Context(), q, func(event []byte) error {
		if !begun {
			if err := begin(); err != nil {
				return err
			}
		}
		if len(event) == 0 {
			return nil
		}
		_ = c.SetWriteDeadline(time.Now().Add(tailTime))
		if _, err := w.Write(append(event, '\n')); err != nil {
			return err
		}
		return c.Flush()
	})
	if err != nil && !begun {
		eventFailed(w, err)
	}
}

// tailTime is how long a client may take for one event.
const tailTime = 10 * time.Second

// eventQuery reads which events are wanted.
func eventQuery(query url.Values) (EventQuery, error) {
	var q EventQuery
	for name, values := range query {
		if len(values) != 1 || values[0] == "" {
			return q, errUsage{fmt.Errorf("%s: expected one value", name)}
		}
		switch value := values[0]; name {
		case "type":
			q.Type = value
		case "topic":
			q.Topic = value
		case "from":
			if value != "earliest" && value != "latest" {
				return q, errUsage{fmt.Errorf("from: found %q, expected earliest or latest", value)}
			}
			q.Earliest = value == "earliest"
		default:
			return q, errUsage{fmt.Errorf("found the parameter %q, expected type, topic or from", name)}
		}
	}
	return q, nil
}

// Has reports whether an event of that type and topic is meant.
func (q EventQuery) Has(eventType, topic string) bool {
	if q.Topic != "" && q.Topic != topic {
		return false
	}
	if prefix, ok := strings.CutSuffix(q.Type, "*"); ok {
		return strings.HasPrefix(eventType, prefix)
	}
	return q.Type == "" || q.Type == eventType
}

func eventFailed(w http.ResponseWriter, err error) {
	var usage errUsage
	var notDone interface{ NotDone() }
	switch {
	case errors.As(err, &usage):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, ErrNoEvent):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.As(err, &notDone):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}
