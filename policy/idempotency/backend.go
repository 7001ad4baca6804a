package idempotency

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// backend is one whose answers are kept.
type backend struct {
	proxy.Backend
	*method
}

// call is one call under a key.
type call struct {
	*part
	keys.Call
	r *policy.Request

	source   keys.Digest // zero where it is not known
	received int64       // how large the message is, in bytes
}

// Call implements proxy.Backend.
func (b *backend) Call(ctx context.Context, method string, md proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	r := policy.RequestOf(ctx)
	if r == nil || !b.Concerns(r) {
		return b.Backend.Call(ctx, method, md, request)
	}
	c := b.recalled(r)
	if c == nil {
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
		c = b.call(r, key)
	}
	c.Fingerprint, c.received = b.fingerprint(request.Bytes()), int64(request.Len())
	lease, kept, err := c.take(ctx)
	switch {
	case err != nil:
		request.Free()
		return proxy.Reply{}, err
	case kept != nil:
		request.Free()
		return c.replay(kept)
	}
	md = slices.Clone(md)
	md.Set(metadata, c.Key)
	if lease == nil {
		return b.Backend.Call(ctx, method, md, request)
	}
	return c.first(ctx, lease, func(ctx context.Context) (proxy.Reply, error) { return b.Backend.Call(ctx, method, md, request) })
}

// missing is the refusal of a call without a key.
func (m *method) missing() error {
	if m.field != nil {
		return missing("the field " + string(m.field.name))
	}
	return missing("the header Idempotency-Key")
}

// missing is the refusal of a call that does not say its key there.
func missing(where string) error {
	return keys.Refusal(codes.InvalidArgument, "IDEMPOTENCY_KEY_MISSING", "a key is needed: set "+where+" to a value of your own, the same for each try")
}

// take takes the key for the call, or returns the answer that is kept. It returns neither where
// the call passes without its key. An error was noted as the refusal of the call.
func (c *call) take(ctx context.Context) (keys.Lease, *keys.Record, error) {
	var latest time.Time // when it waits no more
	var kept *keys.Record
	for {
		if kept == nil {
			var lease keys.Lease
			var err error
			lease, kept, err = c.store.Begin(ctx, &c.Call)
			switch {
			case errors.Is(err, policy.ErrStoreAway) && c.mayPass():
				c.count("passed")
				c.r.KeyPassed = true
				return nil, nil, nil
			case err != nil:
				return nil, nil, c.refuse(err)
			case lease != nil:
				return lease, nil, nil
			}
		}
		switch {
		case kept.Fingerprint != c.Fingerprint:
			return nil, nil, c.refuse(policy.WithHTTPStatus(keys.Refusal(codes.InvalidArgument, "IDEMPOTENCY_KEY_REUSED",
				"the key was used for another request before: use a new one, or send the same request"), 422))
		case kept.State != keys.Running:
			return nil, kept, nil
		}
		ok := c.waits()
		if ok {
			if latest.IsZero() {
				latest = time.Now().Add(maxWait)
			}
			kept, ok = c.wait(ctx, latest)
		}
		if !ok {
			return nil, nil, c.refuse(c.inUse(ctx))
		}
	}
}

// wait waits for the call that has the key.
func (c *call) wait(ctx context.Context, latest time.Time) (*keys.Record, bool) {
	ctx, cancel := context.WithDeadline(ctx, latest)
	defer cancel()
	return c.store.Wait(ctx, c.ID)
}

// refuse refuses the call.
func (c *call) refuse(err error) error {
	switch {
	case errors.Is(err, policy.ErrStoreAway):
		policy.RetryAfter(c.r.ResponseHeader, time.Second)
	case errors.Is(err, keys.ErrFull):
		policy.RetryAfter(c.r.ResponseHeader, fullFor)
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
	return policy.WithHTTPStatus(keys.Refusal(codes.Aborted, "IDEMPOTENCY_KEY_IN_USE", "a call with this key is under way; try again soon"), 409)
}

// first makes the first call under a key. It goes on where the client has gone: the handler
// stays until it has ended, so that a reload and a shutdown wait for it as for any call.
func (c *call) first(ctx context.Context, lease keys.Lease, next func(context.Context) (proxy.Reply, error)) (proxy.Reply, error) {
	ended := false
	defer func() {
		if !ended { // a panic
			c.end(lease, &keys.Record{State: keys.Uncertain, Fingerprint: c.Fingerprint}, unknown)
		}
	}()
	own, cancel := c.outliving(ctx)
	defer cancel()
	before := c.r.RefusedBy
	reply, err := next(own)
	refused := c.r.RefusedBy != before || proxy.RefuserOf(err) != ""
	o := c.judge(&reply, err, refused)
	var kept *keys.Record
	if o != release {
		kept = c.recordOf(&reply, err, o)
	}
	c.end(lease, kept, o)
	ended = true
	return reply, err
}

// outliving is the context of a call that does not end with its client (Traffic 87).
func (c *call) outliving(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
}

// end writes how the call has ended; kept is nil where the key is free again.
func (c *call) end(lease keys.Lease, kept *keys.Record, o outcome) {
	lease.End(kept, c.ttl)
	c.count([...]string{keep: "kept", release: "released", unknown: "unknown"}[o])
}

// replay gives the answer that is kept.
func (c *call) replay(kept *keys.Record) (proxy.Reply, error) {
	if err := c.recall(kept); err != nil {
		return proxy.Reply{}, err
	}
	reply := proxy.Reply{Header: kept.Header, Trailer: kept.Trailer}
	if kept.Status != nil {
		return reply, transport.Told(status.FromProto(kept.Status))
	}
	reply.Message = proxy.WrapFrame(kept.Message).WithForms(kept.Forms)
	return reply, nil
}

// recall notes that the answer is one that is kept. The error says where there is none.
func (c *call) recall(kept *keys.Record) error {
	c.count("replayed")
	c.r.Replayed = true
	c.r.ResponseHeader[replayed] = isReplayed
	switch kept.State {
	case keys.Uncertain:
		return c.refuse(outcomeUnknown(kept))
	case keys.Bodyless:
		return c.refuse(policy.WithHTTPStatus(keys.Refusal(codes.AlreadyExists, "ANSWER_NOT_KEPT",
			"the first call with this key was carried out, and its answer was not kept: it was too large or a stream, or the memory for answers was full; "+
				"do not make the call again under a new key, but ask for its result by another call"), 409))
	}
	return nil
}

// advice is what a client can do about a call of which nobody knows whether it was carried out.
const advice = "; it is not made again under this key: find out whether it was, and if not, make it under a new key, or have the gateway's operator release this one"

// outcomeUnknown is the answer to a key of which nobody knows whether its call was made.
func outcomeUnknown(kept *keys.Record) error {
	code := codes.Code(kept.Status.GetCode()) //nolint:gosec // it was one of gRPC's
	if code == codes.OK {
		code = codes.Unknown
	}
	text := "nobody knows whether the first call with this key was carried out"
	if why := kept.Status.GetMessage(); why != "" {
		text += ": " + why
	}
	text += advice
	err := keys.Refusal(code, "OUTCOME_UNKNOWN", text)
	if kept.HTTPStatus != 0 {
		err = policy.WithHTTPStatus(err, kept.HTTPStatus)
	}
	return err
}
