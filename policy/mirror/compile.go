package mirror

import (
	"context"
	"net/http"
	"slices"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/projection"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy/attempt"
)

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetMirror()
	if rule == nil || !applies(s) {
		return nil
	}
	before := s.Noted()
	p := sender{upstream: rule.GetUpstream(), rpc: s.RPC, share: 1, redacts: rule.GetRedact(), decided: s.Decisions(name)}
	if rule.Percent != nil {
		if n := rule.GetPercent(); !(n > 0 && n <= 100) {
			s.Refuse("mirror.percent", "mirror.percent: found %v, expected more than 0 and up to 100", n)
		}
		p.share = rule.GetPercent() / 100
	}
	whole := p.to(s)
	if s.Noted() > before || s.Suppresses("mirror.upstream") {
		return nil
	}
	var err error
	p.copies, err = policy.Lease(s.Generation, key{p.upstream}, func() (*copies, error) {
		c := &copies{}
		c.ctx, c.cancel = context.WithCancel(context.Background())
		return c, nil
	})
	if err != nil {
		s.Refuse(name, "%v", err)
		return nil
	}
	return whole(p)
}

// to finds where copies go, and returns what makes the Part.
func (p *sender) to(s *policy.Scope) func(sender) policy.Part {
	const path = "mirror.upstream"
	if s.PlainHTTP() {
		if u := s.Config.GetUpstreams()[p.upstream]; u.GetHttp() == nil {
			s.Refuse(path, "%s: found %q, expected the name of a plain HTTP upstream%s", path, p.upstream, s.KnownUpstreams(p.upstream))
		}
		all := s.Policy.GetMirror().GetSideEffects()
		return func(p sender) policy.Part { return &plain{p, all} }
	}
	to := s.Backends(p.upstream)
	if to == nil || s.Config.GetUpstreams()[p.upstream].GetHttp() != nil {
		s.Refuse(path, "%s: found %q, expected the name of a gRPC upstream%s", path, p.upstream, s.KnownUpstreams(p.upstream))
	}
	if limiting, ok := to.(interface{ Limiting(int) *attempt.GRPC }); ok {
		to = limiting.Limiting(maxCopy)
	}
	var r *projection.Projection
	if p.redacts {
		r = newRedactor(s.Method.Input())
	}
	return func(p sender) policy.Part { return &part{p, to, r} }
}

// applies reports whether calls of the target can be copied. What is inherited and cannot
// hold is left out.
func applies(s *policy.Scope) bool {
	why, u := "", s.Config.GetUpstreams()[s.Policy.GetMirror().GetUpstream()]
	switch {
	case s.Upstream == "" && s.Method == nil:
		why = "the route has no upstream, as the gateway answers its requests: remove it"
	case s.Upstream == "" && len(s.Config.GetUpstreams()) > 0:
		return false // a service of the gateway's own
	case s.Stream():
		why = "it is for unary methods, and this one streams: remove it"
	case !s.Exact(name) && u != nil && (u.GetHttp() != nil) != s.PlainHTTP():
		// It is that of methods, or of routes.
	case s.PlainHTTP():
		if methods := s.Methods(); s.Policy.GetMirror().GetSideEffects() || len(methods) == 0 || slices.ContainsFunc(methods, repeatable) {
			return true
		}
		why = "a copy of none of the route's methods is without side effects of its own: set mirror.side_effects: true"
	case !s.Policy.GetMirror().GetSideEffects() && !harmless(s):
		why = "a copy may have side effects, as the proto does not say otherwise: set the method's option idempotency_level to IDEMPOTENT or " +
			"NO_SIDE_EFFECTS, if that is what it is, or mirror.side_effects: true"
	default:
		return true
	}
	if s.Exact(name) {
		s.Refuse(name, "mirror: %s", why)
	} else {
		s.Leave(name)
	}
	return false
}

// harmless reports whether the proto says that a call may be made twice.
func harmless(s *policy.Scope) bool {
	options, ok := s.Method.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
}

// repeatable reports whether a request of a method of HTTP may be made twice (RFC 9110, 9.2).
func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
