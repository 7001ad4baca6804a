package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Operated is a Gateway whose circuit breakers and endpoints are set by hand.
type Operated interface {
	// Circuits lists the circuit breakers, in the order in which they are to be shown.
	Circuits() []Circuit
	// SetCircuit opens or closes the breaker of an RPC at an upstream, or all of the
	// upstream where rpc is empty, until told otherwise; auto has them decide for
	// themselves again. It returns how many it told.
	SetCircuit(upstream, rpc, state string) (int, error)
	// SetEndpoint takes an endpoint out, or puts it back.
	SetEndpoint(upstream, address string, out bool) error
	// LogLevel is how much is logged: DEBUG, INFO, WARN or ERROR.
	LogLevel() string
	// SetLogLevel has as much logged, until the process ends or it is told otherwise. It
	// returns an error for any other level.
	SetLogLevel(level string) error
}

// Circuit is a circuit breaker as /circuits shows it.
type Circuit struct {
	Upstream string `json:"upstream"`
	RPC      string `json:"rpc"`
	// State is closed, open, half_open, closed_by_hand or open_by_hand.
	State string `json:"state"`
	// OpenFor is for how long it stays open.
	OpenFor string `json:"open_for,omitempty"`
	// Calls and Failures are those of the window, InARow the last failures.
	Calls    uint32 `json:"calls"`
	Failures uint32 `json:"failures"`
	InARow   uint32 `json:"in_a_row"`
}

// operate adds what is set by hand (Traffic 106, Surface 267).
func (s *server) operate() {
	g, ok := s.Gateway.(Operated)
	if !ok {
		return
	}
	s.mux.HandleFunc("GET /circuits", func(w http.ResponseWriter, _ *http.Request) {
		list := g.Circuits()
		if list == nil {
			list = []Circuit{}
		}
		answer(w, http.StatusOK, struct {
			Circuits []Circuit `json:"circuits"`
		}{list})
	})
	s.mux.HandleFunc("POST /upstreams/{name}/circuit", func(w http.ResponseWriter, r *http.Request) {
		upstream, rpc, state := r.PathValue("name"), r.URL.Query().Get("rpc"), r.URL.Query().Get("state")
		told, err := 0, errState("state", state, "open", "closed", "auto")
		if err == nil {
			told, err = g.SetCircuit(upstream, rpc, state)
		}
		s.wrote(r, "circuit", fmt.Sprintf("upstream=%q rpc=%q state=%q", upstream, rpc, state), err)
		s.operated(w, err, fmt.Sprintf("circuit breakers told: %d", told))
	})
	s.mux.HandleFunc("POST /upstreams/{name}/endpoint", func(w http.ResponseWriter, r *http.Request) {
		upstream, address, state := r.PathValue("name"), r.URL.Query().Get("address"), r.URL.Query().Get("state")
		err := errState("state", state, "out", "in")
		if err == nil {
			err = g.SetEndpoint(upstream, address, state == "out")
		}
		s.wrote(r, "endpoint", fmt.Sprintf("upstream=%q address=%q state=%q", upstream, address, state), err)
		s.operated(w, err, "done")
	})
	s.maintain()
	s.upgrade()
	s.purge()
	s.keys()
	s.events()
	s.subscriptions()
	s.mux.HandleFunc("GET /log/level", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, g.LogLevel()+"\n") })
	s.mux.HandleFunc("POST /log/level", func(w http.ResponseWriter, r *http.Request) {
		before, level := g.LogLevel(), r.URL.Query().Get("level")
		err := errState("level", level, "DEBUG", "INFO", "WARN", "ERROR")
		if err == nil {
			err = g.SetLogLevel(level)
		}
		s.wrote(r, "log_level", fmt.Sprintf("level=%q before=%q", level, before), err)
		s.operated(w, err, "done")
	})
}

// errUsage is what a request asks for that nothing can do.
type errUsage struct{ error }

// errState holds that a parameter's value is one of those that there are.
func errState(name, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return errUsage{fmt.Errorf("%s: found %q, expected one of %q", name, value, known)}
}

// operated says what came of an operation.
func (s *server) operated(w http.ResponseWriter, err error, done string) {
	var usage errUsage
	switch {
	case errors.As(err, &usage):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		text(w, http.StatusOK, done+"\n")
	}
}

// OpenFor writes for how long a breaker stays open; "" for no time.
func OpenFor(left time.Duration) string {
	if left <= 0 {
		return ""
	}
	return left.Round(time.Millisecond).String()
}
