package gateway

import (
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/transcoder"
)

// unmatched answers a request that no route takes: a preflight, an OPTIONS, 405
// with Allow, or 404.
func (g *Gateway) unmatched(s *Snapshot, w http.ResponseWriter, r *http.Request, c *call, err error) {
	path := r.URL.EscapedPath()
	var allowed []string
	if err == nil {
		if allowed = s.allowed(r, path); allowed != nil {
			if r.Method == http.MethodOptions {
				s.options(w, r, allowed)
				g.options.Telemetry.Unmatched(r, http.StatusNoContent, codes.OK)
				return
			}
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			err = httpError(http.StatusMethodNotAllowed, codes.Unimplemented,
				"the method "+clip(r.Method)+" is not allowed here; allowed: "+strings.Join(allowed, ", "))
		}
	}
	if err == nil {
		err = s.noRoute(path)
	}
	httpStatus := s.errors.Write(w, r, c.match.protocol, err)
	g.options.Telemetry.Unmatched(r, httpStatus, statusCode(err))
}

func (s *Snapshot) noRoute(path string) error {
	if s.rest.unknownRouteUnimplemented {
		return httpError(http.StatusNotImplemented, codes.Unimplemented, "no route for "+clip(path))
	}
	return httpError(http.StatusNotFound, codes.NotFound, "no route for "+clip(path))
}

// allowed lists the HTTP methods that the path has routes for; nil for none.
func (s *Snapshot) allowed(r *http.Request, path string) []string {
	methods := s.tree.Allowed(path)
	if route := s.paths[path]; route != nil && !s.rest.onlyRules {
		methods = append(methods, http.MethodPost, http.MethodOptions)
		if route.method.NoSideEffects {
			methods = append(methods, http.MethodGet)
		}
	}
	methods = slices.DeleteFunc(methods, func(m string) bool { return strings.EqualFold(m, "websocket") })
	slices.Sort(methods)
	return slices.Compact(methods)
}

// options answers OPTIONS where no rule does: a CORS preflight by the policy of
// the route that the page asks for, and Allow.
func (s *Snapshot) options(w http.ResponseWriter, r *http.Request, allowed []string) {
	h := w.Header()
	if wanted := r.Header.Get("Access-Control-Request-Method"); wanted != "" && r.Header.Get("Origin") != "" {
		if cors := s.corsOf(r, wanted); cors != nil {
			cors.Preflight(r, h, allowed)
		}
	}
	h.Set("Allow", strings.Join(allowed, ", "))
	w.WriteHeader(http.StatusNoContent)
}

// corsOf returns the CORS policy of the route that a preflight asks for.
func (s *Snapshot) corsOf(r *http.Request, method string) *corsPolicy {
	var m match
	path := r.URL.EscapedPath()
	if route := s.paths[path]; route != nil && (method == http.MethodPost || method == http.MethodGet) {
		return route.method.set.Cors()
	}
	if route, ok := s.tree.Match(method, path, &m.path); ok {
		return route.method.set.Cors()
	}
	return nil
}

var _ = transcoder.REST
