// Package fault is the field fault: it delays or fails calls on purpose, so that people see
// what their callers do when a backend is slow or fails.
package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxDelay is the longest delay: a typing error must not hold clients for a day.
const maxDelay = 5 * time.Minute

// Kind is the policy fault.
func Kind() policy.Kind { return policy.Kind{Field: "fault", Compile: compile} }

// fault is what happens to the calls of one method.
type fault struct {
	delay time.Duration
	abort error   // nil: none
	share float64 // of the calls, from 0 to 1
	when  *expr.Expression
	text  string
}

var _ policy.Admitter = (*fault)(nil)

// unused is a fault that the configuration does not let happen.
type unused struct{}

// Name implements policy.Part.
func (unused) Name() string { return "fault" }

// Summary is one line for explain.
func (unused) Summary() string { return "off, as the configuration does not have faults: true" }

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetFault()
	if rule == nil {
		return nil
	}
	f := &fault{delay: s.CheckDuration("fault.delay", rule.GetDelay()), share: 1, text: summary(rule)}
	if f.delay > maxDelay {
		s.Refuse("fault.delay", "fault.delay: found %s, expected at most %s", span.Text(f.delay), span.Text(maxDelay))
	}
	if rule.Percent != nil {
		if p := rule.GetPercent(); !(p > 0 && p <= 100) {
			s.Refuse("fault.percent", "fault.percent: found %v, expected more than 0 and up to 100", p)
		}
		f.share = rule.GetPercent() / 100
	}
	f.abort = abort(s, rule.GetAbort())
	if rule.GetDelay() == nil && rule.GetAbort() == nil {
		s.Refuse("fault", "fault: found neither delay nor abort, so that nothing happens; expected one of them, or both")
	}
	if source := rule.GetWhen(); source != "" {
		f.when = expr.New(s, "fault.when", source, cel.BoolType)
		if f.when != nil && f.when.ReadsRequest {
			s.Refuse("fault.when", "fault.when: found `request`, but no message has been read yet; use headers, claims, principal, roles or method")
		}
	}
	if !s.Config.GetFaults() {
		return unused{}
	}
	return f
}

// abort is the error that calls end with; nil for none.
func abort(s *policy.Scope, rule *transomv1.FaultAbort) error {
	switch kind := rule.GetKind().(type) {
	case *transomv1.FaultAbort_Code:
		code, ok := rpccode.Parse(kind.Code)
		if !ok || code == codes.OK {
			s.Refuse("fault.abort.code", "fault.abort.code: found %q, expected a gRPC code of an error, such as UNAVAILABLE", kind.Code)
			return nil
		}
		return refusal(code)
	case *transomv1.FaultAbort_HttpStatus:
		if kind.HttpStatus < 400 || kind.HttpStatus > 599 {
			s.Refuse("fault.abort.http_status", "fault.abort.http_status: found %d, expected 400 to 599", kind.HttpStatus)
			return nil
		}
		return policy.WithHTTPStatus(refusal(rpccode.OfHTTP(int(kind.HttpStatus))), int(kind.HttpStatus))
	}
	if rule != nil {
		s.Refuse("fault.abort", "fault.abort: found nothing, expected code or http_status")
	}
	return nil
}

func refusal(code codes.Code) error {
	return policy.Refusal(code, "a fault on purpose, by the policy fault",
		&errdetails.ErrorInfo{Reason: "FAULT", Domain: policy.ErrorDomain})
}

// Name implements policy.Part.
func (f *fault) Name() string { return "fault" }

// Summary is one line for explain.
func (f *fault) Summary() string { return f.text }

// Admit implements policy.Admitter.
func (f *fault) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if f.share < 1 && rand.Float64() >= f.share {
		return ctx, nil, nil
	}
	if f.when != nil {
		meant, err := f.when.Evaluate(ctx, r, nil)
		if err != nil || meant.Value() != true {
			return ctx, nil, nil // an expression without an answer harms nobody
		}
	}
	if f.delay > 0 {
		timer := time.NewTimer(f.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx, nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	return ctx, nil, f.abort
}

// summary is what a rule does, for people.
func summary(rule *transomv1.Fault) string {
	var parts []string
	if d := rule.GetDelay(); d != nil {
		parts = append(parts, "waits "+span.Text(d.AsDuration()))
	}
	switch kind := rule.GetAbort().GetKind().(type) {
	case *transomv1.FaultAbort_Code:
		parts = append(parts, "fails with "+kind.Code)
	case *transomv1.FaultAbort_HttpStatus:
		parts = append(parts, fmt.Sprintf("fails with HTTP status %d", kind.HttpStatus))
	}
	text := strings.Join(parts, ", then ")
	if rule.Percent != nil {
		text += fmt.Sprintf("; %v %% of the calls", rule.GetPercent())
	}
	if w := rule.GetWhen(); w != "" {
		text += "; where " + w
	}
	return text
}
