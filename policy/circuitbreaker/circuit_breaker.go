// Package circuitbreaker is the policy that stops calls of a method to a backend that
// fails, and lets some of them find out when it is well again.
package circuitbreaker

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/breaker"
)

const (
	name = "circuit_breaker"

	defaultPercent  = 50
	defaultMinCalls = 20
	defaultWindow   = 10 * time.Second
	defaultOpenFor  = 5 * time.Second
	defaultProbes   = 1
	maxProbes       = 1000
)

// defaultCodes are failures beside UNAVAILABLE (Traffic 99).
var defaultCodes = []codes.Code{codes.Unknown, codes.DeadlineExceeded, codes.Internal, codes.DataLoss}

// callers are the codes that tell a caller what is wrong with the call: as failures of the
// backend, they would let any caller stop the calls of all.
var callers = []codes.Code{codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
	codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange}

// Kind is the policy circuit_breaker.
func Kind() policy.Kind {
	return policy.Kind{Field: name, Compile: compile, Needs: []policy.Need{{Field: "circuit_breaker.fallback", Config: "upstreams"}}}
}

// part has the attempts of a method made as its breaker allows.
type part struct {
	circuit  attempt.Circuit
	options  breaker.Options
	upstream string
	fallback string // the upstream's name; "" for none
	route    bool   // it is one of plain HTTP

	refusal atomic.Pointer[refusal]
}

var _ policy.Wrapper = (*part)(nil)

// key is that of a breaker in the State: what is changed begins closed (Traffic 106).
type key struct {
	upstream, rpc string
	options       breaker.Options
	codes         string
}

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetCircuitBreaker()
	if rule == nil {
		return nil
	}
	before := s.Noted()
	p := &part{options: optionsOf(s, rule), upstream: s.Upstream, route: s.PlainHTTP()}
	p.circuit.Codes = codesOf(s, rule)
	p.circuit.Refusal = p.refuse
	p.findFallback(s, rule)
	if s.Noted() > before || s.Suppresses(name) {
		return nil
	}
	var err error
	p.circuit.Breaker, err = policy.Lease(s.Generation, key{s.Upstream, s.RPC, p.options, fmt.Sprint(p.circuit.Codes)}, func() (*breaker.Breaker, error) {
		return breaker.New(p.options, logOf(s.State.Log, s.Upstream, s.RPC)), nil
	})
	if err != nil {
		s.Refuse(name, "%v", err)
		return nil
	}
	return p
}

// optionsOf checks what the policy says and fills in what it does not.
func optionsOf(s *policy.Scope, rule *transomv1.CircuitBreaker) breaker.Options {
	o := breaker.Options{
		Consecutive: rule.GetConsecutiveFailures(),
		Percent:     cmp.Or(rule.GetFailurePercent(), defaultPercent),
		MinCalls:    cmp.Or(rule.GetMinCalls(), defaultMinCalls),
		Window:      cmp.Or(s.CheckDuration("circuit_breaker.window", rule.GetWindow()), defaultWindow),
		OpenFor:     cmp.Or(s.CheckDuration("circuit_breaker.open_for", rule.GetOpenFor()), defaultOpenFor),
		Probes:      cmp.Or(rule.GetProbes(), defaultProbes),
	}
	if o.Percent > 100 {
		s.Refuse("circuit_breaker.failure_percent", "circuit_breaker.failure_percent: found %d, expected 1 to 100", o.Percent)
	}
	if o.Probes > maxProbes {
		s.Refuse("circuit_breaker.probes", "circuit_breaker.probes: found %d, expected 1 to %d", o.Probes, maxProbes)
	}
	return o
}

// codesOf returns the codes that are failures beside UNAVAILABLE.
func codesOf(s *policy.Scope, rule *transomv1.CircuitBreaker) []codes.Code {
	if s.PlainHTTP() {
		return statusesOf(s, rule)
	}
	if len(rule.GetCodes()) == 0 {
		return defaultCodes
	}
	var all []codes.Code
	for i, text := range rule.GetCodes() {
		path := fmt.Sprintf("circuit_breaker.codes[%d]", i)
		code, ok := rpccode.Parse(text)
		switch {
		case !ok:
			s.Refuse(path, "%s: found %q, expected a gRPC code, %s, or a number above 16", path, text, strings.Join(backends(), ", "))
		case slices.Contains(callers, code):
			s.Refuse(path, "%s: %s says nothing of the backend, so that any caller could stop the calls of all; expected %s, or a number above 16",
				path, text, strings.Join(backends(), ", "))
		case code != codes.Unavailable && !slices.Contains(all, code):
			all = append(all, code)
		}
	}
	return all
}

// backends are the names of the other codes.
func backends() (names []string) {
	for _, n := range rpccode.Names() {
		if code, _ := rpccode.Parse(n); !slices.Contains(callers, code) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// findFallback finds the backend that answers while the breaker is open.
func (p *part) findFallback(s *policy.Scope, rule *transomv1.CircuitBreaker) {
	const path = "circuit_breaker.fallback"
	if p.fallback = rule.GetFallback(); p.fallback == "" {
		return
	}
	if p.fallback == s.Upstream && !s.Exact(name) {
		p.fallback = "" // it is that of others
		return
	}
	if p.fallback == s.Upstream {
		s.Refuse(path, "%s: found %q, which is where the calls go anyway; expected another upstream", path, p.fallback)
		return
	}
	if u := s.Config.GetUpstreams()[p.fallback]; u != nil && (u.GetHttp() != nil) != s.PlainHTTP() {
		p.refuseKind(s, path)
		return
	} else if u != nil && s.PlainHTTP() {
		return // the route's action finds it
	}
	if p.circuit.Fallback = s.Backends(p.fallback); p.circuit.Fallback == nil {
		s.Refuse(path, "%s: found %q, expected the name of an upstream%s", path, p.fallback, s.KnownUpstreams(p.fallback))
	}
}

// Name implements policy.Part.
func (*part) Name() string { return name }

// Wrap implements policy.Wrapper. Services of the gateway's own have no breaker.
func (p *part) Wrap(backend proxy.Backend) proxy.Backend {
	if breaking, ok := backend.(interface {
		Breaking(*attempt.Circuit) *attempt.GRPC
	}); ok {
		return breaking.Breaking(&p.circuit)
	}
	return backend
}

// Decides implements policy.Wrapper: it needs no Request to refuse a call.
func (*part) Decides() bool { return false }

// Refuses has its decisions counted nevertheless.
func (*part) Refuses() bool { return true }

// Breaker returns the breaker and the upstream it stands before.
func (p *part) Breaker() (*breaker.Breaker, string) { return p.circuit.Breaker, p.upstream }

// refusal is the error of calls that are to wait for so many seconds.
type refusal struct {
	seconds int64
	byHand  bool
	err     error
}

// refuse makes the error of a call that is not made (Traffic 102). It is the same within a
// second: a backend in trouble must not cost us more than one that is well.
func (p *part) refuse(wait time.Duration) error {
	seconds := max(1, policy.Seconds(wait))
	byHand := p.circuit.Breaker.Status().State == breaker.OpenByHand
	if r := p.refusal.Load(); r != nil && r.seconds == seconds && r.byHand == byHand {
		return r.err
	}
	calls := "calls of this method"
	if p.route {
		calls = "requests of this route"
	}
	why := fmt.Sprintf("too many %s have failed at the upstream %s, so that it gets none for now", calls, p.upstream)
	if byHand {
		why = fmt.Sprintf("an operator has stopped the %s at the upstream %s", calls, p.upstream)
	}
	err := proxy.RefusedBy(name, policy.Refusal(codes.Unavailable, why,
		&errdetails.ErrorInfo{Reason: "CIRCUIT_OPEN", Domain: policy.ErrorDomain, Metadata: map[string]string{"upstream": p.upstream}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Duration(seconds) * time.Second)}))
	p.refusal.Store(&refusal{seconds, byHand, err})
	return err
}

// Summary is one line for explain.
func (p *part) Summary() string {
	names := []string{rpccode.Name(codes.Unavailable)}
	for _, code := range p.circuit.Codes {
		names = append(names, rpccode.Name(code))
	}
	if p.route {
		names = statusNames(p.circuit.Codes)
	}
	text := fmt.Sprintf("opens at %d %% failures of at least %d calls in %s", p.options.Percent, p.options.MinCalls, span.Text(p.options.Window))
	if p.options.Consecutive > 0 {
		text += fmt.Sprintf(", or %d in a row", p.options.Consecutive)
	}
	text += fmt.Sprintf(", for %s; closes after %d that succeed; failures are %s", span.Text(p.options.OpenFor), p.options.Probes, strings.Join(names, ", "))
	if p.fallback != "" {
		text += "; while it is open, " + p.fallback + " answers"
	}
	return text
}

// logOf makes the line of each change of a breaker's state.
func logOf(log *slog.Logger, upstream, rpc string) func(breaker.Change) {
	log = log.With("upstream", upstream, "rpc", rpc)
	return func(c breaker.Change) {
		attrs := []any{"from", c.From.String(), "to", c.To.String()}
		if c.To != breaker.Open {
			log.Info("circuit breaker", attrs...)
			return
		}
		log.Warn("circuit breaker", append(attrs, "for", c.For.Round(time.Millisecond).String(), "calls", c.Calls, "failures", c.Failures, "in_a_row", c.Row)...)
	}
}
