package server

import (
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// challenges are paths that an ACME server asks for by http alone (RFC 8555, 8.3).
const challenges = "/.well-known/acme-challenge/"

// clientsHandler is what a listener serves.
func clientsHandler(c *transomv1.Listener, gateway http.Handler) http.Handler {
	if c.GetHttpsRedirect() {
		return toHTTPS{gateway}
	}
	return gateway
}

// toHTTPS sends clients to https at the same host (Traffic 205).
type toHTTPS struct{ challenged http.Handler }

// ServeHTTP implements http.Handler.
func (h toHTTPS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.URL.RequestURI()
	host, _ := field.Port(r.Host)
	switch {
	case strings.HasPrefix(r.URL.EscapedPath(), challenges):
		h.challenged.ServeHTTP(w, r)
		return
	case host == "" || !strings.HasPrefix(target, "/") || r.Method == http.MethodConnect:
		http.Error(w, "use https", http.StatusBadRequest)
		return
	}
	w.Header()["Location"] = []string{"https://" + host + target}
	w.Header()["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusPermanentRedirect)
}
