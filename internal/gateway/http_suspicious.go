package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// suspectRoutes warns of routes that work otherwise than their authors may think.
func (b *builder) suspectRoutes(h *httpRoutes) {
	for i, route := range b.file.Config.GetRoutes() {
		b.suspectShadow(i, route.GetMatch())
		b.suspectRewrite(i, route)
		b.suspectRedirect(i, route, h)
		b.suspectIdle(i, route, h.routes[i].guard.set)
	}
}

// suspectShadow warns of a route whose requests go to methods of gRPC services, which come
// before routes.
func (b *builder) suspectShadow(i int, m *transomv1.HttpMatch) {
	methods := m.GetMethods()
	if len(methods) == 0 {
		methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	}
	field, path := "path", m.GetPath()
	if path == "" {
		field, path = "path_prefix", strings.TrimSuffix(m.GetPathPrefix(), "/")
	}
	var by *Route
	var taken []string
	for _, method := range methods {
		route := b.takes(method, path, field == "path")
		if route == nil {
			continue
		}
		taken = append(taken, method)
		if by == nil {
			by = route
		}
	}
	if by != nil {
		b.warn(fmt.Sprintf("routes[%d].match.%s: %s requests here go to the method %s (%s), as methods of gRPC services come before routes: "+
			"take another path, or keep the method off it by its policy hidden: true", i, field, strings.Join(taken, ", "), by.guard.name, by.endpoint.where()),
			"routes", i, "match", field)
	}
}

// takes returns the route of a gRPC method that takes the requests for a path, or all below it;
// nil for none.
func (b *builder) takes(method, path string, exact bool) *Route {
	s := b.snapshot
	own := func(route *Route) bool {
		return route != nil && !s.rest.onlyRules && slices.Contains(route.pathMethods, method)
	}
	if own(s.paths[path]) {
		return s.paths[path]
	}
	var m match
	if exact {
		route, _ := s.tree.Match(method, path, &m.path)
		return route
	}
	for _, route := range s.routes { // in the order of the files
		if rpc := s.paths["/"+route.guard.name]; path != "" && own(rpc) && strings.HasPrefix("/"+route.guard.name, path+"/") {
			return rpc
		}
	}
	var below *Route
	for _, probe := range [...]string{"/a", "/a/a", "/a/a/a/a/a/a/a/a"} {
		if below, _ = s.tree.Match(method, path+probe, &m.path); below == nil {
			return nil
		}
	}
	return below
}

// suspectRewrite warns of a prefix that no path begins with that the route takes.
func (b *builder) suspectRewrite(i int, route *transomv1.HttpRoute) {
	strip := strings.TrimSuffix(route.GetRewrite().GetStripPrefix(), "/")
	if strip == "" {
		return
	}
	m := route.GetMatch()
	field, path := "path", m.GetPath()
	meets := isBelow(path, strip)
	if path == "" {
		field, path = "path_prefix", strings.TrimSuffix(m.GetPathPrefix(), "/")
		meets = isBelow(path, strip) || isBelow(strip, path)
	}
	if !meets {
		b.warn(fmt.Sprintf("routes[%d].rewrite.strip_prefix: no path of the route begins with %q, so that nothing is taken away: "+
			"expected the front of match.%s, %q", i, strip, field, path), "routes", i, "rewrite", "strip_prefix")
	}
}

// isBelow reports whether a path is another one or below it. Neither ends with a slash, but
// a whole path.
func isBelow(path, top string) bool { return path == top || strings.HasPrefix(path, top+"/") }

// suspectRedirect warns of a redirect by which clients come to the same route again.
func (b *builder) suspectRedirect(i int, route *transomv1.HttpRoute, h *httpRoutes) {
	to, m := route.GetRedirect(), route.GetMatch()
	if to == nil || to.GetPort() != 0 || !b.serves(to.GetScheme()) {
		return
	}
	samples := []string{m.GetPath()}
	if m.GetPath() == "" {
		prefix := strings.TrimSuffix(m.GetPathPrefix(), "/")
		samples = []string{prefix + "/", prefix + "/a"}
	}
	method, host, query := http.MethodGet, to.GetHost(), url.Values{}
	if len(m.GetMethods()) > 0 {
		method = m.GetMethods()[0]
	}
	if host == "" {
		host = strings.Replace(m.GetHost(), "*", "a", 1)
	}
	header := http.Header{}
	for name, value := range m.GetHeaders() {
		header.Set(name, value)
	}
	for name, value := range m.GetQuery() {
		query.Set(name, value)
	}
	rewrite := config.RedirectRewrite(route)
	for _, sample := range samples {
		path, _, err := httproute.Clean(rewrite.Apply(sample))
		if err != nil || b.takes(method, path, true) != nil {
			continue
		}
		again, ok := h.table.Find(host, method, path, header, query.Encode())
		if ok && again != i && b.leadsBack(h, again, i, host, path) {
			b.warn(fmt.Sprintf("routes[%d].redirect: a request for %s%s is sent to %s%s, from where routes[%d] leads to this route again, so that clients go round in circles: %s",
				i, strings.Replace(m.GetHost(), "*", "a", 1), sample, host, path, again, mendRedirect(to)), "routes", i, "redirect")
			return
		}
		if ok && again == i {
			b.warn(fmt.Sprintf("routes[%d].redirect: a request for %s%s is sent to %s%s, which is this route again, so that clients go round in circles: %s",
				i, strings.Replace(m.GetHost(), "*", "a", 1), sample, host, path, mendRedirect(to)), "routes", i, "redirect")
			return
		}
	}
}

// maxRedirects is how many of them clients follow.
const maxRedirects = 20

// leadsBack reports whether the redirects of other routes, from that of the index from on, lead
// to a route, as far as they stay on the host.
func (b *builder) leadsBack(h *httpRoutes, from, to int, host, path string) bool {
	for range maxRedirects {
		rule := b.file.Config.GetRoutes()[from]
		r := rule.GetRedirect()
		if r == nil || r.GetScheme() != "" || r.GetHost() != "" || r.GetPort() != 0 {
			return false
		}
		rewrite := config.RedirectRewrite(rule)
		clean, _, err := httproute.Clean(rewrite.Apply(path))
		next, ok := h.table.Find(host, http.MethodGet, clean, nil, "")
		if err != nil || !ok || b.takes(http.MethodGet, clean, true) != nil {
			return false
		}
		if next == to {
			return true
		}
		from, path = next, clean
	}
	return false
}

// mendRedirect says what to do about a redirect to itself.
func mendRedirect(to *transomv1.HttpRedirect) string {
	if to.GetScheme() == "https" && to.GetHost() == "" {
		return "for requests by http alone set https_redirect: true at their listener"
	}
	return "change where it leads to, or have a route of its own there"
}

// serves reports whether requests of a scheme come here, as far as the configuration tells.
func (b *builder) serves(scheme string) bool {
	if scheme == "" || len(b.file.Config.GetTrustedProxies()) > 0 || b.file.Config.GetClientIp().GetTrustedHops() > 0 {
		return true // behind a proxy, both may
	}
	byTLS := func(l *transomv1.Listener) bool { return l.GetTls() != nil }
	listeners := b.file.Config.GetListeners()
	if scheme == "https" {
		return slices.ContainsFunc(listeners, byTLS)
	}
	return len(listeners) == 0 || slices.ContainsFunc(listeners, func(l *transomv1.Listener) bool { return !byTLS(l) && !l.GetHttpsRedirect() })
}

// suspectIdle warns of what the policy of a route says and what does nothing there. What it
// inherits is meant for others.
func (b *builder) suspectIdle(i int, route *transomv1.HttpRoute, set *policy.Set) {
	warn := func(field, why string) {
		path := []any{"routes", i, "policy"}
		for part := range strings.SplitSeq(field, ".") {
			path = append(path, part)
		}
		b.warn(fmt.Sprintf("routes[%d].policy.%s: it does nothing here, %s", i, field, why), path...)
	}
	own, limits := route.GetPolicy(), route.GetPolicy().GetLimits()
	for _, limit := range []struct {
		field string
		value uint64
	}{
		{"limits.max_message_bytes", limits.GetMaxMessageBytes()},
		{"limits.max_response_bytes", limits.GetMaxResponseBytes()},
		{"limits.max_json_bytes", limits.GetMaxJsonBytes()},
	} {
		if limit.value > 0 {
			warn(limit.field, "as it is for messages of gRPC: remove it; limits.max_body_bytes bounds the body of a request")
		}
	}
	if route.GetRedirect() == nil && route.GetRespond() == nil {
		methods, retry := route.GetMatch().GetMethods(), set.Effective.GetRetry()
		if own.GetRetry() != nil && retry != nil && retry.GetIdempotencyLevel() == "" && len(methods) > 0 && !slices.ContainsFunc(methods, attempt.Idempotent) {
			warn("retry", "as none of the route's methods may be asked twice: set retry.idempotency_level if that is what they are, or remove it")
		}
		return
	}
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"retry", own.GetRetry() != nil && set.Effective.GetRetry() != nil},
		{"circuit_breaker", own.GetCircuitBreaker() != nil && set.Effective.GetCircuitBreaker() != nil},
		{"timeout", own.GetTimeout() != nil && set.Timeout > 0},
		{"idle_timeout", own.GetIdleTimeout() != nil && set.IdleTimeout > 0},
		{"limits.max_body_bytes", limits.GetMaxBodyBytes() > 0},
	} {
		if field.set {
			warn(field.name, "as the gateway answers by itself and asks no server: remove it")
		}
	}
}

// warnOfTwinUpstreams warns of plain HTTP upstreams that differ in their names alone. Those
// with other timeouts or credentials have a reason to be two.
func (b *builder) warnOfTwinUpstreams() {
	seen := map[upstream.Key]string{}
	all := b.file.Config.GetUpstreams()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		u := all[name].GetHttp()
		if u == nil {
			continue
		}
		key := httpOptions(u, b.file.Directory).Target.Key()
		first, twice := seen[key]
		if !twice {
			seen[key] = name
			continue
		}
		if other := all[first].GetHttp(); !proto.Equal(other.GetTimeouts(), u.GetTimeouts()) || !proto.Equal(other.GetCredentials(), u.GetCredentials()) {
			continue
		}
		b.warn(fmt.Sprintf("upstreams.%s: it has the servers of upstreams.%s (%s) and treats them alike, so that both count as one, with the same health, "+
			"ejections, connections and figures: use one of them for both", name, first, b.configPosition("upstreams."+first)), "upstreams", name)
	}
}
