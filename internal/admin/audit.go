package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxFailures is how many lines are written of those who are not let in, within
	// failureTime: whoever can try must not fill the disk.
	maxFailures = 60
	failureTime = time.Minute
	// maxText bounds each text of a line, in bytes: the same one chooses the path.
	maxText = 1000
)

// Entry is one line of the audit log.
type Entry struct {
	Time time.Time `json:"time"`
	// Event is reload, upgrade, circuit, endpoint, maintenance, cache_purge, key_release, log_level, try, live_messages or auth_failed.
	Event string `json:"event"`
	// Who did it, From where.
	Who  string `json:"who,omitempty"`
	From string `json:"from,omitempty"`
	// What was asked for, and what came of it.
	What   string `json:"what,omitempty"`
	Result string `json:"result,omitempty"`
	// Before and After are the generations around a reload.
	Before uint64 `json:"generation_before,omitempty"`
	After  uint64 `json:"generation_after,omitempty"`
	// ConfigBefore and ConfigAfter are the SHA-256 of the configuration's file around it.
	ConfigBefore string `json:"config_before,omitempty"`
	ConfigAfter  string `json:"config_after,omitempty"`
	// LeftOut counts the lines of this event that are not written, since the one before.
	LeftOut int `json:"left_out,omitempty"`
}

// Audit writes down what is done (Surface 267). It is safe for concurrent use. A nil
// Audit writes nothing.
type Audit struct {
	mu   sync.Mutex
	to   io.Writer // nil: log
	sync func() error
	log  *slog.Logger

	since    time.Time // the failures below are counted
	failures int
	leftOut  int
}

// NewAudit writes lines of JSON to a file that nobody else writes to, each with one
// write, and has each on the disk where sync is not nil. Without a file, lines go to the
// log, as do those that cannot be written.
func NewAudit(to io.Writer, sync func() error, log *slog.Logger) *Audit {
	return &Audit{to: to, sync: sync, log: log}
}

// Write writes one line.
func (a *Audit) Write(e Entry) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write(e)
}

// write is Write with a.mu held.
func (a *Audit) write(e Entry) {
	e.Time = time.Now().UTC()
	for _, text := range []*string{&e.Who, &e.What, &e.Result} {
		*text = shortened(*text)
	}
	if a.to != nil {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = a.to.Write(append(line, '\n'))
		}
		if err == nil && a.sync != nil {
			err = a.sync()
		}
		if err == nil {
			return
		}
		a.log.Error("the audit log cannot be written", "error", err)
	}
	a.log.Info("audit", "event", e.Event, "who", e.Who, "from", e.From, "what", e.What, "result", e.Result,
		"generation_before", e.Before, "generation_after", e.After, "config_before", e.ConfigBefore, "config_after", e.ConfigAfter, "left_out", e.LeftOut)
}

// shortened is a text that has at most maxText bytes.
func shortened(text string) string {
	if len(text) <= maxText {
		return text
	}
	const mark = "…"
	return strings.ToValidUTF8(text[:maxText-len(mark)], "") + mark
}

// failed writes of somebody who was not let in, unless there are too many.
func (a *Audit) failed(e Entry) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.since) > failureTime {
		a.since, a.failures = now, 0
	}
	if a.failures++; a.failures > maxFailures {
		a.leftOut++
		return
	}
	e.LeftOut, a.leftOut = a.leftOut, 0
	a.write(e)
}

// wrote writes down an operation and what came of it.
func (s *server) wrote(r *http.Request, event, what string, err error) {
	s.write(r, Entry{Event: event, What: what}, err)
}

// write adds to an entry who asked for an operation, and what came of it.
func (s *server) write(r *http.Request, e Entry, err error) {
	e.Who, _ = s.Access.of(r)
	e.From, e.Result = r.RemoteAddr, "done"
	if err != nil {
		e.Result = "failed: " + err.Error()
	}
	s.Audit.Write(e)
}
