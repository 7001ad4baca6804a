package admin

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// healthz answers as long as the process does.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "ok\n")
}

// readyz answers 503 while no requests should be sent here.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ready, reason := s.Gateway.Ready()
	code, body := http.StatusOK, "ready\n"
	if !ready {
		code, body = http.StatusServiceUnavailable, "not ready: "+line(reason)+"\n"
	}
	if r.URL.Query().Has("verbose") {
		body += s.Gateway.Status().String()
	}
	text(w, code, body)
}

// String lists the status, one fact a line.
func (s Status) String() string {
	var b strings.Builder
	if s.Generation == 0 {
		b.WriteString("generation: none\n")
	} else {
		fmt.Fprintf(&b, "generation: %d, loaded %s\n", s.Generation, s.LoadedAt.UTC().Format(time.RFC3339))
	}
	switch {
	case !s.FailedAt.IsZero():
		fmt.Fprintf(&b, "last reload: failed %s\n", s.FailedAt.UTC().Format(time.RFC3339))
	case len(s.Problems) > 0:
		b.WriteString("last reload: ok, but for\n")
	default:
		b.WriteString("last reload: ok\n")
	}
	for _, p := range s.Problems {
		b.WriteString("  " + line(p.String()) + "\n")
	}
	for _, text := range s.NotReloaded {
		b.WriteString(line(text) + "\n")
	}
	for _, text := range s.Stores {
		b.WriteString(line(text) + "\n")
	}
	for _, sink := range s.Sinks {
		b.WriteString(line(sink.String()) + "\n")
	}
	for _, text := range s.Subscriptions {
		b.WriteString(line(text) + "\n")
	}
	for _, u := range s.Upstreams {
		b.WriteString("upstream " + line(u.Name+" "+u.Target+": "+u.words()) + "\n")
		u.writeTroubled(&b)
	}
	return b.String()
}

// maxTroubled is how many endpoints of an upstream are listed that something is wrong with.
const maxTroubled = 10

// writeTroubled lists the endpoints that something is wrong with, one a line, where the
// upstream has several. What is wrong with the only one stands behind the upstream.
func (u Upstream) writeTroubled(b *strings.Builder) {
	if len(u.Endpoints) < 2 {
		return
	}
	shown := 0
	for _, e := range u.Endpoints {
		if !e.troubled() {
			continue
		}
		if shown++; shown > maxTroubled {
			b.WriteString("  and others; /upstreams lists all\n")
			return
		}
		b.WriteString("  " + line(strings.Join(e.Addresses, ", ")+": "+e.words()) + "\n")
	}
}

// words are the state, how many of several endpoints are in it, and why it is so.
func (u Upstream) words() string {
	words := u.State
	if all := len(u.Endpoints); all > 1 {
		ready := 0
		for _, e := range u.Endpoints {
			if e.State == "READY" {
				ready++
			}
		}
		words += fmt.Sprintf(", %d of %d endpoints", ready, all)
	}
	switch {
	case u.Failure != "":
		words += ": " + u.Failure
	case len(u.Endpoints) == 1 && u.Endpoints[0].troubled():
		e := u.Endpoints[0]
		if words = e.words(); e.State != u.State {
			words = u.State + ": " + words
		}
	}
	return words
}

// String is "file:line:col: message", as compilers write it.
func (p Problem) String() string {
	if p.File == "" {
		return p.Message
	}
	position := p.File
	if p.Line > 0 {
		position += ":" + strconv.Itoa(p.Line)
		if p.Column > 0 {
			position += ":" + strconv.Itoa(p.Column)
		}
	}
	return position + ": " + p.Message
}

// line keeps what comes from files on its line.
func line(s string) string { return strings.Join(strings.FieldsFunc(s, newline), " ") }

func newline(r rune) bool { return r == '\n' || r == '\r' }

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // the client is gone
}

// String says how a sink is.
func (s Sink) String() string {
	words := fmt.Sprintf("events to %s: ok, %d events wait", s.Name, s.Waiting)
	switch {
	case s.Failure != "":
		words = fmt.Sprintf("events to %s: away since %s, %d events wait: %s", s.Name, s.Since.UTC().Format(time.RFC3339), s.Waiting, s.Failure)
	case !s.Silent.IsZero():
		words = fmt.Sprintf("events to %s: no answer since %s, %d events wait", s.Name, s.Silent.UTC().Format(time.RFC3339), s.Waiting)
	case s.Refusal != "":
		words = fmt.Sprintf("events to %s: it rejects them, %d events wait: %s", s.Name, s.Waiting, s.Refusal)
	}
	if s.NotReloaded != "" {
		words += "; not in effect: " + s.NotReloaded
	}
	return strings.Map(plain, words)
}

// plain has what a broker says stay on its line.
func plain(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}
