package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// routes answers what `transom routes --json` prints.
func (s *server) routes(w http.ResponseWriter, _ *http.Request) {
	list := s.Gateway.Routes()
	out := make([]Route, len(list)) // never null
	copy(out, list)
	for i := range out {
		if out[i].Policies == nil {
			out[i].Policies = []string{}
		}
	}
	answer(w, http.StatusOK, struct {
		Routes []Route `json:"routes"`
	}{out})
}

// reload answers 200 with what changed and what was left out, or 422 with the
// problems. The page's form is sent back to the page, which shows either.
func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	// A client that goes away must not leave half a reload.
	before := s.Gateway.Status()
	changed, problems := s.Gateway.Reload(context.WithoutCancel(r.Context()))
	who, _ := s.Access.of(r)
	after := s.Gateway.Status()
	entry := Entry{
		Event: "reload", Who: who, From: r.RemoteAddr, Result: changed, Before: before.Generation, After: after.Generation,
		ConfigBefore: before.ConfigSum, ConfigAfter: after.ConfigSum,
	}
	if len(problems) > 0 {
		entry.Result = "failed: " + problems[0].String()
	}
	s.Audit.Write(entry)
	if strings.HasPrefix(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, pagePath, http.StatusSeeOther)
		return
	}
	if len(problems) > 0 {
		answer(w, http.StatusUnprocessableEntity, struct {
			Problems []Problem `json:"problems"`
		}{problems})
		return
	}
	status := s.Gateway.Status()
	answer(w, http.StatusOK, struct {
		Changed    string    `json:"changed"`
		Generation uint64    `json:"generation"`
		Problems   []Problem `json:"problems,omitempty"`
		// NotReloaded is what could not be taken over; what was there before stays.
		NotReloaded []string `json:"not_reloaded,omitempty"`
	}{changed, status.Generation, status.Problems, status.NotReloaded})
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body) // the client is gone
}
