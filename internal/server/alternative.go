package server

import (
	"net/http"
	"strconv"
)

// alternative tells clients of HTTP/1 and HTTP/2 that there is HTTP/3 (RFC 7838), and while the
// gateway drains, or waits for the socket, that there is none.
type alternative struct {
	next    http.Handler
	offered []string
	serving func() bool
}

var noAlternative = []string{"clear"}

func newAlternative(next http.Handler, port int, serving func() bool) *alternative {
	return &alternative{next, []string{`h3=":` + strconv.Itoa(port) + `"; ma=3600`}, serving}
}

// ServeHTTP implements http.Handler.
func (a *alternative) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offered := a.offered
	if !a.serving() {
		offered = noAlternative
	}
	w.Header()["Alt-Svc"] = offered
	a.next.ServeHTTP(w, r)
}
