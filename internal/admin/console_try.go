package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/transom-gateway/transom/internal/try"
)

const (
	// maxTrials is how many calls of the console may run at once.
	maxTrials = 16
	// maxTrial bounds what is asked for with a call, and each message.
	maxTrial = 8 << 20
)

// Tried is a Gateway that the console makes calls to (Surface 238, 241).
type Tried interface {
	// Public says where clients reach the gateway, as JSON.
	Public() any
	// Fields lists the fields of a message and of those in it, as JSON.
	Fields(symbol string) (any, error)
	// Try prepares a call for somebody at an address, and says in one line without secrets what
	// is asked for. The error is of that.
	Try(who, from string, asked try.Asked) (call *try.Trial, what string, err error)
}

// trials are the calls that run, by their ids.
type trials struct {
	mu  sync.Mutex
	all map[string]ofTrial
}

type ofTrial struct {
	*try.Trial
	who string
}

// enter notes a call, and reports whether there was room.
func (t *trials) enter(trial *try.Trial, who string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) >= maxTrials {
		return false
	}
	if t.all == nil {
		t.all = map[string]ofTrial{}
	}
	t.all[trial.ID] = ofTrial{trial, who}
	return true
}

func (t *trials) leave(trial *try.Trial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, trial.ID)
}

// of is the call of an id that is somebody's own; nil for none.
func (t *trials) of(id, who string) *try.Trial {
	t.mu.Lock()
	defer t.mu.Unlock()
	if found, ok := t.all[id]; ok && found.who == who {
		return found.Trial
	}
	return nil
}

// try adds the calls of the console.
func (s *server) try() {
	g, ok := s.Gateway.(Tried)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /try", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, g.Public()) })
	s.mux.HandleFunc("GET /describe/fields", func(w http.ResponseWriter, r *http.Request) {
		fields, err := g.Fields(r.URL.Query().Get("symbol"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		answer(w, http.StatusOK, fields)
	})
	s.mux.HandleFunc("POST /try", func(w http.ResponseWriter, r *http.Request) { s.runTrial(w, r, g) })
	s.mux.HandleFunc("POST /try/{id}/message", s.ofTrial(sendMessage))
	s.mux.HandleFunc("POST /try/{id}/half-close", s.ofTrial(func(t *try.Trial, _ []byte) error { t.HalfClose(); return nil }))
	s.mux.HandleFunc("POST /try/{id}/cancel", s.ofTrial(func(t *try.Trial, _ []byte) error { t.Cancel(); return nil }))
}

// trialBody reads a bounded body, and answers where it cannot.
func trialBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTrial))
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		http.Error(w, fmt.Sprintf("found a longer body, expected %d MiB at most", maxTrial>>20), http.StatusRequestEntityTooLarge)
		return nil, false
	}
	if err != nil {
		http.Error(w, "the body did not come whole: "+err.Error(), http.StatusBadRequest)
		return nil, false
	}
	return body, true
}

// runTrial makes a call and answers with what happens, an event in JSON a line, until the call
// ends, or whoever asked is gone or may ask no more.
func (s *server) runTrial(w http.ResponseWriter, r *http.Request, g Tried) {
	question, ok := trialBody(w, r)
	if !ok {
		return
	}
	var asked try.Asked
	if err := strict(question, &asked); err != nil {
		http.Error(w, "the call: "+err.Error(), http.StatusBadRequest)
		return
	}
	who, _ := s.Access.of(r)
	trial, what, err := g.Try(name(who), r.RemoteAddr, asked)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !s.trials.enter(trial, who) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d calls of the console are under way; wait for one, or cancel it", maxTrials), http.StatusServiceUnavailable)
		return
	}
	defer s.trials.leave(trial)
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // that of the body, which has come; the call may take longer
	w.Header().Set("Content-Type", "application/x-ndjson")
	v := viewer{w: w, c: c}
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	go s.watchTrial(ctx, r, trial)
	result := trial.Run(ctx, func(event try.Event) error {
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		return v.write(append(line, '\n'))
	})
	s.Audit.Write(Entry{Event: "try", Who: who, From: r.RemoteAddr, What: what, Result: result})
}

// strict reads JSON without fields that nobody knows.
func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// sendMessage sends one more message.
func sendMessage(t *try.Trial, body []byte) error {
	var m try.Message
	if err := strict(body, &m); err != nil {
		return fmt.Errorf(`expected a message such as {"text": "{}"} or {"base64": "AAE="}: %w`, err)
	}
	return t.Send(m)
}

// watchTrial cancels a call when a token was taken away, or the session is over.
func (s *server) watchTrial(ctx context.Context, r *http.Request, trial *try.Trial) {
	ticks := time.NewTicker(streamStep)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			if _, now := s.Access.of(r); now < Operator {
				trial.Cancel()
				return
			}
		}
	}
}

// ofTrial does something with a call that runs.
func (s *server) ofTrial(do func(*try.Trial, []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := trialBody(w, r)
		if !ok {
			return
		}
		who, _ := s.Access.of(r)
		trial := s.trials.of(r.PathValue("id"), who)
		if trial == nil {
			http.Error(w, "there is no such call of yours under way", http.StatusNotFound)
			return
		}
		if err := do(trial, body); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
