package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/compression"
)

// addHTTPRoutes adds the configuration's routes to plain HTTP upstreams.
func (b *builder) addHTTPRoutes() {
	list := b.file.Config.GetRoutes()
	h := &httpRoutes{}
	matches := make([]httproute.Match, len(list))
	for i, route := range list {
		matches[i] = config.RouteMatch(route.GetMatch())
		h.routes = append(h.routes, b.newHTTPRoute(i, route))
	}
	b.checkDocuments()
	matches = b.addOwnRoutes(h, matches)
	if len(matches) == 0 {
		return
	}
	table, problems := httproute.New(matches)
	for _, p := range problems { // the configuration is checked: they are warnings
		if p.Index >= len(list) {
			b.refuseOwnRoute(p.Index-len(list), fmt.Sprintf("%s routes[%d]: choose another path", p.Message, p.Other))
			continue
		}
		message := fmt.Sprintf("routes[%d].match.%s: %s", p.Index, p.Field, p.Message)
		if p.Other >= 0 {
			other := fmt.Sprintf("routes[%d]", p.Other)
			message += fmt.Sprintf(" %s (%s)", other, b.configPosition(other))
		}
		b.warn(message, "routes", p.Index, "match", p.Field)
	}
	h.table = table
	b.suspectRoutes(h)
	b.snapshot.http = h
	b.snapshot.routes = append(b.snapshot.routes, h.routes...)
}

// newHTTPRoute compiles one route.
func (b *builder) newHTTPRoute(i int, rule *transomv1.HttpRoute) *Route {
	at := fmt.Sprintf("routes[%d]", i)
	name := routeName(rule.GetMatch())
	e := &httpEndpoint{route: rule, errors: b.snapshot.errors, pages: b.snapshot.errorPages, inConfig: b.configPosition(at), action: b.action(i, rule)}
	upstream := upstreamOf(rule)
	target := policy.Target{RPC: name, PlainHTTP: true, Methods: rule.GetMatch().GetMethods(), Path: config.RoutePath(rule.GetMatch()), Layers: b.routeLayers(at, rule.GetPolicy()), Upstream: upstream, Backends: b.upstreams.named}
	set, problems := b.snapshot.policies.Compile(target)
	b.problems = append(b.problems, problems...)
	if set == nil {
		set = policy.NewSet(nil)
	}
	e.guard = guard{
		name: name, set: set, upstream: upstream,
		timeout: set.Timeout, idleTimeout: set.IdleTimeout, changesHeader: set.ChangesHeader(),
	}
	e.runsEarly = e.mayRunEarly()
	e.status = b.settings.of(set).Status
	b.suspect(target.Layers, set)
	b.suspectFault(target.Layers, set)
	if f, ok := e.action.(*httpForward); ok {
		b.addAttempts(&f.httpWay, set)
		b.addCircuit(&e.guard)
		f.maxBody = int64(min(set.Effective.GetLimits().GetMaxBodyBytes(), 1<<62))
		e.placing = newPlacing(config.HTTPBalancing(b.file.Config.GetUpstreams()[upstream].GetHttp()))
		e.changesHeader = e.changesHeader || e.placing != nil && e.placing.sticky != nil
		b.addMirror(&f.httpWay, set)
		b.splitRoute(&e.guard, target, &f.httpWay)
		b.suspectSplit(target.Layers, set)
		f.keys, _ = policy.Find[keeper](set) // nil for none
		f.places, _ = policy.Find[entrance](set)
		b.suspectMirror(target.Layers, set, upstream)
	}
	methods := "*"
	if m := rule.GetMatch().GetMethods(); len(m) > 0 {
		methods = strings.Join(m, ",")
	}
	return &Route{
		endpoint: e, guard: &e.guard, alone: ownAnswer(rule) != "",
		rule:    methods + " " + config.RoutePath(rule.GetMatch()) + conditionText(rule.GetMatch()),
		listing: Listed{Method: methods, Path: config.RoutePath(rule.GetMatch()), Conditions: conditions(rule.GetMatch()), Answer: ownAnswer(rule)},
	}
}

// upstreamOf is the upstream of a route: where its policy names several, the first of them
// stands for all. It is empty where the gateway answers.
func upstreamOf(rule *transomv1.HttpRoute) string {
	if list := rule.GetPolicy().GetSplit().GetBranches(); len(list) > 0 {
		return cmp.Or(rule.GetUpstream(), list[0].GetUpstream())
	}
	return rule.GetUpstream()
}

// splitRoute has the requests of a route spread, if its policies say so.
func (b *builder) splitRoute(g *guard, target policy.Target, of *httpWay) {
	s := b.splitOf(g.set, target)
	if s == nil {
		return
	}
	for i := range s.branches {
		name := s.branches[i].upstream
		s.branches[i].http = httpWay{upstream: b.httpUpstreams[name], mirror: of.mirror, mirrorTo: of.mirrorTo}
		b.addAttempts(&s.branches[i].http, s.branches[i].set)
		s.branches[i].placing = newPlacing(config.HTTPBalancing(b.file.Config.GetUpstreams()[name].GetHttp()))
	}
	g.useSplit(s)
}

// action is what becomes of a route's requests.
func (b *builder) action(i int, rule *transomv1.HttpRoute) httpAction {
	switch {
	case rule.GetRedirect() != nil:
		to := rule.GetRedirect()
		return &httpRedirect{
			scheme: to.GetScheme(), host: to.GetHost(), port: to.GetPort(), status: int(to.GetStatus()),
			rewrite: config.RedirectRewrite(rule),
		}
	case rule.GetRespond() != nil:
		return b.respond(i, rule.GetRespond())
	}
	f := &httpForward{
		httpWay: httpWay{upstream: b.httpUpstreams[upstreamOf(rule)]}, rewrite: config.RouteRewrite(rule),
		host: rule.GetRewrite().GetHost(), via: b.file.Config.GetVia(), mapsBack: rule.GetRewrite() != nil,
	}
	if f.host == config.HostOfUpstream {
		f.host, f.ofServer = "", true
	}
	if r := rule.GetRewrite(); r != nil && r.Redirects != nil {
		f.mapsBack = r.GetRedirects()
	}
	if z := rule.GetCompression(); z != nil {
		f.compression = compression.NewRule(z.GetTypes(), int(z.GetMinBytes()))
	}
	for _, token := range rule.GetUpgrades() {
		f.upgrades = append(f.upgrades, strings.ToLower(token))
	}
	return f
}

// respond is an answer of the gateway's own.
func (b *builder) respond(i int, r *transomv1.HttpRespond) httpAction {
	a := &httpRespond{status: int(cmp.Or(r.GetStatus(), http.StatusOK)), header: http.Header{}}
	for name, value := range r.GetHeaders() {
		a.header.Set(name, value)
	}
	kind := r.GetType()
	switch content := r.GetContent().(type) {
	case *transomv1.HttpRespond_Body:
		kind = cmp.Or(kind, "text/plain; charset=utf-8")
		a.body = []byte(content.Body)
	case *transomv1.HttpRespond_File:
		name := inDirectory(b.file.Directory, content.File)
		kind = cmp.Or(kind, mime.TypeByExtension(filepath.Ext(name)), "application/octet-stream")
		var err error
		if a.body, err = regularfile.Read(name, config.MaxRespond); err != nil {
			b.refuse(fmt.Sprintf("routes[%d].respond.file: %v", i, err), "routes", i, "respond", "file")
		}
	}
	if kind != "" && a.header["Content-Type"] == nil {
		a.header.Set("Content-Type", kind)
	}
	return a
}

// routeLayers lists what is said of a route, the widest first.
func (b *builder) routeLayers(at string, own *transomv1.Policy) []policy.Layer {
	if b.gateway.options.Unguarded {
		return nil
	}
	return append([]policy.Layer{{
		Policy:   b.file.Config.GetDefaults(),
		Where:    b.configPosition("defaults"),
		Position: func(path string) string { return b.configPosition("defaults." + path) },
	}}, b.ownLayer(at, own)...)
}

// ownLayer is what a route says itself.
func (b *builder) ownLayer(at string, own *transomv1.Policy) []policy.Layer {
	return []policy.Layer{{
		Policy:   own,
		Where:    b.configPosition(at + ".policy"),
		Exact:    true,
		Position: func(path string) string { return b.configPosition(at + ".policy." + path) },
	}}
}

// conditions are what else a route asks for, for people.
func conditions(m *transomv1.HttpMatch) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m.GetHeaders())) {
		list = append(list, fmt.Sprintf("[%s: %s]", strings.ToLower(name), m.GetHeaders()[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(m.GetQuery())) {
		list = append(list, fmt.Sprintf("[?%s=%s]", name, m.GetQuery()[name]))
	}
	return list
}

// conditionText is the conditions behind a path.
func conditionText(m *transomv1.HttpMatch) string {
	if list := conditions(m); len(list) > 0 {
		return " " + strings.Join(list, " ")
	}
	return ""
}

// ownAnswer says how the gateway answers the requests of a route itself; "" where it does not.
func ownAnswer(rule *transomv1.HttpRoute) string {
	if r := rule.GetRespond(); r != nil {
		return fmt.Sprintf("respond %d", cmp.Or(r.GetStatus(), http.StatusOK))
	}
	to := rule.GetRedirect()
	if to == nil {
		return ""
	}
	text := "redirect "
	if to.GetScheme() != "" || to.GetHost() != "" || to.GetPort() != 0 {
		if to.GetScheme() != "" {
			text += to.GetScheme() + ":"
		}
		text += "//" + cmp.Or(to.GetHost(), rule.GetMatch().GetHost(), "*")
		if to.GetPort() != 0 {
			text += fmt.Sprintf(":%d", to.GetPort())
		}
	}
	switch {
	case to.GetPath() != "":
		return text + to.GetPath()
	case to.ReplacePrefix != nil:
		return text + strings.TrimSuffix(to.GetReplacePrefix(), "/") + "/**"
	case rule.GetMatch().GetPath() != "":
		return text + rule.GetMatch().GetPath()
	}
	return text + strings.TrimSuffix(rule.GetMatch().GetPathPrefix(), "/") + "/**"
}

// routeName is what policies, logs and metrics know a route by. No two routes have the
// same.
func routeName(m *transomv1.HttpMatch) string {
	name := config.RoutePath(m) + conditionText(m)
	if len(m.GetMethods()) > 0 {
		return strings.Join(slices.Sorted(slices.Values(m.GetMethods())), ",") + " " + name
	}
	return name
}
