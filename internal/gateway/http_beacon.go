package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events/behaviour"
	"github.com/transom-gateway/transom/internal/field"
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

// showWriteKey has a write key of the query stand in the header, too, which policies can count by (Events 201).
func showWriteKey(r *http.Request) {
	if key := r.URL.Query().Get("key"); key != "" {
		r.Header.Set("X-Write-Key", key)
	}
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
type httpScript struct{ ownFile }

func newScript() *httpScript {
	sum := sha256.Sum256(behaviour.Script)
	return &httpScript{newOwnFile(behaviour.Script, "text/javascript; charset=utf-8", hex.EncodeToString(sum[:8]))}
}

// serve implements httpAction.
func (a *httpScript) serve(_ context.Context, c *call, d *httpDownstream) proxy.Result {
	h := c.w.Header()
	h["Cache-Control"] = []string{"public, max-age=3600"}
	h["Access-Control-Allow-Origin"] = []string{"*"} // integrity asks for it
	h["Cross-Origin-Resource-Policy"] = []string{"cross-origin"}
	a.answer(c, d)
	return proxy.Result{}
}

// explain implements httpAction.
func (a *httpScript) explain(row func(name, format string, args ...any), _ *call) {
	row("answer", "200 with the script for pages (events.behaviour.script)")
}

// ownHTTPRoutes are those of events, of the OpenAPI document and of the documentation.
func (b *builder) ownHTTPRoutes() []ownHTTPRoute {
	c := b.file.Config.GetEvents().GetBehaviour()
	all := append(b.openAPIRoutes(), b.docsRoutes()...)
	if c.GetBeacon() != "" && b.events.collector != nil {
		all = append(all, ownHTTPRoute{
			at: "events.behaviour.beacon", path: c.GetBeacon(), methods: []string{http.MethodPost}, cors: beaconCors(c), action: &httpBeacon{b.events.collector},
			prepare:  showWriteKey,
			policyAt: "events.behaviour", policy: c.GetPolicy(), answer: "beacon of events",
		})
	}
	if c.GetScript() != "" {
		all = append(all, ownHTTPRoute{
			at: "events.behaviour.script", path: c.GetScript(), methods: []string{http.MethodGet, http.MethodHead}, cors: &transomv1.Cors{}, action: newScript(),
			policyAt: "events.behaviour", policy: c.GetPolicy(), answer: "script of events",
		})
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
