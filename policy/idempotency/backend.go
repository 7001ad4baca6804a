package idempotency

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// backend is one whose answers are kept.
type backend struct {
	proxy.Backend
	*part
}

// call is one call under a key.
type call struct {
	*part
	r           *policy.Request
	id, owner   digest
	fingerprint digest
}

// Call implements proxy.Backend.
func (b *backend) Call(ctx context.Context, method string, md proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	r := policy.RequestOf(ctx)
	if r == nil || b.field == nil && len(r.HTTP.Header[header]) == 0 && !b.rule.GetRequired() {
		return b.Backend.Call(ctx, method, md, request)
	}
	key, err := b.key(r, request.Bytes())
	if err == nil && key == "" {
		if !b.rule.GetRequired() {
			return b.Backend.Call(ctx, method, md, request)
		}
		err = b.missing()
	}
	if err != nil {
		request.Free()
		return proxy.Reply{}, r.Refuse(b.part, err)
	}
	c := call{part: b.part, r: r, fingerprint: b.fingerprint(request.Bytes())}
	c.id, c.owner = b.identify(r, key)
	md = slices.Clone(md)
	md.Set(metadata, key)
	return c.make(ctx, func(ctx context.Context) (proxy.Reply, error) { return b.Backend.Call(ctx, method, md, request) }, request.Free)
}

// missing is the refusal of a call without a key.
func (p *part) missing() error {
	what := "the header Idempotency-Key"
	if p.field != nil {
		what = "the field " + string(p.field.name)
	}
	return refusal(codes.InvalidArgument, "IDEMPOTENCY_KEY_MISSING", "the method needs a key: set "+what+" to a value of your own, the same for each try")
}

// make makes the call by next, or gives the answer that is kept, and drops the request then.
func (c *call) make(ctx context.Context, next func(context.Context) (proxy.Reply, error), drop func()) (proxy.Reply, error) {
	waiting, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	for {
		lease, kept, err := c.answers.begin(ctx, c)
		switch {
		case errors.Is(err, policy.ErrStoreAway) && c.mayPass():
			c.count("passed")
			return next(ctx)
		case err != nil:
			drop()
			return proxy.Reply{}, c.refuse(err)
		case lease != nil:
			return c.first(ctx, lease, next)
		case kept.fingerprint != c.fingerprint:
			drop()
			return proxy.Reply{}, c.refuse(policy.WithHTTPStatus(refusal(codes.InvalidArgument, "IDEMPOTENCY_KEY_REUSED",
				"the key was used for another request before: use a new one, or send the same request"), 422))
		case kept.state != running:
			drop()
			return c.replay(kept)
		case !c.waits() || !c.answers.wait(waiting, c.id):
			drop()
			return proxy.Reply{}, c.refuse(c.inUse(ctx))
		}
	}
}

// refuse refuses the call.
func (c *call) refuse(err error) error {
	if errors.Is(err, policy.ErrStoreAway) {
		policy.RetryAfter(c.r.ResponseHeader, time.Second)
	}
	return c.r.Refuse(c.part, err)
}

// mayPass reports whether calls pass where the store is away.
func (c *call) mayPass() bool { return c.rule.GetOnUnavailable() == transomv1.IdempotencyKey_ALLOW }

// waits reports whether a call waits for another one under its key.
func (c *call) waits() bool { return c.rule.GetInFlight() == transomv1.IdempotencyKey_WAIT }

// inUse is the refusal of a call under whose key another one is under way.
func (c *call) inUse(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	policy.RetryAfter(c.r.ResponseHeader, time.Second)
	return policy.WithHTTPStatus(refusal(codes.Aborted, "IDEMPOTENCY_KEY_IN_USE", "a call with this key is under way; try again soon"), 409)
}

// first makes the first call under a key. It goes on where the client has gone: the handler
// stays until it has ended, so that a reload and a shutdown wait for it as for any call.
func (c *call) first(ctx context.Context, lease lease, next func(context.Context) (proxy.Reply, error)) (proxy.Reply, error) {
	ended := false
	defer func() {
		if !ended { // a panic
			c.end(lease, &record{state: uncertain, fingerprint: c.fingerprint}, unknown)
		}
	}()
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	before := c.r.RefusedBy
	reply, err := next(own)
	refused := c.r.RefusedBy != before || proxy.RefuserOf(err) != ""
	o := c.judge(&reply, err, refused)
	var kept *record
	if o != release {
		kept = c.recordOf(c.fingerprint, &reply, err, o)
	}
	c.end(lease, kept, o)
	ended = true
	return reply, err
}

// end writes how the call has ended; kept is nil where the key is free again.
func (c *call) end(lease lease, kept *record, o outcome) {
	lease.end(kept, c.ttl)
	c.count([...]string{keep: "kept", release: "released", unknown: "unknown"}[o])
}

// replay gives the answer that is kept.
func (c *call) replay(kept *record) (proxy.Reply, error) {
	c.count("replayed")
	c.r.Replayed = true
	c.r.ResponseHeader.Set(replayed, "true")
	switch kept.state {
	case uncertain:
		code := codes.Code(kept.status.GetCode()) //nolint:gosec // it was one of gRPC's
		if code == codes.OK {
			code = codes.Unknown
		}
		return proxy.Reply{}, c.refuse(refusal(code, "OUTCOME_UNKNOWN",
			"nobody knows whether the first call with this key was carried out: "+kept.status.GetMessage()))
	case bodyless:
		return proxy.Reply{}, c.refuse(policy.WithHTTPStatus(refusal(codes.AlreadyExists, "ANSWER_NOT_KEPT",
			"the first call with this key was carried out, and its answer was too large to be kept"), 409))
	}
	reply := proxy.Reply{Header: maps.Clone(kept.header), Trailer: maps.Clone(kept.trailer)}
	if kept.status != nil {
		return reply, transport.Told(status.FromProto(kept.status))
	}
	reply.Message = proxy.WrapFrame(kept.message)
	return reply, nil
}
