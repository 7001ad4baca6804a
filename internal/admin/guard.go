package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// open are the paths that probes and scrapers ask for by whatever name the
// orchestrator gave the process. They tell little and change nothing.
var open = []string{"/healthz", "/readyz", "/metrics"}

// isOpen reports whether a request is for what is open to all.
func isOpen(r *http.Request) bool {
	return slices.Contains(open, r.URL.Path) && r.URL.RawQuery == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// guard answers only requests addressed to us, and tells browsers to be
// careful with what they get. A page of an attacker whose name resolves to this
// address (DNS rebinding) is of the same origin to the browser, but its name
// stands in Host.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		if !isOpen(r) && !s.addressed(r.Host) {
			http.Error(w, "the admin server does not answer to this host name; use localhost or its IP address", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// addressed reports whether the Host header names this server and not a name that
// somebody made resolve to it.
func (s *server) addressed(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(name string) bool { return strings.EqualFold(name, host) })
}
