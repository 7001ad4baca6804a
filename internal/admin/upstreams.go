package admin

import (
	"fmt"
	"html"
	"net/http"
	"strings"
	"time"
)

// Upstream is a backend and how its connections are.
type Upstream struct {
	Name   string
	Target string
	// State is one word, for example READY.
	State string
	// Failure is why the backend cannot be reached; empty: it can.
	Failure string
	// Endpoints are its servers, in the order in which they are to be shown.
	Endpoints []Endpoint
}

// Endpoint is one server of an upstream, as /upstreams shows it.
type Endpoint struct {
	Addresses []string `json:"addresses"`
	// State is one word, for example READY, Why the reason for it, or what is wrong all the
	// same, Since when it holds.
	State string    `json:"state"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
	// Used reports whether it gets calls.
	Used     bool   `json:"used"`
	Zone     string `json:"zone,omitempty"`
	Weight   uint32 `json:"weight"`
	Priority uint32 `json:"priority"`
	// Connections that take calls; InFlight counts calls and streams under way.
	Connections int   `json:"connections"`
	InFlight    int64 `json:"in_flight"`
	// Calls that have ended, and those whose end was the endpoint's fault.
	Calls     uint64 `json:"calls"`
	Faults    uint64 `json:"faults"`
	Ejections uint64 `json:"ejections"`
	// LatencyMS is a moving average, in milliseconds; 0: there is none.
	LatencyMS float64 `json:"latency_ms"`
	// Checks are the last checks of its health, each of another service; none where it is
	// not checked.
	Checks []Check `json:"checks,omitempty"`
}

// Check is one check of an endpoint's health.
type Check struct {
	Service string    `json:"service,omitempty"`
	Healthy bool      `json:"healthy"`
	Why     string    `json:"why,omitempty"`
	At      time.Time `json:"at"`
}

// upstreams answers how each upstream and each of its endpoints is.
func (s *server) upstreams(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Upstreams []ofUpstream `json:"upstreams"`
	}{ofUpstreams(s.Gateway.Status().Upstreams)})
}

// ofUpstream is an upstream as JSON.
type ofUpstream struct {
	Name      string     `json:"name"`
	Target    string     `json:"target"`
	State     string     `json:"state"`
	Why       string     `json:"why,omitempty"`
	Endpoints []Endpoint `json:"endpoints"`
}

// ofUpstreams is the list of all; it is never null, nor are those of endpoints.
func ofUpstreams(upstreams []Upstream) []ofUpstream {
	list := []ofUpstream{}
	for _, u := range upstreams {
		list = append(list, ofUpstream{u.Name, u.Target, u.State, u.Failure, append([]Endpoint{}, u.Endpoints...)})
	}
	return list
}

// writeEndpoints is /upstreams for people.
func writeEndpoints(b *strings.Builder, upstreams []Upstream) {
	rows := 0
	for _, u := range upstreams {
		rows += len(u.Endpoints)
	}
	if rows == 0 {
		return
	}
	b.WriteString("<h2>Endpoints</h2>\n<table><tr><th>Upstream<th>Address<th>State<th>Since<th>In flight<th>Latency<th>Ejections\n")
	left := maxShown
	for _, u := range upstreams {
		for _, e := range u.Endpoints[:min(len(u.Endpoints), left)] {
			row(b, u.Name, strings.Join(e.Addresses, ", "), e.words(), e.Since.UTC().Format(time.RFC3339),
				fmt.Sprint(e.InFlight), e.latency(), fmt.Sprint(e.Ejections))
			left--
		}
	}
	b.WriteString("</table>\n")
	if rows > maxShown {
		fmt.Fprintf(b, "<p>The first %d are shown; <a href=/upstreams>%s</a> lists all.</p>\n", maxShown, html.EscapeString("upstreams"))
	}
}

// troubled reports whether something is wrong with the endpoint: that it waits for its turn,
// or ends its calls, is as it should be.
func (e Endpoint) troubled() bool {
	return e.Why != "" && e.State != "STANDBY" && e.State != "DRAINING"
}

// words are the state, and why it is so.
func (e Endpoint) words() string {
	text := e.State
	if e.Why != "" {
		text += ": " + e.Why
	}
	if e.Used && e.State != "READY" {
		text += " (used, as none is better)"
	}
	return text
}

func (e Endpoint) latency() string {
	if e.LatencyMS == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f ms", e.LatencyMS)
}
