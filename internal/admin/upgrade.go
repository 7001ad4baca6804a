package admin

import (
	"context"
	"fmt"
	"net/http"
)

// Upgraded is a Gateway whose process can be replaced by another one.
type Upgraded interface {
	// Upgrade starts the program anew on the sockets of this process, and returns the id of
	// the new process when that is ready. done has this process end; with an error it goes on.
	Upgrade(ctx context.Context) (pid int, done func(), err error)
}

// upgrade adds the hand-over to another process (Traffic 196).
func (s *server) upgrade() {
	g, ok := s.Gateway.(Upgraded)
	if !ok {
		return
	}
	s.mux.HandleFunc("POST /upgrade", func(w http.ResponseWriter, r *http.Request) {
		// A client that goes away must not leave half of it.
		pid, done, err := g.Upgrade(context.WithoutCancel(r.Context()))
		now := s.Gateway.Status() // what the new process has read is its own line
		s.write(r, Entry{Event: "upgrade", What: fmt.Sprintf("pid=%d", pid), Before: now.Generation, ConfigBefore: now.ConfigSum}, err)
		if err != nil {
			text(w, http.StatusConflict, line(err.Error())+"; this process goes on\n")
			return
		}
		defer done()
		answer(w, http.StatusOK, struct {
			PID int `json:"pid"`
		}{pid})
		_ = http.NewResponseController(w).Flush() // the client is gone; else it has the answer before we end
	})
}
