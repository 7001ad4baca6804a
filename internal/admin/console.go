package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Explored is a Gateway that the console shows in full (Surface 234). Its answers are written
// as JSON as they are: the listener neither reads nor changes them.
type Explored interface {
	// Explain says what becomes of a request, which has the form that the command of that name
	// prints (Surface 235). The error is one of the question.
	Explain(r *http.Request, question []byte) (any, error)
	// Detail says all of a route, by its method, path and conditions; nil where there is none.
	Detail(rule string) any
	// Reloads lists the last reloads, the newest first.
	Reloads() []ReloadRecord
	// Symbols lists what Describe describes: services, methods, messages and enums.
	Symbols() []string
	// Describe describes one of them.
	Describe(symbol string) (string, error)
	// History is what calls there were in the last quarter of an hour; nil for none.
	History() any
	// RouteHistory is what calls of a route there were, by the rule of Detail; nil where there is no such route.
	RouteHistory(rule string) any
	// Policies is what policies have decided, and how full their memories are.
	Policies() any
	// Configuration is what is in effect, by lines, each with where it comes from; secrets are masked.
	Configuration() any
	// Started is when the process began to serve.
	Started() time.Time
}

// ReloadRecord is a reload as /reloads shows it.
type ReloadRecord struct {
	At time.Time `json:"at"`
	// TookMS is how many milliseconds it took.
	TookMS float64 `json:"took_ms"`
	// Generation and ConfigSum are those in service afterwards.
	Generation uint64 `json:"generation"`
	ConfigSum  string `json:"config_sum,omitempty"`
	// Refused reports whether what was in service before has stayed there.
	Refused  bool      `json:"refused"`
	Problems []Problem `json:"problems,omitempty"`
	// Added, Removed and Changed are the first routes that changed, Counts how many there were.
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Counts  [3]int   `json:"counts"`
}

// maxQuestion bounds the body of a request to the console.
const maxQuestion = 1 << 20

// console adds the pages for browsers and what they ask for.
func (s *server) console() {
	if s.Console == nil {
		s.mux.HandleFunc("GET /{$}", s.page)
	} else {
		s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "console/") // as seen from wherever a proxy has put it
			w.WriteHeader(http.StatusFound)
		})
		s.mux.Handle("GET /console/", http.StripPrefix("/console", s.Console))
		s.sessions()
		s.mux.HandleFunc("GET /console/stream", s.stream)
	}
	s.mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.state()) })
	g, ok := s.Gateway.(Explored)
	if !ok {
		return
	}
	s.mux.HandleFunc("POST /explain", func(w http.ResponseWriter, r *http.Request) { explain(w, r, g) })
	s.mux.HandleFunc("GET /routes/detail", func(w http.ResponseWriter, r *http.Request) { ofRoute(w, r, g.Detail) })
	s.mux.HandleFunc("GET /routes/history", func(w http.ResponseWriter, r *http.Request) { ofRoute(w, r, g.RouteHistory) })
	s.mux.HandleFunc("GET /policies", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, g.Policies()) })
	s.mux.HandleFunc("GET /reloads", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"reloads": append([]ReloadRecord{}, g.Reloads()...)})
	})
	s.mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, g.Configuration()) })
	s.mux.HandleFunc("GET /describe", func(w http.ResponseWriter, r *http.Request) { describe(w, r, g) })
	s.mux.HandleFunc("GET /history", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, g.History()) })
}

// ofRoute answers what is said of a route.
func ofRoute(w http.ResponseWriter, r *http.Request, say func(rule string) any) {
	said := say(r.URL.Query().Get("rule"))
	if said == nil {
		http.Error(w, "there is no such route; /routes lists all: rule is the method, a space and the path", http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, said)
}

// explain answers what would become of a request.
func explain(w http.ResponseWriter, r *http.Request, g Explored) {
	var question json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&question); err != nil {
		tooLong := new(http.MaxBytesError)
		if errors.As(err, &tooLong) {
			http.Error(w, "found a longer body, expected 1 MiB at most", http.StatusRequestEntityTooLarge)
			return
		}
		http.Error(w, `expected a body such as {"method": "GET", "url": "/v1/shelves", "headers": ["accept: text/plain"], "body": ""}: `+err.Error(), http.StatusBadRequest)
		return
	}
	verdict, err := g.Explain(r, question)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, http.StatusOK, verdict)
}

// describe answers the description of a symbol, or lists all symbols.
func describe(w http.ResponseWriter, r *http.Request, g Explored) {
	symbol := r.URL.Query().Get("symbol")
	if symbol == "" {
		answer(w, http.StatusOK, map[string][]string{"symbols": append([]string{}, g.Symbols()...)})
		return
	}
	description, err := g.Describe(symbol)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, map[string]string{"symbol": symbol, "text": description})
}

// State is the status as /status and the console have it.
type State struct {
	Version string     `json:"version"`
	Started *time.Time `json:"started,omitempty"`
	Ready   bool       `json:"ready"`
	// Reason is why it is not ready.
	Reason     string     `json:"reason,omitempty"`
	Generation uint64     `json:"generation"`
	ConfigSum  string     `json:"config_sum,omitempty"`
	LoadedAt   *time.Time `json:"loaded_at,omitempty"`
	// FailedAt is when the last reload was refused.
	FailedAt      *time.Time    `json:"failed_at,omitempty"`
	Problems      []Problem     `json:"problems"`
	NotReloaded   []string      `json:"not_reloaded"`
	Stores        []string      `json:"stores"`
	Sinks         []string      `json:"sinks"`
	Subscriptions []string      `json:"subscriptions"`
	Upstreams     []ofUpstream  `json:"upstreams"`
	Circuits      []Circuit     `json:"circuits"`
	Maintenance   []Maintenance `json:"maintenance"`
	// TraceURL is where a trace can be looked at, with {trace_id} for its id.
	TraceURL string `json:"trace_url,omitempty"`
}

// state collects the status. Its lists are never null.
func (s *server) state() State {
	status := s.Gateway.Status()
	state := State{
		Version: s.Version, TraceURL: s.TraceURL, Generation: status.Generation, ConfigSum: status.ConfigSum,
		LoadedAt: unlessZero(status.LoadedAt), FailedAt: unlessZero(status.FailedAt),
		Problems: append([]Problem{}, status.Problems...), NotReloaded: append([]string{}, status.NotReloaded...),
		Stores: append([]string{}, status.Stores...), Sinks: []string{}, Subscriptions: append([]string{}, status.Subscriptions...),
		Upstreams: ofUpstreams(status.Upstreams), Circuits: []Circuit{}, Maintenance: []Maintenance{},
	}
	state.Ready, state.Reason = s.Gateway.Ready()
	for _, sink := range status.Sinks {
		state.Sinks = append(state.Sinks, sink.String())
	}
	if g, ok := s.Gateway.(Operated); ok {
		state.Circuits = append(state.Circuits, g.Circuits()...)
	}
	if g, ok := s.Gateway.(Maintained); ok {
		state.Maintenance = append(state.Maintenance, g.Maintenance()...)
	}
	if g, ok := s.Gateway.(Explored); ok {
		state.Started = unlessZero(g.Started())
	}
	return state
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// isShell reports whether a request is for the console's own files, which tell nothing of the
// gateway: whoever has no token yet sees the page that asks for one.
func (s *server) isShell(r *http.Request) bool {
	if s.Console == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return s.Console != nil && r.URL.Path == sessionPath
	}
	return r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/console/") && r.URL.Path != "/console/stream"
}

// name says whose a request is, for the console.
func name(who string) string { return cmp.Or(who, "nobody") }
