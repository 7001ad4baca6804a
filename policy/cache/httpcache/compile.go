package httpcache

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/digest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetCache()
	if rule == nil || !s.PlainHTTP() {
		return nil
	}
	switch {
	case s.Upstream == "" && s.Exact(name):
		s.Refuse(name, "cache: the gateway itself answers the route: remove it")
		return nil
	case s.Upstream == "", rule.GetScope() == transomv1.Cache_PRINCIPAL && !s.Exact(name) && !sharing.CallersKnown(s):
		s.Leave(name)
		return nil
	}
	before := s.Noted()
	part := compileRoute(s, rule)
	if s.Noted() > before || s.Suppresses(name) {
		return nil
	}
	return part
}

// ofMessages are the fields that are about messages, which a route has none of.
var ofMessages = map[protoreflect.Name]string{
	"tags":            "the tag of an answer is its URI",
	"invalidates":     "a request that may change something drops what is kept of its URI",
	"validators_only": "the server's own entity tags pass",
}

func compileRoute(s *policy.Scope, rule *transomv1.Cache) *part {
	p := &part{rpc: s.RPC, count: s.Decisions(name), now: s.State.Now, obeyClient: rule.GetObeyClient(), timeout: s.Policy.GetTimeout().AsDuration()}
	if s.Exact(name) {
		rule.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			if why := ofMessages[f.Name()]; why != "" {
				s.Refuse(name+"."+string(f.Name()), "cache.%s: it is for gRPC methods, and this is a plain HTTP route, where %s: remove it", f.Name(), why)
			}
			return true
		})
		if rule.GetStore() > transomv1.Cache_MEMORY {
			s.Refuse("cache.store", "cache.store: found %v, expected MEMORY, which answers of plain HTTP routes are kept in", rule.GetStore())
		}
	}
	p.TTL = s.CheckDuration("cache.ttl", rule.GetTtl())
	p.NotFoundTTL = s.CheckDuration("cache.not_found_ttl", rule.GetNotFoundTtl())
	p.WhileRevalidate = s.CheckDuration("cache.stale_while_revalidate", rule.GetStaleWhileRevalidate())
	p.IfError = s.CheckDuration("cache.stale_if_error", rule.GetStaleIfError())
	p.Scope = sharing.Of(s, rule)
	p.lease(s)
	return p
}

// lease finds what outlives a reload.
func (p *part) lease(s *policy.Scope) {
	m := memory.Of(s)
	if m == nil {
		return
	}
	var err error
	if p.flights, err = policy.Lease(s.Generation, flightsKey{}, func() (*flights, error) { return newFlights(m), nil }); err != nil {
		s.Refuse(name, "%v", err)
		return
	}
	p.shared = peers.Of(s, p.flights)
	p.group, err = policy.Lease(s.Generation, groupKey{s.RPC, s.Upstream, digest.Of(nil, s.Policy, s.Config.GetUpstreams()[s.Upstream])}, func() (*group, error) {
		return &group{p.flights.groups.Add(1), s.RPC, p.flights}, nil
	})
	if err != nil {
		s.Refuse(name, "%v", err)
	}
}
