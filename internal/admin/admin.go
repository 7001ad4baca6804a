// Package admin is the operator's HTTP server, meant for a loopback address:
// health, metrics, routes, reload and profiles. It knows the gateway only by
// what it is handed in Options, and it neither listens nor configures anything.
//
//	handler := admin.New(admin.Options{Version: version, Gateway: gateway, Metrics: metrics.Handler()})
//	server := &http.Server{Handler: handler}
//
// Browsers are kept honest: a request that another site caused changes nothing,
// and a name that merely resolves to the address is not answered.
package admin

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"
)

// Gateway is what is administered. It is safe for concurrent use.
type Gateway interface {
	// Ready reports whether requests should be sent here: a snapshot is in service
	// and the process is not draining. Else reason says why not, for people.
	Ready() (ready bool, reason string)
	// Status describes the snapshot in service and the last reload.
	Status() Status
	// Routes lists all routes in the order in which they are to be shown.
	Routes() []Route
	// Reload reads everything anew. Without problems changed says what is
	// different, for people; with problems the last good snapshot is in service.
	Reload(ctx context.Context) (changed string, problems []Problem)
}

// Status is the state of a gateway.
type Status struct {
	// Generation counts the snapshots; 0 means that none is in service.
	Generation uint64
	// ConfigSum is the SHA-256 of its configuration's file; "" where it is from none.
	ConfigSum string
	// LoadedAt is when the snapshot came into service.
	LoadedAt time.Time
	// FailedAt is when the last reload failed; zero if it worked.
	FailedAt time.Time
	// Problems are those of the last reload. One that worked may have some too:
	// what it had to leave out.
	Problems []Problem
	// NotReloaded is what has changed and takes effect at the next start alone, or could
	// not be used, one text each that says which: "not reloaded: …", "never read: …".
	NotReloaded []string
	// Stores are those that could not be used when they were asked last, each as
	// "name: why".
	Stores []string
	// Sinks are those of events, by name.
	Sinks []Sink
	// Subscriptions are lines that each say how one is.
	Subscriptions []string
	// Upstreams in the order in which they are to be shown.
	Upstreams []Upstream
}

// Sink is a sink of events.
type Sink struct {
	Name string
	// Waiting is how many records it has not acknowledged.
	Waiting uint64
	// Failure is why it does not take events, since Since; "" where it does.
	Failure string
	Since   time.Time
	// Silent is since when it has acknowledged nothing of what it was sent; zero where that is no time to speak of.
	Silent time.Time
	// Refusal is why it has rejected an event, if it has acknowledged none since then; "" else.
	Refusal string
	// NotReloaded says which of its files are not in effect; "" where all are.
	NotReloaded string
}

// Problem is one thing wrong with the input of a load.
type Problem struct {
	// File is empty where the problem is in no file; Line and Column count from 1
	// and are 0 where they are not known.
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// Route is one route as /routes and the page show it.
type Route struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	RPC    string `json:"rpc,omitempty"`
	// Request and Response are the full names of the messages.
	Request  string `json:"request,omitempty"`
	Response string `json:"response,omitempty"`
	// Stream is unary, client_streaming, server_streaming or bidi_streaming.
	Stream   string   `json:"stream,omitempty"`
	Upstream string   `json:"upstream,omitempty"`
	Policies []string `json:"policies"`
	// Conditions are headers and parameters of the query, Answer how the gateway answers itself.
	Conditions []string `json:"conditions,omitempty"`
	Answer     string   `json:"answer,omitempty"`
}

// Options says what to administer.
type Options struct {
	// Version of the gateway, for the page.
	Version string
	// Gateway is required.
	Gateway Gateway
	// Metrics answers /metrics; nil means that there are none.
	Metrics http.Handler
	// Hosts are names that requests may be addressed to, besides localhost and IP
	// addresses; without ports.
	Hosts []string
	// Access says who may look and operate. The zero Access is for a loopback address.
	Access Access
	// Audit is told what is done; nil for nobody.
	Audit *Audit
	// Console answers for the files of the console, below its path; nil for no console.
	Console http.Handler
	// TraceURL is where a trace can be looked at, with {trace_id} for its id; "" for nowhere.
	TraceURL string
}

// server answers the operator.
type server struct {
	Options
	mux     *http.ServeMux
	viewers atomic.Int32 // pages of the console that are open
	trials  trials       // its calls
}

// New returns the handler of all admin paths.
func New(o Options) http.Handler {
	s := &server{Options: o, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET "+pagePath, s.page)
	s.console()
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /routes", s.routes)
	s.mux.HandleFunc("GET /upstreams", s.upstreams)
	s.mux.HandleFunc("POST /reload", s.reload)
	if o.Metrics != nil {
		s.mux.Handle("GET /metrics", o.Metrics)
	}
	s.mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	s.mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	s.mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.operate()
	s.schemas()
	s.openAPI()
	s.mux.HandleFunc("GET "+livePath, s.live)
	s.try()
	return s.guard(http.NewCrossOriginProtection().Handler(noPageOfOthers(s.admit(http.HandlerFunc(s.route)))))
}

// noPageOfOthers keeps pages of other origins from asking for anything, which costs something though they
// cannot read it: a profile, the place of a page of the console, a look at all limits. A link leads to a page, but to
// nothing that goes on. Browsers alone send the headers.
func noPageOfOthers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, mode := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Mode")
		link := mode == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && !goesOn(r.URL.Path)
		if (from == "cross-site" || from == "same-site") && !link && !isOpen(r) {
			http.Error(w, "a page of another origin may not ask for this: open it by itself, or with curl", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// goesOn reports whether what is at a path goes on until who asks is gone, or costs as much.
func goesOn(path string) bool {
	return strings.HasPrefix(path, "/debug/") || path == "/console/stream" || path == livePath || path == "/events/tail"
}

// route says what there is instead where nothing is to be had.
func (s *server) route(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.mux.Handler(r); pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := *r
		other.Method = method
		if _, pattern := s.mux.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		http.Error(w, "found "+r.Method+", expected "+strings.Join(allowed, " or ")+" for "+r.URL.Path, http.StatusMethodNotAllowed)
		return
	}
	http.Error(w, "no page is at "+r.URL.Path+"; / names those that there are", http.StatusNotFound)
}
