package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/envelope"
	"github.com/transom-gateway/transom/transcoder/protocols"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// match is what finding a route finds out.
type match struct {
	path     httprule.Match
	protocol *transcoder.Protocol
	clean    string // the path of a request on a plain HTTP route
}

func (m *match) reset() {
	m.path.Reset()
	m.protocol, m.clean = nil, ""
}

// find returns the route of a request. An error beside a route is what the
// route must refuse the request with; without one it is why there is none.
func (s *Snapshot) find(r *http.Request, m *match) (*Route, error) {
	m.protocol = protocols.Table.Detect(r)
	if err := checkHTTP2(r); err != nil {
		return nil, err
	}
	route, err := s.findRPC(r, r.URL.EscapedPath(), m)
	if route == nil && s.http != nil {
		return s.findHTTP(r, m, err)
	}
	return route, err
}

// findRPC returns the route of a request for an RPC, as find does.
func (s *Snapshot) findRPC(r *http.Request, path string, m *match) (*Route, error) {
	if route := s.findPath(r, path, m); route != nil {
		return route, nil
	}
	if m.protocol == envelope.ConnectGet && s.paths[path] != nil {
		return nil, nil // the method is there, and not for GET
	}
	if m.protocol.RPC {
		// gRPC's clients are told with status 200; Connect's read 404 as "unimplemented".
		return nil, httpError(http.StatusNotFound, codes.Unimplemented, "unknown method "+clip(path))
	}
	if m.protocol == websocket.Protocol {
		return s.findWebSocket(r, path, m)
	}
	method := r.Method
	form := s.rest.formMethodOverride && isFormPost(r)
	if form || s.rest.methodOverride && method == http.MethodPost {
		if v := r.Header.Get("X-Http-Method-Override"); v != "" {
			method = strings.ToUpper(v)
		}
	}
	if route, ok := s.tree.Match(method, path, &m.path); ok {
		return route, nil
	}
	if form {
		if route, ok := s.tree.Match(http.MethodGet, path, &m.path); ok {
			return route, nil
		}
	}
	if m.path.Failure == httprule.BadEscape {
		return nil, errBadEscape
	}
	if s.paths[path] != nil && r.Method != http.MethodOptions {
		m.protocol = protocols.Table.OfHeader(r.Header)
	}
	return nil, nil
}

// findPath finds a method by its own path, "/package.Service/Method".
func (s *Snapshot) findPath(r *http.Request, path string, m *match) *Route {
	route := s.paths[path]
	if route == nil {
		return nil
	}
	protocol, ok := route.endpoint.accepts(r, m.protocol)
	if !ok || s.rest.onlyRules && !m.protocol.RPC {
		return nil
	}
	m.protocol = protocol
	return route
}

// findWebSocket matches whatever the rule's HTTP method is; a rule of its own,
// custom { kind: "websocket" }, goes first (Semantics 38).
func (s *Snapshot) findWebSocket(r *http.Request, path string, m *match) (*Route, error) {
	own := func(method string, _ *Route) bool { return strings.EqualFold(method, "websocket") }
	if route, ok := s.tree.MatchFunc(path, &m.path, own); ok {
		return route, nil
	}
	streams := func(_ string, route *Route) bool { return route.endpoint.streams(r, websocket.Protocol) }
	if route, ok := s.tree.MatchFunc(path, &m.path, streams); ok {
		return route, nil
	}
	if m.path.Failure == httprule.BadEscape {
		return nil, errBadEscape
	}
	if s.tree.Allowed(path) != nil {
		return nil, httpError(http.StatusNotFound, codes.NotFound,
			"no stream here; a WebSocket takes the routes of streaming methods, and /package.Service/Method of all")
	}
	return nil, nil
}

func isFormPost(r *http.Request) bool {
	return r.Method == http.MethodPost && transcoder.IsForm(r.Header)
}

// checkHTTP2 refuses what HTTP/2 and HTTP/3 forbid and net/http lets through (RFC 9113,
// 8.2.2 and 8.3.1; Semantics 52).
func checkHTTP2(r *http.Request) error {
	if r.ProtoMajor < 2 {
		return nil
	}
	if err := checkPseudoHeaders(r); err != nil {
		return err
	}
	for _, name := range [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade"} {
		if _, ok := r.Header[name]; ok {
			return httpError(http.StatusBadRequest, codes.InvalidArgument,
				"the header "+strings.ToLower(name)+" is forbidden in HTTP/2")
		}
	}
	if te, ok := r.Header["Te"]; ok && (len(te) != 1 || !strings.EqualFold(te[0], "trailers")) {
		return httpError(http.StatusBadRequest, codes.InvalidArgument, "the header te may only be trailers in HTTP/2")
	}
	return checkLength(r)
}

// checkLength refuses a content-length that is no number, or not the body's where the
// body has already ended: net/http ignores both, and bounds a body by the others.
func checkLength(r *http.Request) error {
	lengths := r.Header["Content-Length"]
	if len(lengths) == 0 {
		return nil
	}
	if len(lengths) > 1 {
		return httpError(http.StatusBadRequest, codes.InvalidArgument, "the header content-length stands here more than once")
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if err != nil {
		return httpError(http.StatusBadRequest, codes.InvalidArgument, "the header content-length is no number of bytes")
	}
	if r.ContentLength == 0 && n > 0 {
		return httpError(http.StatusBadRequest, codes.InvalidArgument,
			"the header content-length is "+lengths[0]+", but the request ends with its header")
	}
	return nil
}

func checkPseudoHeaders(r *http.Request) error {
	if r.Host != "" && !http1head.ValidHost(r.Host) { // backends are told it, and may make links of it
		return httpError(http.StatusBadRequest, codes.InvalidArgument, "the authority is no host with or without a port")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	for _, host := range r.Header["Host"] {
		if !strings.EqualFold(field.WithoutDefaultPort(scheme, host), field.WithoutDefaultPort(scheme, r.Host)) {
			return httpError(http.StatusBadRequest, codes.InvalidArgument, "the header host is not the authority")
		}
	}
	if !validPath(r) {
		return httpError(http.StatusBadRequest, codes.InvalidArgument,
			"the path is no path with or without a query; a space in it is %20, and # is %23")
	}
	return nil
}

// validPath reports whether the target is a path, with a query or without, as over
// HTTP/1.1, where the listener looks at it.
func validPath(r *http.Request) bool {
	target := r.RequestURI
	switch {
	case target == "":
		return true // the request is made by a program
	case target[0] == '/':
		return strings.IndexByte(target, '#') < 0 && strings.IndexByte(target, ' ') < 0
	case r.Method == http.MethodConnect:
		return r.Header.Get(":protocol") == "" // it is the authority
	}
	return r.Method == http.MethodOptions && target == "*"
}

// completed gives the request for a URL without a path the target that it means: the
// path "/", and for OPTIONS the gateway as a whole (RFC 9112, 3.2.2 and 3.2.4).
func completed(r *http.Request) *http.Request {
	if r.URL.Path != "" || r.URL.Host == "" || r.Method == http.MethodConnect {
		return r
	}
	seen, target := *r, *r.URL
	target.Path = "/"
	if r.Method == http.MethodOptions && target.RawQuery == "" && !target.ForceQuery {
		target.Path, seen.RequestURI = "*", "*"
	}
	seen.URL = &target
	return &seen
}

// clip bounds what an error repeats of a request.
func clip(s string) string { return problem.Clip(s, 200) }
