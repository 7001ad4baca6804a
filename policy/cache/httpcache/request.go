package httpcache

import (
	"context"
	"net/http"
	"time"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/internal/cachestatus"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// request is one on its way through the cache.
type request struct {
	*part
	ctx    context.Context
	r      *policy.Request
	path   string // and query, as the client sees them
	x      *httpbackend.Exchange
	way    httpbackend.Way
	caller sharing.Caller
	wants  cachecontrol.Control // of the client, where it is obeyed
	why    sharing.Why          // it went on to the server
}

// Serve answers an admitted request of the route from what is kept, or has it go its way. path
// is the path as the route was found by, with the query. It returns what Upstream.Forward
// would.
func (p *part) Serve(ctx context.Context, r *policy.Request, path string, x *httpbackend.Exchange, way httpbackend.Way) httpbackend.Result {
	q := request{part: p, ctx: ctx, r: r, path: path, x: x, way: way}
	switch x.R.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return q.alone(byMethod)
	default:
		return q.write()
	}
	var ok bool
	q.caller, ok = p.Caller(r)
	switch {
	case !ok:
		return q.alone(sharing.PassedBy)
	case rfc9111.Apart(x.R) && x.R.Header["Range"] != nil:
		return q.alone(sharing.Why{Forward: cachestatus.Bypass, Detail: cachestatus.Range})
	case rfc9111.Apart(x.R):
		return q.alone(sharing.PassedBy)
	}
	control := cachecontrol.Parse(x.R.Header["Cache-Control"])
	if p.obeyClient {
		q.wants = control
		if control.Says(cachecontrol.NoStore) {
			return q.alone(sharing.PassedBy)
		}
	}
	q.wants.Has |= control.Has & cachecontrol.OnlyIfCached // that empties nothing
	var scratch [512]byte
	return q.answer(q.appendKey(scratch[:0]))
}

// byMethod is why requests go their way that are never answered from a cache.
var byMethod = sharing.Why{Forward: cachestatus.Method}

// alone has the request go its way without the cache.
func (q *request) alone(why sharing.Why) httpbackend.Result {
	q.why = why
	return q.goes(sharing.Bypass)
}

// goes has the request go its way.
func (q *request) goes(result string) httpbackend.Result {
	q.tell(result, nil, time.Time{})
	return q.way.Forward(q.ctx, q.x)
}

// answer finds an answer, or asks for one.
func (q *request) answer(primary []byte) httpbackend.Result {
	s := q.flights
	// What an answer varies by is known only when it is there. A flight that failed is no try:
	// one who waited for it had its failure, and one of the others asks next (Traffic 124).
	for tries := 0; tries < 6; {
		now := q.now()
		key := primary
		q.why = sharing.Why{Forward: cachestatus.URIMiss}
		a := s.get(key, now)
		if a != nil && a.marker {
			q.why.Forward = cachestatus.VaryMiss
			key = q.appendVariant(primary, a.Vary)
			a = s.get(key, now)
		}
		switch {
		case a == nil:
		case a.pass:
			return q.alone(sharing.NotKept)
		case now.Before(a.FreshUntil()) && sharing.Accepts(&q.wants, a.AgeAt(now), a.FreshUntil().Sub(now)):
			q.why = sharing.Why{}
			return q.give(sharing.Hit, a, now)
		case !now.Before(a.FreshUntil()) && now.Before(a.RevalidateUntil()) && q.wants.Has&^cachecontrol.OnlyIfCached == 0:
			s.refresh(q, primary, key, a)
			q.why = sharing.Why{}
			return q.give(sharing.Stale, a, now)
		case now.Before(a.FreshUntil()):
			q.why.Forward = cachestatus.Request
		default:
			q.why.Forward = cachestatus.Stale
		}
		if q.wants.Says(cachecontrol.OnlyIfCached) {
			q.why = sharing.Why{}
			q.tell(sharing.Miss, nil, now)
			return httpbackend.Result{Err: q.r.Refuse(q.part, sharing.NotCached)}
		}
		if q.x.R.Method == http.MethodHead {
			return q.goes(sharing.Miss)
		}
		result, again, failed := q.fetch(primary, key, a)
		switch {
		case !again:
			return result
		case !failed:
			tries++
		}
	}
	return q.alone(sharing.PassedBy)
}

// tell notes what the cache did.
func (q *request) tell(result string, a *answer, now time.Time) {
	var kept *sharing.Answer
	if a != nil {
		kept = &sharing.Answer{Public: a.public, Age: a.AgeAt(now), Left: a.FreshUntil().Sub(now), Fields: &a.fields}
	}
	q.r.Cache = sharing.Use(result, kept, q.why)
	q.count(result)
}

// write has a request go its way that may change something at the server. When that has
// succeeded, what is kept of its URI, and of those that the answer names, is dropped before
// the client has the answer (RFC 9111 4.4). Where nobody knows what became of it, it may have
// been done.
func (q *request) write() httpbackend.Result {
	q.r.Cache = sharing.Use("", nil, byMethod)
	answered, dropped, answer := false, false, q.x.Answer
	q.x.Answer = func(status int, server string, h http.Header) {
		answered = true
		if answer != nil {
			answer(status, server, h)
		}
		if dropped = status < http.StatusBadRequest || rfc9111.Unsure(status); dropped {
			q.drop(q.about(h))
		}
	}
	result := q.way.Forward(q.ctx, q.x)
	if !answered && !result.Refused || !dropped && result.Tries.Attempts > 1 {
		q.drop([]string{tier.TagText(q.uri())})
	}
	return result
}

// drop drops the answers with tags, here and at other gateways.
func (q *request) drop(tags []string) { peers.Announce(q.shared, tags, q.flights) }

// about lists the tags of a request's URI, and of those of the same origin that its answer names.
func (q *request) about(h http.Header) []string {
	all := rfc9111.Named(q.uri(), h)
	for i, uri := range all {
		all[i] = tier.TagText(uri)
	}
	return all
}
