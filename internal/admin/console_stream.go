package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// maxViewers is how many pages may be open at once.
	maxViewers = 64
	// streamStep is how often a page is told what has changed, historyStep how often its charts
	// move on, and viewerTime how long a page may take for what it is told.
	streamStep  = time.Second
	historyStep = 5
	viewerTime  = 10 * time.Second
)

// stream tells a page of the console all that changes, by Server-Sent Events, the whole of it
// first (Surface 244).
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	if s.viewers.Add(1) > maxViewers {
		s.viewers.Add(-1)
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d pages of the console are open; close one", maxViewers), http.StatusServiceUnavailable)
		return
	}
	defer s.viewers.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	v := viewer{w: w, c: http.NewResponseController(w)}
	who, role := s.Access.of(r)
	err := v.changed("who", map[string]any{"who": name(who), "role": role.String()})
	ticks := time.NewTicker(streamStep)
	defer ticks.Stop()
	for n := 0; err == nil; n++ {
		if err = v.changed("status", s.state()); err != nil {
			return
		}
		if g, ok := s.Gateway.(Explored); ok && n%historyStep == 0 {
			if err = v.changed("history", g.History()); err != nil {
				return
			}
		}
		if n%15 == 14 {
			err = v.write([]byte(": still here\n\n")) // or it is not known that the page is gone
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticks.C:
		}
		// A token may have been taken away, or the session is over.
		if _, now := s.Access.of(r); now < Reader {
			return
		}
	}
}

// viewer is a page of the console that is open.
type viewer struct {
	w    http.ResponseWriter
	c    *http.ResponseController
	said map[string][]byte
}

// changed tells what is not as it was told before.
func (v *viewer) changed(event string, body any) error {
	data, err := json.Marshal(body)
	if err != nil || bytes.Equal(v.said[event], data) {
		return err
	}
	if v.said == nil {
		v.said = map[string][]byte{}
	}
	v.said[event] = data
	return v.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, data))
}

func (v *viewer) write(text []byte) error {
	_ = v.c.SetWriteDeadline(time.Now().Add(viewerTime)) // the connection has deadlines
	if _, err := v.w.Write(text); err != nil {
		return err
	}
	return v.c.Flush()
}
