package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/grpcgo"
)

// suspicions collects, while the methods are compiled, what no single method shows
// and what works otherwise than its author may think.
type suspicions struct {
	// nobody are the places whose headers name the caller, with the variable that
	// does; "" where one of their methods knows its callers.
	nobody map[string]string
	// sessions reports whether a method takes sessions, logins whether one opens them.
	sessions, logins bool
	// sessionMethod is a place where a session is demanded.
	sessionMethod string
	// certificates is a place where a client certificate is demanded; "" for none.
	certificates string
	// retries are the places that have calls retried, and whether one of their methods
	// can be.
	retries map[string]bool
	// drops are the tags of answers that are dropped.
	drops []droppedTag
}

// suspect notes what is odd about the policies of one method or plain HTTP route.
func (b *builder) suspect(layers []policy.Layer, set *policy.Set) {
	s, auth := &b.suspicions, set.Effective.GetAuth()
	if auth.GetSession() != nil || auth.GetMixed() != nil {
		if at := written(layers, "auth"); !s.sessions && at != nil {
			s.sessionMethod = at.Where
		}
		s.sessions = true
	}
	if at := written(layers, "auth"); auth.GetMtls() != nil && at != nil {
		s.certificates = at.Where
	}
	b.suspectTags(layers, set)
	s.logins = s.logins || set.Effective.GetLogin().GetSession() != nil
	variable := callerVariable(set.Effective.GetHeaders())
	at := written(layers, "headers")
	if variable == "" || at == nil {
		return
	}
	if s.nobody == nil {
		s.nobody = map[string]string{}
	}
	known := knowsCallers(auth)
	switch before, seen := s.nobody[at.Where]; {
	case known:
		s.nobody[at.Where] = ""
	case !seen || before != "":
		s.nobody[at.Where] = variable
	}
}

// knowsCallers reports whether callers of a method with this auth are known.
func knowsCallers(a *transomv1.Auth) bool {
	return a.GetJwt() != nil || a.GetSession() != nil || a.GetMixed() != nil || a.GetMtls() != nil
}

// suspectRetry notes whether retries can hold on an upstream, and whether an attempt has
// time for another. Nothing is known of a method whose policy is wrong.
func (b *builder) suspectRetry(layers []policy.Layer, set *policy.Set, to namedUpstream, wrong bool) {
	at := written(layers, "retry")
	if at == nil || at.Policy.GetRetry().GetDisabled() {
		return
	}
	if said := at.Policy.GetRetry(); said.MaxAttempts != nil && said.GetMaxAttempts() < 2 {
		field := "hedge_after"
		if said.GetHedgePercentile() > 0 {
			field = "hedge_percentile"
		}
		if said.GetHedgeAfter() != nil || said.GetHedgePercentile() > 0 {
			b.warnAt(at.Where, fmt.Sprintf("retry.%s: it has no effect beside max_attempts: %d, which leaves no attempt to make beside the first: "+
				"set max_attempts to 2 or more, or remove one of them", field, said.GetMaxAttempts()))
		}
		return
	}
	if b.suspicions.retries == nil {
		b.suspicions.retries = map[string]bool{}
	}
	holds := set.Effective.GetRetry()
	b.suspicions.retries[at.Where] = b.suspicions.retries[at.Where] || holds != nil || wrong
	if _, foreign := to.conn.(*grpcgo.Conn); foreign && holds != nil {
		b.warnAt(at.Where, fmt.Sprintf("retry: it has no effect on the upstream %s, whose client is GRPC_GO: remove client there, or retry here", to.name))
	}
	if each := holds.GetPerTryTimeout().AsDuration(); each > 0 && set.Timeout > 0 && each >= set.Timeout {
		b.warnAt(at.Where, fmt.Sprintf("retry.per_try_timeout: %v leaves no time for another attempt, as timeout is %v in all: make it shorter", span.Text(each), span.Text(set.Timeout)))
	}
}

// suspectBreaker notes whether a circuit breaker can hold on an upstream.
func (b *builder) suspectBreaker(layers []policy.Layer, set *policy.Set, to namedUpstream) {
	at := written(layers, "circuit_breaker")
	if _, foreign := to.conn.(*grpcgo.Conn); foreign && at != nil && set.Effective.GetCircuitBreaker() != nil {
		b.warnAt(at.Where, fmt.Sprintf("circuit_breaker: it has no effect on the upstream %s, whose client is GRPC_GO: remove client there, or circuit_breaker here", to.name))
	}
}

// written is the layer that has the last word on a field of the policy; nil for none.
func written(layers []policy.Layer, field protoreflect.Name) *policy.Layer {
	for i := range slices.Backward(layers) {
		p := layers[i].Policy.ProtoReflect()
		if p.Has(p.Descriptor().Fields().ByName(field)) {
			return &layers[i]
		}
	}
	return nil
}

// callerVariable is a variable of the headers that names the caller; "" for none.
func callerVariable(h *transomv1.Headers) string {
	for _, t := range []*transomv1.HeaderTransform{h.GetRequest(), h.GetResponse()} {
		for _, values := range []map[string]string{t.GetSet(), t.GetAdd()} {
			for _, value := range values {
				if i := strings.Index(value, "${claim."); i >= 0 {
					name, _, _ := strings.Cut(value[i:], "}")
					return name + "}"
				}
				if strings.Contains(value, "${principal}") {
					return "${principal}"
				}
			}
		}
	}
	return ""
}

// warnOfSuspicions says what was collected, once all methods are known.
func (b *builder) warnOfSuspicions() {
	s := &b.suspicions
	for where, variable := range s.nobody {
		if variable == "" {
			continue
		}
		b.warnAt(where, fmt.Sprintf("headers: %s is empty here: there is no auth.jwt, auth.session, auth.mixed or auth.mtls beside it, so that nobody is known; add one, or remove the header", variable))
	}
	for where, holds := range s.retries {
		if !holds {
			b.warnAt(where, "retry: no method here may be called twice, so that none is: set the option idempotency_level of those that may to "+
				"IDEMPOTENT or NO_SIDE_EFFECTS, or retry.idempotency_level")
		}
	}
	b.warnOfTags()
	if s.sessions && !s.logins {
		where := s.sessionMethod
		if b.file.Written("auth.session") {
			where = b.configPosition("auth.session")
		}
		b.warnAt(where, "auth.session: no method opens a session, so that every call without a token is refused; give the backend's login method "+
			"login: { subject: FIELD, session: {} }, unless another gateway with the same Redis opens them")
	}
	asks := func(l *transomv1.Listener) bool { return l.GetTls().GetClientCa() != "" }
	if s.certificates != "" && !slices.ContainsFunc(b.file.Config.GetListeners(), asks) {
		b.warnAt(s.certificates, "auth.mtls: no listener asks for certificates, so that every call is refused; give one tls.client_ca")
	}
	if len(b.snapshot.routes) == 0 && b.snapshotWithoutReflection() {
		b.warn(b.noRoutes(), "schemas")
	}
	b.warnOfNoUpstream()
	if b.file.Config.GetFaults() {
		b.warn("faults: true lets the policy fault delay and fail calls on purpose; remove it, and --faults, where that is not meant", "faults")
	}
	b.warnOfHostBits()
	b.warnOfTwins()
	b.warnOfTwinUpstreams()
}

// warnOfNoUpstream says that the methods have no server, where there is none for any of them.
func (b *builder) warnOfNoUpstream() {
	isGRPC := func(u *transomv1.Upstream) bool { return u.GetGrpc() != nil }
	// The gateway's own services, such as EventService, need no server.
	needsOne := func(r *Route) bool {
		m, ok := r.endpoint.method()
		return ok && !slices.Contains(b.snapshot.own, string(m.Parent().FullName()))
	}
	if b.file.Path == "" || slices.ContainsFunc(slices.Collect(maps.Values(b.file.Config.GetUpstreams())), isGRPC) || !slices.ContainsFunc(b.snapshot.routes, needsOne) {
		return
	}
	const name = `name the server, for example upstreams: { books: { grpc: { target: "localhost:50051" } } }`
	if len(b.file.Config.GetUpstreams()) == 0 {
		b.warn("upstreams: found none, so that every call is answered with 503; "+name, "upstreams")
		return
	}
	b.warn("upstreams: found those of plain HTTP alone, so that every call of a gRPC method is answered with 503; "+name, "upstreams")
}

// suspectFault warns of faults that do not happen.
func (b *builder) suspectFault(layers []policy.Layer, set *policy.Set) {
	if at := written(layers, "fault"); at != nil && set.Effective.GetFault() != nil && !b.file.Config.GetFaults() {
		where := at.Where
		if at.Position != nil {
			where = cmp.Or(at.Position("fault"), where)
		}
		b.warnAt(where, "fault: it does nothing, as the configuration does not have faults: true; set that, start with --faults, or remove it")
	}
}

// snapshotWithoutReflection reports whether all schemas come from files: what a
// server that is asked has, or has not, readiness tells.
func (b *builder) snapshotWithoutReflection() bool {
	return !slices.ContainsFunc(b.file.Config.GetSchemas(), func(s *transomv1.SchemaSource) bool { return s.GetReflection() != nil })
}

// noRoutes says why nothing is served and what to do.
func (b *builder) noRoutes() string {
	if len(b.services) == 0 {
		return "nothing is served: no .proto file of the schemas declares a service; name the folder that has the services, or add one"
	}
	return "nothing is served: all methods are hidden, or the services have none; remove hidden: true from what is to be public"
}

// warnOfHostBits says which range an address with bits behind its prefix stands for.
func (b *builder) warnOfHostBits() {
	for i, text := range b.file.Config.GetTrustedProxies() {
		p, err := netip.ParsePrefix(text)
		if err == nil && p != p.Masked() {
			b.warn(fmt.Sprintf("trusted_proxies[%d]: found %q, which stands for all of %s: write that, or %q for the one address",
				i, text, p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen())), "trusted_proxies", i)
		}
	}
}

// warnOfTwins names policies with the same selector. Both hold, field by field, and
// of a field that both have the later one.
func (b *builder) warnOfTwins() {
	seen := map[string]int{}
	for i, rule := range b.file.Config.GetPolicies() {
		first, twice := seen[rule.GetSelector()]
		if !twice {
			seen[rule.GetSelector()] = i
			continue
		}
		b.warn(fmt.Sprintf("policies[%d]: %s has an entry at %s already; of a field that both have, the later one holds: make one entry of the two",
			i, rule.GetSelector(), b.configPosition(fmt.Sprintf("policies[%d]", first))), "policies", i, "selector")
	}
}

// warnAt is warn at a place of the form "file:line:column".
func (b *builder) warnAt(where, message string) {
	p := problem.At(where, message)
	p.Warning = true
	b.problems = append(b.problems, p)
}
