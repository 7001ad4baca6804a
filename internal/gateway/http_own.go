package gateway

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/entitytag"
	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/httproute"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// ownFile is something that the gateway itself answers with, always the same. Its two forms are other
// bytes, so they have other tags (RFC 9110 8.8.3.3).
type ownFile struct {
	plain, zipped             []byte
	plainLength, zippedLength []string
	tag, zippedTag            []string
	contentType               []string
}

// Lines of headers that are always the same. Nobody appends to them in place: they have no room.
var noSniff, variesByEncoding, gzipped = []string{"nosniff"}, []string{"Accept-Encoding"}, []string{"gzip"}

// newOwnFile keeps a file, whose tag is not quoted.
func newOwnFile(plain []byte, contentType, tag string) ownFile {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // there is such a level
	_, _ = z.Write(plain)                                 // memory takes all
	_ = z.Close()
	return ownFile{
		plain: plain, plainLength: []string{strconv.Itoa(len(plain))}, zipped: b.Bytes(), zippedLength: []string{strconv.Itoa(b.Len())},
		tag: []string{`"` + tag + `"`}, zippedTag: []string{`"` + tag + `-gzip"`}, contentType: []string{contentType},
	}
}

// answer sends it, or says that the client has it.
func (f *ownFile) answer(c *call, d *httpDownstream) {
	h := c.w.Header()
	body, length, tag, zipped := f.plain, f.plainLength, f.tag, field.Accepts(c.r.Header["Accept-Encoding"], "gzip")
	if zipped {
		body, length, tag = f.zipped, f.zippedLength, f.zippedTag
	}
	h["Content-Type"] = f.contentType
	h["Etag"] = tag
	h["X-Content-Type-Options"] = noSniff
	if h["Vary"] == nil {
		h["Vary"] = variesByEncoding
	} else {
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
	}
	if entitytag.Listed(c.r.Header["If-None-Match"], tag[0]) {
		d.answer(http.StatusNotModified, nil)
		return
	}
	if zipped {
		h["Content-Encoding"] = gzipped
	}
	d.answerLong(http.StatusOK, body, length)
}

// ownHTTPRoute is a route of the gateway's own, at a path that a field of the configuration says.
type ownHTTPRoute struct {
	at, path string
	methods  []string
	cors     *transomv1.Cors // nil: as its policies say
	action   httpAction
	// policyAt is where its own policies stand, answer what the listing says.
	policyAt string
	policy   *transomv1.Policy
	answer   string
	prepare  func(r *http.Request) // as that of httpEndpoint
	// ownContent is for answers that say themselves what may run in them, whatever defaults say.
	ownContent bool
}

// match is what a route of the gateway's own takes.
func (o *ownHTTPRoute) match() *transomv1.HttpMatch {
	return &transomv1.HttpMatch{Path: o.path, Methods: o.methods}
}

// newOwnRoute compiles one.
func (b *builder) newOwnRoute(o ownHTTPRoute) *Route {
	rule := &transomv1.HttpRoute{Match: o.match()}
	name := routeName(rule.GetMatch())
	e := &httpEndpoint{route: rule, errors: b.snapshot.errors, pages: b.snapshot.errorPages, inConfig: b.configPosition(o.at), action: o.action, prepare: o.prepare}
	layers := b.routeLayers(o.policyAt, o.policy)
	if o.ownContent && len(layers) > 0 {
		layers[0].Policy = withoutContentPolicy(layers[0].Policy)
	}
	if layers != nil && o.cors != nil {
		layers = append(layers, policy.Layer{Policy: &transomv1.Policy{Cors: o.cors}, Where: b.configPosition(o.at), Exact: true})
	}
	set, problems := b.snapshot.policies.Compile(policy.Target{RPC: name, PlainHTTP: true, Methods: o.methods, Path: o.path, Layers: layers, Backends: b.upstreams.named})
	b.problems = append(b.problems, problems...)
	if set == nil {
		set = policy.NewSet(nil)
	}
	e.guard = guard{name: name, set: set, timeout: set.Timeout, idleTimeout: set.IdleTimeout, changesHeader: set.ChangesHeader()}
	e.runsEarly = e.mayRunEarly()
	e.status = b.settings.of(set).Status
	return &Route{
		endpoint: e, guard: &e.guard, rule: strings.Join(o.methods, ",") + " " + o.path,
		listing: Listed{Method: strings.Join(o.methods, ","), Path: config.RoutePath(rule.GetMatch()), Answer: o.answer},
	}
}

// withoutContentPolicy is a policy that does not say what may run in an answer: a page for people with
// the Content-Security-Policy of an API has no style and no script.
func withoutContentPolicy(p *transomv1.Policy) *transomv1.Policy {
	if p.GetHeaders().GetSecurity().GetContentSecurityPolicy() == "" {
		return p
	}
	p = proto.CloneOf(p)
	p.GetHeaders().GetSecurity().ContentSecurityPolicy = ""
	return p
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
