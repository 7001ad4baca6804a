// Package retry is the policy that makes attempts of a call again.
package retry

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
)

const (
	defaultAttempts = 3
	maxAttempts     = 10
	defaultInitial  = 25 * time.Millisecond
	defaultMax      = 250 * time.Millisecond
	defaultBudget   = 20
	defaultBuffer   = 256 << 10
	maxBuffer       = 64 << 20
)

// Levels of idempotency by which a method may be called again, by protobuf's names.
var levels = []string{"IDEMPOTENT", "NO_SIDE_EFFECTS"}

// Kind is the policy retry.
func Kind() policy.Kind { return policy.Kind{Field: "retry", Compile: compile} }

// part has the attempts of a method made again.
type part struct {
	retry *attempt.Retry
	level string // of the method
	route bool   // it is one of plain HTTP
}

var _ policy.Wrapper = part{}

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetRetry()
	if rule == nil {
		return nil
	}
	before := s.Noted()
	r := read(s, rule)
	level := levelOf(s, rule)
	if s.PlainHTTP() {
		r.AnyMethod = level != ""
		hedgeRoute(s, rule)
	} else {
		hedge(s, rule, level, r)
	}
	switch {
	case s.Noted() > before, s.Suppresses("retry"):
		return nil
	case r.Attempts < 2:
		s.Leave("retry")
		return nil
	case s.PlainHTTP(): // the method of a request has its level
	case level == "" && s.Exact("retry"):
		s.Refuse("retry", "retry: %s may have side effects each time, as its proto does not say otherwise, so that it is not called again: "+
			"set its option idempotency_level, or retry.idempotency_level, to IDEMPOTENT or NO_SIDE_EFFECTS if that is what it is", s.RPC)
		return nil
	case level == "":
		s.Leave("retry")
		return nil
	}
	return part{r, level, s.PlainHTTP()}
}

// read checks what the policy says and fills in what it does not.
func read(s *policy.Scope, rule *transomv1.Retry) *attempt.Retry {
	r := &attempt.Retry{
		Attempts: defaultAttempts, InitialBackoff: defaultInitial, MaxBackoff: defaultMax, BudgetPercent: defaultBudget, Buffer: defaultBuffer,
	}
	if rule.MaxAttempts != nil {
		if r.Attempts = int(rule.GetMaxAttempts()); r.Attempts > maxAttempts {
			s.Refuse("retry.max_attempts", "retry.max_attempts: found %d, expected 2 to %d, or 1 for no retries", r.Attempts, maxAttempts)
		}
	}
	if rule.BudgetPercent != nil {
		if r.BudgetPercent = rule.GetBudgetPercent(); r.BudgetPercent > 100 {
			s.Refuse("retry.budget_percent", "retry.budget_percent: found %d, expected 0 to 100", r.BudgetPercent)
		}
	}
	if n := rule.GetBufferBytes(); n > maxBuffer {
		s.Refuse("retry.buffer_bytes", "retry.buffer_bytes: found %d, expected at most %d (64 MiB)", n, maxBuffer)
	} else if n > 0 {
		r.Buffer = int(n)
	}
	r.PerTry = s.CheckDuration("retry.per_try_timeout", rule.GetPerTryTimeout())
	pauses(s, rule, r)
	r.Codes = codesOf(s, rule)
	return r
}

func pauses(s *policy.Scope, rule *transomv1.Retry, r *attempt.Retry) {
	if d := s.CheckDuration("retry.initial_backoff", rule.GetInitialBackoff()); d > 0 {
		r.InitialBackoff = d
		r.MaxBackoff = max(r.MaxBackoff, d)
	}
	if d := s.CheckDuration("retry.max_backoff", rule.GetMaxBackoff()); d > 0 {
		if r.MaxBackoff = d; d < r.InitialBackoff {
			s.Refuse("retry.max_backoff", "retry.max_backoff: found %v, which is shorter than the first pause, %v (initial_backoff)", span.Text(d), span.Text(r.InitialBackoff))
		}
	}
}

// final are the codes that another attempt cannot change (Traffic 61).
var final = []codes.Code{codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
	codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented}

// codesOf returns the codes to try again on; UNAVAILABLE is always among them.
func codesOf(s *policy.Scope, rule *transomv1.Retry) []codes.Code {
	if s.PlainHTTP() {
		return statusesOf(s, rule)
	}
	all := []codes.Code{codes.Unavailable}
	for i, name := range rule.GetCodes() {
		path := fmt.Sprintf("retry.codes[%d]", i)
		code, ok := rpccode.Parse(name)
		switch {
		case !ok:
			s.Refuse(path, "%s: found %q, expected a gRPC code, %s, or a number above 16", path, name, strings.Join(changeable(), ", "))
		case slices.Contains(final, code):
			s.Refuse(path, "%s: another attempt cannot change %s; expected %s, or a number above 16", path, name, strings.Join(changeable(), ", "))
		case !slices.Contains(all, code):
			all = append(all, code)
		}
	}
	return all
}

// changeable are the names of the other codes.
func changeable() (names []string) {
	for _, name := range rpccode.Names() {
		if code, _ := rpccode.Parse(name); !slices.Contains(final, code) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// levelOf returns the level of idempotency of the method, by the policy's word or by its
// proto's; "" where it may have side effects each time.
func levelOf(s *policy.Scope, rule *transomv1.Retry) string {
	if level := rule.GetIdempotencyLevel(); level != "" {
		if !slices.Contains(levels, level) {
			hint := ""
			if near := nearest.Of(levels, level); near != "" {
				hint = fmt.Sprintf("; did you mean %s?", near)
			}
			s.Refuse("retry.idempotency_level", "retry.idempotency_level: found %q, expected %s%s", level, strings.Join(levels, " or "), hint)
		}
		return level
	}
	if s.Method == nil {
		return ""
	}
	return levelByProto(s.Method)
}

func levelByProto(m protoreflect.MethodDescriptor) string {
	options, ok := m.Options().(*descriptorpb.MethodOptions)
	if !ok || options.GetIdempotencyLevel() == descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
		return ""
	}
	return options.GetIdempotencyLevel().String()
}

// Name implements policy.Part.
func (part) Name() string { return "retry" }

// Wrap implements policy.Wrapper. Services of the gateway's own are not called
// again.
func (p part) Wrap(backend proxy.Backend) proxy.Backend {
	if again, ok := backend.(interface {
		Retrying(*attempt.Retry) *attempt.GRPC
	}); ok {
		return again.Retrying(p.retry)
	}
	return backend
}

// Retry says how attempts of a plain HTTP route are made.
func (p part) Retry() *attempt.Retry { return p.retry }

// Decides implements policy.Wrapper.
func (part) Decides() bool { return false }

// Summary is one line for explain.
func (p part) Summary() string {
	if p.route {
		return p.routeSummary()
	}
	var names []string
	for _, code := range p.retry.Codes {
		names = append(names, rpccode.Name(code))
	}
	text := fmt.Sprintf("up to %d attempts on %s, as the method is %s%s; pauses %s to %s, at most %d %% of the backend's calls",
		p.retry.Attempts, strings.Join(names, ", "), p.level, hedging(p.retry.Hedge), span.Text(p.retry.InitialBackoff), span.Text(p.retry.MaxBackoff), p.retry.BudgetPercent)
	if p.retry.PerTry > 0 {
		text += fmt.Sprintf("; %s each", span.Text(p.retry.PerTry))
	}
	return text
}
