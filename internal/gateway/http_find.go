package gateway

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// httpRoutes are the routes to plain HTTP upstreams.
type httpRoutes struct {
	table  *httproute.Table
	routes []*Route // by the index that the table gives
}

// findHTTP returns the route of a request that no RPC takes (Traffic 134). without is
// what is said of the request where no route takes it either: nil for what noRoute says.
func (s *Snapshot) findHTTP(r *http.Request, m *match, without error) (*Route, error) {
	if r.Method == http.MethodTrace || r.Method == http.MethodConnect && m.protocol != websocket.Protocol {
		return nil, without
	}
	if r.RequestURI == "*" {
		return nil, without // it is of the gateway as a whole
	}
	path, odd, err := httproute.Clean(rawPath(r))
	if len(r.RequestURI) > httproute.MaxTarget {
		err = &httproute.PathError{
			Status:  http.StatusRequestURITooLong,
			Message: fmt.Sprintf("the target has %d bytes; at most %d are taken here", len(r.RequestURI), httproute.MaxTarget),
		}
	}
	if err != nil {
		if without != nil {
			return nil, without
		}
		return nil, badPath(err)
	}
	if path != r.URL.EscapedPath() {
		// There is one path for all: a method that it leads to is meant.
		if route := s.findClean(r, path, m); route != nil {
			return route, nil
		}
	}
	method := r.Method
	switch {
	case method == http.MethodConnect:
		method = http.MethodGet // a WebSocket over HTTP/2
	case isPreflight(r):
		if route := s.http.find(r, r.Header.Get("Access-Control-Request-Method"), path); route != nil && hasPages(route) {
			return nil, nil // it is answered as those of methods are
		}
	}
	route := s.http.find(r, method, path)
	if odd {
		if err := s.readOtherwise(r, method, path, route); err != nil {
			return nil, err
		}
	}
	if route == nil {
		return nil, without
	}
	m.clean = path
	return route, nil
}

// find returns the route of a request with another method and path; nil for none.
func (h *httpRoutes) find(r *http.Request, method, path string) *Route {
	if i, ok := h.table.Find(r.Host, method, path, r.Header, r.URL.RawQuery); ok {
		return h.routes[i]
	}
	return nil
}

// findClean finds a method's own path or a rule for a path that was sent in another form.
func (s *Snapshot) findClean(r *http.Request, path string, m *match) *Route {
	if route := s.findPath(r, path, m); route != nil {
		return route
	}
	route, _ := s.tree.Match(r.Method, path, &m.path)
	return route
}

// readOtherwise refuses a path that another server may read as one of another route, or
// as one that has none (Traffic 136).
func (s *Snapshot) readOtherwise(r *http.Request, method, path string, route *Route) error {
	var rewrite httproute.Rewrite
	if route != nil {
		rewrite = route.endpoint.(*httpEndpoint).rewrite() //nolint:forcetypeassert // no others are found here
	}
	readings, ok := rewrite.Readings(path)
	if !ok {
		return httpError(http.StatusBadRequest, codes.InvalidArgument,
			"the path "+clip(path)+" is ambiguous: servers may read it in too many ways, or as one that this route does not lead to; send the path that is meant")
	}
	for _, reading := range readings {
		if s.paths[reading] != nil || s.tree.Allowed(reading) != nil || s.http.find(r, method, reading) != route {
			return httpError(http.StatusBadRequest, codes.InvalidArgument,
				"the path "+clip(path)+" is ambiguous: a server may read it as "+clip(reading)+", which is another route; send the path that is meant")
		}
	}
	return nil
}

// rewrite is how the path changes on its way to a server.
func (e *httpEndpoint) rewrite() httproute.Rewrite {
	if f, ok := e.action.(*httpForward); ok {
		return f.rewrite
	}
	return httproute.Rewrite{}
}

// rawPath is the path as the client sent it.
func rawPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath() // of a URL, or of a request that a program has made
}

// badPath refuses what cannot be a path.
func badPath(err *httproute.PathError) error {
	return httpError(err.Status, codes.InvalidArgument, err.Error())
}

// hasPages reports whether a route says which pages may call.
func hasPages(route *Route) bool {
	_, ok := policy.Find[pagePolicy](route.guard.set)
	return ok
}
