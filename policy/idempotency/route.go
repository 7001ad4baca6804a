package idempotency

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// route keeps the answers of one plain HTTP route.
type route struct {
	*part
	bodies *bodies
}

var _ policy.Part = (*route)(nil)

func (p *part) compileRoute(s *policy.Scope, before int) policy.Part {
	if !p.open(s, before) {
		return nil
	}
	sent, err := bodiesOf(s.Generation)
	if err != nil {
		s.Refuse(name, "%v", err)
		return nil
	}
	return &route{p, sent}
}

// routeHasNone says why a route has no answers to keep; "" where it has (Traffic 82).
func routeHasNone(s *policy.Scope, rule *transomv1.IdempotencyKey) string {
	methods := s.Methods()
	switch {
	case s.Upstream == "":
		return "the gateway answers the requests of this route itself, the same each time: remove it"
	case len(methods) > 0 && !slices.ContainsFunc(methods, takesKeys):
		return fmt.Sprintf("keys are for POST and PATCH, and this route takes %s: remove it", strings.Join(methods, ", "))
	case rule.GetField() != "":
		return "a plain HTTP route knows no fields of its requests: remove field, and the key is the header"
	}
	return ""
}

// takesKeys reports whether requests of a method may have keys. The others may be made as
// often as one likes, and the header passes.
func takesKeys(method string) bool { return method == http.MethodPost || method == http.MethodPatch }

// PassedBy says what the policy is to requests of a method that may have no keys; "" for others.
func (p *route) PassedBy(method string) string {
	if takesKeys(method) {
		return ""
	}
	return "nothing for " + method + ": keys are for POST and PATCH, and the header passes"
}

// Keyed reports whether a request is under a key, be it a good one: it takes no place among
// those that run before it is made (Traffic 88).
func (p *route) Keyed(r *policy.Request) bool {
	return takesKeys(r.HTTP.Method) && len(r.HTTP.Header[header]) > 0
}

// Required reports whether requests without a key are refused.
func (p *route) Required() bool { return p.rule.GetRequired() }

// Key finds the key of an admitted request, "" where it is made without one. The error is
// its refusal.
func (p *route) Key(r *policy.Request) (string, error) {
	lines := r.HTTP.Header[header]
	switch {
	case !takesKeys(r.HTTP.Method):
		return "", nil
	case len(lines) > 0:
		key, err := keys.Read(lines)
		if err != nil {
			return "", r.Refuse(p, invalid(err))
		}
		return key, nil
	case p.rule.GetRequired():
		return "", r.Refuse(p, missing("the header Idempotency-Key"))
	}
	return "", nil
}

// Serve serves a request under a key, whose body is given. forward makes the exchange; it
// is called once at most, and writes to what stands in x then.
func (p *route) Serve(ctx context.Context, r *policy.Request, key string, body *attempt.Kept, x *httpbackend.Exchange, forward func(context.Context) httpbackend.Result) httpbackend.Result {
	c := p.call(r, key, "host", hostOf(r))
	c.Fingerprint = fingerprintOf(r.HTTP, body)
	lease, kept, err := c.take(ctx)
	switch {
	case err != nil:
		return httpbackend.Result{Err: err}
	case kept != nil:
		return c.replayHTTP(kept, x)
	case lease == nil:
		return forward(ctx)
	}
	return c.firstHTTP(ctx, lease, x, forward)
}

// hostOf is the host that the client asked for, the same with and without the port that it has
// by default (Traffic 85).
func hostOf(r *policy.Request) string {
	scheme := "http"
	if r.Secure() {
		scheme = "https"
	}
	return field.WithoutDefaultPort(scheme, strings.ToLower(r.Authority()))
}

// fingerprintOf tells requests apart that have one key, by what they say (Traffic 85).
func fingerprintOf(r *http.Request, body *attempt.Kept) keys.Digest {
	h := sha256.New()
	said := keys.Append(nil, r.Method, r.URL.EscapedPath(), r.URL.RawQuery)
	_, _ = h.Write(keys.Append(said, r.Header["Content-Type"]...)) // a hash takes all
	for at := 0; ; {
		piece := body.From(at)
		if len(piece) == 0 {
			return keys.Digest(h.Sum(nil))
		}
		_, _ = h.Write(piece)
		at += len(piece)
	}
}

// firstHTTP makes the first request under a key.
func (c *call) firstHTTP(ctx context.Context, lease keys.Lease, x *httpbackend.Exchange, forward func(context.Context) httpbackend.Result) httpbackend.Result {
	ended := false
	defer func() {
		if !ended { // a panic
			c.end(lease, &keys.Record{State: keys.Uncertain, Fingerprint: c.Fingerprint}, unknown)
		}
	}()
	own := newLifetime(ctx, c.timeout)
	defer own.stop()
	rec := newRecorder(x, c.limit, own.endWithClient)
	before := c.r.RefusedBy
	result := forward(own)
	if result.Err != nil && rec.deferred() {
		result.Status, result.Aborted = 0, false // nothing was written
		if own.late() {
			result.Err = c.tooLate()
		}
	}
	o := c.judgeHTTP(&result, rec, c.r.RefusedBy != before)
	var kept *keys.Record
	if o != release {
		kept = c.recordOfHTTP(&result, rec, o)
	}
	c.end(lease, kept, o)
	ended = true
	rec.deliver(&result)
	return result
}

// replayHTTP gives the answer that is kept.
func (c *call) replayHTTP(kept *keys.Record, x *httpbackend.Exchange) httpbackend.Result {
	if err := c.recall(kept); err != nil {
		return httpbackend.Result{Err: err}
	}
	if kept.HTTPStatus == 0 { // the store was changed by somebody else
		return httpbackend.Result{Err: c.refuse(policy.StoreAway("the answer that is kept under the key cannot be read"))}
	}
	h := x.W.Header()
	maps.Copy(h, crossingHTTP(http.Header(kept.Header)))
	if h["Content-Type"] == nil {
		h["Content-Type"] = nil // or net/http would guess
	}
	if x.Answer != nil {
		x.Answer(kept.HTTPStatus, kept.Server, h)
	}
	a := answer{status: kept.HTTPStatus, body: kept.Message}
	if field.HasToken(x.R.Header["Te"], "trailers") {
		a.trailer = http.Header(kept.Trailer)
	}
	return httpbackend.Result{Status: kept.HTTPStatus, Received: int64(len(kept.Message)), Err: a.write(x)}
}
