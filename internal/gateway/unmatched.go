package gateway

import (
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// pagePolicy is the part of a method's policies that speaks to the pages of other
// origins.
type pagePolicy interface {
	policy.Part
	// AllowsOrigin reports whether pages of an origin may call.
	AllowsOrigin(origin string) bool
	// Preflight reports whether r asks whether a page may send a request, and writes the
	// header of the answer into h. allowedMethods are those of the routes at the path.
	Preflight(r *http.Request, h http.Header, allowedMethods []string) (handled bool)
}

// unmatched answers a request that no route takes: a preflight, an OPTIONS, 405
// with Allow, or 404.
func (g *Gateway) unmatched(c *call, err error) {
	s, w, r := c.snapshot, c.w, c.r
	g.boundRest(w, r)
	wanted := s.preflighted(r)
	c.request.Route = s.near(r, wanted)
	refused := c.observe() // observers refuse nothing
	if err == nil {
		err = refused
	}
	httpStatus := http.StatusNoContent
	if err != nil || !s.options(w, r, wanted) {
		if err == nil {
			err = s.noRoute(w, r, c.match.protocol)
		}
		if httpStatus = s.unmatchedPage(w, r, c.match.protocol, err); httpStatus == 0 {
			httpStatus = s.errors.Write(w, r, c.match.protocol, err)
		}
		readRest(w, r)
	}
	c.record(err, httpStatus, &proxy.Result{})
	s.unmatched.Done(&c.request, &c.outcome)
}

// unmatchedPage answers a browser with the page of the configuration for an error, and returns
// the status; 0 where there is none, or no browser asks.
func (s *Snapshot) unmatchedPage(w http.ResponseWriter, r *http.Request, p *transcoder.Protocol, err error) int {
	if p.RPC || !field.Accepts(r.Header["Accept"], "text/html") {
		return 0
	}
	_, httpStatus := rpcerror.Of(err, nil)
	if s.errorPages.of(httpStatus) == nil {
		return 0
	}
	s.errorPages.write(w, r, httpStatus)
	return httpStatus
}

// noRoute is 405 with Allow where the path has routes for other methods, else
// 404.
func (s *Snapshot) noRoute(w http.ResponseWriter, r *http.Request, p *transcoder.Protocol) error {
	path := r.URL.EscapedPath()
	allowed := append(s.allowed(path), s.routeMethods(r)...)
	if slices.Sort(allowed); len(allowed) > 0 {
		allowed = slices.Compact(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return s.wrongMethod(r.Method, allowed, p, s.upgradeHint(r, path))
	}
	if s.http != nil && (r.Method == http.MethodTrace || r.Method == http.MethodConnect) {
		w.Header().Set("Allow", strings.Join(forwarded, ", "))
		return s.wrongMethod(r.Method, forwarded, p, "")
	}
	if s.rest.unknownRouteUnimplemented {
		return httpError(http.StatusNotImplemented, codes.Unimplemented, "no route for "+clip(path))
	}
	return httpError(http.StatusNotFound, codes.NotFound, "no route for "+clip(path))
}

// forwarded are the usual methods that a plain HTTP route may take, among any others but
// CONNECT and TRACE (Traffic 137).
var forwarded = []string{
	http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPatch, http.MethodPost, http.MethodPut,
}

// routeMethods lists the methods for which plain HTTP routes would take a request; nil for none.
func (s *Snapshot) routeMethods(r *http.Request) []string {
	if s.http == nil || r.RequestURI == "*" {
		return nil
	}
	path, _, err := httproute.Clean(rawPath(r))
	if err != nil {
		return nil
	}
	return s.http.table.Methods(r.Host, path, r.Header, r.URL.RawQuery)
}

// upgradeHint tells the client of a GET where a WebSocket would open.
func (s *Snapshot) upgradeHint(r *http.Request, path string) string {
	var m match
	if route, _ := s.findWebSocket(r, path, &m); route == nil || r.Method != http.MethodGet {
		return ""
	}
	return "; a GET with Upgrade: websocket opens a WebSocket here"
}

// wrongMethod refuses an HTTP method where others are allowed. hint follows.
func (s *Snapshot) wrongMethod(method string, allowed []string, p *transcoder.Protocol, hint string) error {
	if slices.Contains(allowed, method) {
		// A method's own path takes Connect's GET, and this is a GET of another kind.
		return httpError(http.StatusBadRequest, codes.InvalidArgument,
			"a GET here takes the message from the query, as Connect does: ?connect=v1&encoding=json&message={}; a POST takes it as its body")
	}
	httpStatus := http.StatusMethodNotAllowed
	if s.rest.wrongMethodUnimplemented {
		httpStatus = http.StatusNotImplemented
	}
	code := codes.Unimplemented
	if p.WrongMethod != codes.OK {
		code = p.WrongMethod
	}
	return httpError(httpStatus, code,
		"the method "+clip(method)+" is not allowed here; allowed: "+strings.Join(allowed, ", ")+hint)
}

// allowed lists the HTTP methods that the path has routes for; nil for none.
func (s *Snapshot) allowed(path string) []string {
	methods := s.tree.Allowed(path)
	if route := s.paths[path]; route != nil && !s.rest.onlyRules {
		methods = append(methods, route.pathMethods...)
	}
	methods = slices.DeleteFunc(methods, func(m string) bool { return strings.EqualFold(m, "websocket") })
	slices.Sort(methods)
	return slices.Compact(methods)
}

// options answers OPTIONS where no rule does: a CORS preflight by the policy of
// the route that the page asks for, which is nil for none, and Allow. False where the
// path has no route.
func (s *Snapshot) options(w http.ResponseWriter, r *http.Request, wanted *Route) bool {
	if r.Method != http.MethodOptions {
		return false
	}
	if r.RequestURI == "*" { // of the gateway as a whole (RFC 9110, 9.3.7)
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	allowed := s.allowed(r.URL.EscapedPath())
	if wanted != nil && allowed == nil { // a plain HTTP route, whose server knows its methods
		allowed = []string{r.Header.Get("Access-Control-Request-Method")}
	}
	if allowed == nil {
		// Behind a preflight that fails no page would see that there is no route.
		if s.cors == nil || !s.cors.Preflight(r, w.Header(), []string{r.Header.Get("Access-Control-Request-Method")}) {
			return false
		}
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	h := w.Header()
	if isPreflight(r) {
		s.preflight(r, h, wanted, allowed)
	}
	h.Set("Allow", strings.Join(allowed, ", "))
	w.WriteHeader(http.StatusNoContent)
	return true
}

// isPreflight reports whether a page asks whether it may send a request.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" && r.Header.Get("Origin") != ""
}

// preflight writes the answer to a preflight for the route, nil for a method that the
// path has no route for. Without the policy the answer says nothing, but that other
// preflights may have another one.
func (s *Snapshot) preflight(r *http.Request, h http.Header, wanted *Route, allowed []string) {
	// What defaults let pages read of the router's own answers is not said of a route.
	for _, name := range [...]string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
		delete(h, name)
	}
	cors := s.cors
	if wanted != nil {
		cors, _ = policy.Find[pagePolicy](wanted.guard.set)
	}
	switch {
	case cors != nil:
		cors.Preflight(r, h, allowed)
	case s.anyCors:
		h["Vary"] = []string{"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"}
	}
}

// preflighted returns the route that a preflight asks for; nil for none, or where the
// request is no preflight.
func (s *Snapshot) preflighted(r *http.Request) *Route {
	if !isPreflight(r) {
		return nil
	}
	path, method := r.URL.EscapedPath(), r.Header.Get("Access-Control-Request-Method")
	if route := s.paths[path]; route != nil && (method == http.MethodPost || method == http.MethodGet) {
		return route
	}
	var m match
	if route, ok := s.tree.Match(method, path, &m.path); ok {
		return route
	}
	if s.http != nil {
		if path, _, err := httproute.Clean(rawPath(r)); err == nil {
			return s.http.find(r, method, path)
		}
	}
	return nil
}

// near is the template that the log names of a request that no route takes: that of
// the route that a preflight asks for, or one that keeps the path out of the log.
// Empty for none.
func (s *Snapshot) near(r *http.Request, wanted *Route) string {
	if wanted != nil {
		return wanted.listing.Path
	}
	if !s.hidesPaths {
		return ""
	}
	var m match
	hides := func(_ string, route *Route) bool { return route.hidesPath }
	if route, ok := s.tree.MatchFunc(r.URL.EscapedPath(), &m.path, hides); ok {
		return route.listing.Path
	}
	return ""
}
