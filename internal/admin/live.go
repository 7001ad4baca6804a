package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Watched is a Gateway whose calls can be watched as they end (Surface 242).
type Watched interface {
	// Watch begins to tell of the calls that a filter takes; "" takes all. next waits for calls, for a
	// second at most, and is false when ctx has ended. It gives calls, which are written as JSON as
	// they are, how many there were besides, more than a viewer gets, and how many were not judged.
	// end ends it. With messages calls have those of their messages that admin.capture shows; the error is one of the filter, or of
	// messages where it shows none, unless it has a method TooMany.
	Watch(filter string, messages bool) (next func(context.Context) (calls []any, dropped, missed uint64, ok bool), end func(), err error)
}

// livePath is where calls are told of.
const livePath = "/live"

// live tells of calls by Server-Sent Events, each as JSON, until the viewer goes.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	g, ok := s.Gateway.(Watched)
	if !ok {
		http.NotFound(w, r)
		return
	}
	filter, messages, needs := r.URL.Query().Get("filter"), r.URL.Query().Get("messages") == "true", Reader
	if messages {
		needs = Operator
	}
	if who, role := s.Access.of(r); role < needs {
		s.Audit.failed(Entry{Event: "auth_failed", Who: who, From: r.RemoteAddr, What: "GET /live with messages"})
		http.Error(w, "found the role "+role.String()+", expected "+needs.String()+" to see messages: use another token, or watch without messages", http.StatusForbidden)
		return
	}
	next, end, err := g.Watch(filter, messages)
	if messages {
		s.wrote(r, "live_messages", "filter "+strconv.Quote(filter), err)
	}
	if err != nil {
		code := http.StatusBadRequest
		if full := new(interface{ TooMany() }); errors.As(err, full) {
			w.Header().Set("Retry-After", "5")
			code = http.StatusServiceUnavailable
		}
		http.Error(w, err.Error(), code)
		return
	}
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	v := viewer{w: w, c: http.NewResponseController(w)}
	if v.write([]byte(": watching\n\n")) != nil {
		return
	}
	for said := time.Now(); ; {
		calls, dropped, missed, ok := next(r.Context())
		// A token may have been taken away, or the session is over.
		if _, now := s.Access.of(r); !ok || now < needs {
			return
		}
		text, err := liveEvents(calls, dropped, missed)
		if len(text) == 0 && time.Since(said) > 10*time.Second {
			text = []byte(": still here\n\n") // or it is not known that the viewer is gone
		}
		if len(text) == 0 && err == nil {
			continue
		}
		if err != nil || v.write(text) != nil {
			return
		}
		said = time.Now()
	}
}

// liveEvents are calls as a viewer reads them.
func liveEvents(calls []any, dropped, missed uint64) (text []byte, err error) {
	for _, call := range calls {
		data, err := json.Marshal(call)
		if err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, "event: call\ndata: %s\n\n", data)
	}
	if dropped+missed > 0 {
		text = fmt.Appendf(text, "event: more\ndata: {\"dropped\":%d,\"missed\":%d}\n\n", dropped, missed)
	}
	return text, nil
}
