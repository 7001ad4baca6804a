package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events/behaviour"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/entitytag"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// httpBeacon takes the beacons of pages (Events 189).
type httpBeacon struct{ collector *behaviour.Collector }

// serve implements httpAction.
func (a *httpBeacon) serve(ctx context.Context, c *call, d *httpDownstream) proxy.Result {
	query := c.r.URL.Query()
	page := behaviour.Page{Header: c.r.Header, Own: ownOrigin(&c.request), Key: query.Get("key")}
	if !a.collector.Admits(&page) {
		return refuseBeacon(http.StatusForbidden, codes.PermissionDenied,
			"pages of this origin may not send events here, and without the header Origin a write key is needed (events.behaviour.origins, events.behaviour.write_keys)")
	}
	body, err := readBeacon(c, d)
	if err != nil {
		return proxy.Result{Err: err}
	}
	zipped := query.Get("compression") == "gzip"
	switch encoding := c.r.Header.Get("Content-Encoding"); {
	case strings.EqualFold(encoding, "gzip"):
		zipped = true
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return refuseBeacon(http.StatusUnsupportedMediaType, codes.InvalidArgument, "found the content encoding "+clip(encoding)+", expected gzip or none")
	}
	batch, err := behaviour.Decode(c.r.Header.Get("Content-Type"), zipped, body)
	switch {
	case errors.Is(err, behaviour.ErrTooLarge):
		return proxy.Result{Err: exchange.TooLarge(behaviour.MaxBody)}
	case errors.Is(err, behaviour.ErrType):
		return refuseBeacon(http.StatusUnsupportedMediaType, codes.InvalidArgument, err.Error())
	case err != nil:
		return refuseBeacon(http.StatusBadRequest, codes.InvalidArgument, err.Error())
	}
	if takeEvents(ctx, a.collector, &c.request, batch).Unavailable {
		return refuseBeacon(http.StatusServiceUnavailable, codes.Unavailable, "events cannot be stored at the moment; send them again")
	}
	d.answer(http.StatusNoContent, nil)
	return proxy.Result{}
}

func refuseBeacon(httpStatus int, code codes.Code, message string) proxy.Result {
	return proxy.Result{Err: httpError(httpStatus, code, message)}
}

// readBeacon reads the body of a beacon.
func readBeacon(c *call, d *httpDownstream) ([]byte, error) {
	if d.x.NoBody() {
		return nil, nil
	}
	reading := exchange.Watch(&d.x, c.bounds.deadline)
	body, err := exchange.AppendAll(nil, c.r.Body, behaviour.MaxBody, c.r.ContentLength)
	if broken := reading.Done(); broken != nil {
		err = broken
	}
	return body, exchange.BodyError(err, behaviour.MaxBody)
}

// ownOrigin is the origin of the gateway's own pages, as a browser says it.
func ownOrigin(q *policy.Request) string {
	scheme := "http"
	if q.Secure() {
		scheme = "https"
	}
	return scheme + "://" + strings.ToLower(field.WithoutDefaultPort(scheme, q.Authority()))
}

// explain implements httpAction.
func (a *httpBeacon) explain(row func(name, format string, args ...any), _ *call) {
	row("answer", "204 for events of pages and apps (events.behaviour)")
}

// httpScript is the script for pages (Events 202).
type httpScript struct {
	plain, zipped []byte
	tag           string
}

func newScript() *httpScript {
	sum := sha256.Sum256(behaviour.Script)
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // there is such a level
	_, _ = z.Write(behaviour.Script)                      // memory takes all
	_ = z.Close()
	return &httpScript{plain: behaviour.Script, zipped: b.Bytes(), tag: `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// serve implements httpAction.
func (a *httpScript) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	h := c.w.Header()
	h["Content-Type"] = []string{"text/javascript; charset=utf-8"}
	h["Cache-Control"] = []string{"public, max-age=3600"}
	h["Etag"] = []string{a.tag}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Access-Control-Allow-Origin"] = []string{"*"} // integrity asks for it
	h["Cross-Origin-Resource-Policy"] = []string{"cross-origin"}
	h["Vary"] = append(h["Vary"], "Accept-Encoding")
	if entitytag.Listed(c.r.Header["If-None-Match"], a.tag) {
		d.answer(http.StatusNotModified, nil)
		return proxy.Result{}
	}
	body := a.plain
	if acceptsGzip(c.r.Header["Accept-Encoding"]) {
		h["Content-Encoding"] = []string{"gzip"}
		body = a.zipped
	}
	d.answer(http.StatusOK, body)
	return proxy.Result{}
}

// acceptsGzip reports whether a client takes what is compressed by gzip.
func acceptsGzip(lines []string) bool {
	for coding := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

// explain implements httpAction.
func (a *httpScript) explain(row func(name, format string, args ...any), _ *call) {
	row("answer", "200 with the script for pages (events.behaviour.script)")
}

// ownHTTPRoute is a route of the gateway's own, at a path that a field of the configuration says.
type ownHTTPRoute struct {
	at, path string
	methods  []string
	cors     *transomv1.Cors
	action   httpAction
}

// ownHTTPRoutes are those of events.
func (b *builder) ownHTTPRoutes() []ownHTTPRoute {
	c := b.file.Config.GetEvents().GetBehaviour()
	var all []ownHTTPRoute
	if c.GetBeacon() != "" && b.events.collector != nil {
		all = append(all, ownHTTPRoute{"events.behaviour.beacon", c.GetBeacon(), []string{http.MethodPost}, beaconCors(c), &httpBeacon{b.events.collector}})
	}
	if c.GetScript() != "" {
		all = append(all, ownHTTPRoute{"events.behaviour.script", c.GetScript(), []string{http.MethodGet, http.MethodHead}, &transomv1.Cors{}, newScript()})
	}
	return all
}

// beaconCors lets the pages of some origins send what sendBeacon and fetch send: with cookies, as
// sendBeacon knows no other way (Events 190).
func beaconCors(c *transomv1.Behaviour) *transomv1.Cors {
	if len(c.GetOrigins()) == 0 {
		return &transomv1.Cors{}
	}
	cors := &transomv1.Cors{AllowedOrigins: c.GetOrigins(), AllowCredentials: true, AllowedMethods: []string{http.MethodPost},
		AllowedHeaders: []string{"content-type", "content-encoding", "traceparent", "tracestate", "x-request-id", "x-write-key"}}
	if name := c.GetConsent().GetHeader(); name != "" {
		cors.AllowedHeaders = append(cors.AllowedHeaders, name)
	}
	return cors
}

// match is what a route of the gateway's own takes.
func (o *ownHTTPRoute) match() *transomv1.HttpMatch {
	return &transomv1.HttpMatch{Path: o.path, Methods: o.methods}
}

// newOwnRoute compiles one. Its policies are those of events.behaviour.
func (b *builder) newOwnRoute(o ownHTTPRoute) *Route {
	rule := &transomv1.HttpRoute{Match: o.match()}
	name := routeName(rule.GetMatch())
	e := &httpEndpoint{route: rule, errors: b.snapshot.errors, pages: b.snapshot.errorPages, inConfig: b.configPosition(o.at), action: o.action}
	layers := b.routeLayers("events.behaviour", b.file.Config.GetEvents().GetBehaviour().GetPolicy())
	if layers != nil {
		layers = append(layers, policy.Layer{Policy: &transomv1.Policy{Cors: o.cors}, Where: b.configPosition(o.at), Exact: true})
	}
	set, problems := b.snapshot.policies.Compile(policy.Target{RPC: name, PlainHTTP: true, Methods: o.methods, Path: o.path, Layers: layers, Backends: b.upstreams.named})
	b.problems = append(b.problems, problems...)
	if set == nil {
		set = policy.NewSet(nil)
	}
	e.guard = guard{name: name, set: set, timeout: set.Timeout, idleTimeout: set.IdleTimeout, changesHeader: set.ChangesHeader()}
	e.status = b.settings.of(set).Status
	return &Route{
		endpoint: e, guard: &e.guard, rule: strings.Join(o.methods, ",") + " " + o.path,
		listing: Listed{Method: strings.Join(o.methods, ","), Path: config.RoutePath(rule.GetMatch()), Answer: strings.TrimPrefix(o.at, "events.behaviour.") + " of events"},
	}
}

// addOwnRoutes appends the routes of the gateway's own, and what they match.
func (b *builder) addOwnRoutes(h *httpRoutes, matches []httproute.Match) []httproute.Match {
	for _, o := range b.ownHTTPRoutes() {
		h.routes = append(h.routes, b.newOwnRoute(o))
		matches = append(matches, config.RouteMatch(o.match()))
		for _, method := range o.methods {
			if taken := b.takes(method, o.path, true); taken != nil {
				b.refuseEvents(o.at, "found "+o.path+", which is a path of "+taken.endpoint.String()+" ("+taken.endpoint.where()+"): choose another one")
			}
		}
	}
	return matches
}

// refuseOwnRoute notes a problem of one of the gateway's own routes.
func (b *builder) refuseOwnRoute(i int, message string) {
	if all := b.ownHTTPRoutes(); i < len(all) {
		b.refuseEvents(all[i].at, "found "+all[i].path+": "+message)
	}
}
