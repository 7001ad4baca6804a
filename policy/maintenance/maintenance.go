// Package maintenance refuses calls while the part of the gateway that they are for is under
// maintenance. It is no field of policies: the configuration has a list of its own, and
// entries are switched by hand, too.
package maintenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cel.dev/cel-go/cel"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	name = "maintenance"

	defaultRetryAfter = time.Minute
	maxPage           = 64 << 10
)

// Kind is what refuses calls under maintenance. It stands before all that costs something,
// and asks nobody who calls.
func Kind() policy.Kind { return policy.Kind{Open: open, Compile: compile} }

// entry is one of the configuration's list.
type entry struct {
	rule  *transomv1.Maintenance
	hand  *hand
	allow []netip.Prefix
	when  *expr.Expression // nil for none
	after time.Duration
	err   error
}

// hand is what was said of an entry by hand; it outlives reloads.
type hand struct{ state atomic.Int32 }

// The states of a hand.
const (
	auto = iota
	on
	off
)

// Close implements io.Closer; there is nothing to close.
func (*hand) Close() error { return nil }

// key is that of a hand in the State.
type key struct{ name string }

// entries are those of one generation.
type entries struct{ list []*entry }

func open(g *policy.Generation) { policy.Shared(g, read) }

// read makes the entries of a generation.
func read(g *policy.Generation) *entries {
	all := &entries{}
	for i, rule := range g.Config.GetMaintenance() {
		e := &entry{rule: rule, after: cmp.Or(rule.GetRetryAfter().AsDuration(), defaultRetryAfter)}
		for _, text := range rule.GetAllow() {
			if prefix, err := config.AddressRange(text); err == nil { // the configuration is checked
				e.allow = append(e.allow, prefix)
			}
		}
		if source := rule.GetAllowWhen(); source != "" {
			e.when = compileWhen(g, policy.Index(name, i)+".allow_when", source)
		}
		err := policy.Refusal(codes.Unavailable, "this service is under maintenance; try again later",
			&errdetails.ErrorInfo{Reason: "MAINTENANCE", Domain: policy.ErrorDomain}, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.after)})
		e.err = err
		if page := rule.GetPage(); page != "" {
			text, readErr := regularfile.Read(g.Path(page), maxPage)
			if readErr != nil {
				g.RefuseConfig(policy.Index(name, i)+".page", readErr)
			}
			e.err = &pagedError{err, text}
		}
		var leaseErr error
		if e.hand, leaseErr = policy.Lease(g, key{rule.GetName()}, func() (*hand, error) { return &hand{}, nil }); leaseErr != nil {
			g.RefuseConfig(policy.Index(name, i), leaseErr)
			continue
		}
		all.list = append(all.list, e)
	}
	return all
}

// compileWhen compiles the expression that lets clients through. Nobody knows yet who calls.
func compileWhen(g *policy.Generation, path, source string) *expr.Expression {
	e, err := expr.Compile(&policy.Scope{Generation: g}, source, cel.BoolType)
	if err == nil && e.ReadsIdentity {
		err = errors.New("found claims, principal, roles or cert, but maintenance stands before auth; use headers and method")
	}
	if err != nil {
		g.RefuseConfig(path, err)
		return nil
	}
	return e
}

// pagedError is a refusal with a page for browsers.
type pagedError struct {
	error
	page []byte
}

// Unwrap returns the status error.
func (e *pagedError) Unwrap() error { return e.error }

// GRPCStatus returns the gRPC status.
func (e *pagedError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// Page is the HTML that browsers are shown.
func (e *pagedError) Page() []byte { return e.page }

// isOn reports whether calls are refused.
func (e *entry) isOn() bool {
	switch e.hand.state.Load() {
	case on:
		return true
	case off:
		return false
	}
	return e.rule.GetEnabled()
}

// part holds the entries that are for the calls of one method or route.
type part struct{ entries []*entry }

var _ policy.Admitter = (*part)(nil)

func compile(s *policy.Scope) policy.Part {
	if s.Method != nil && s.Upstream == "" {
		return nil // the gateway's own services tell how the others are
	}
	var p part
	for _, e := range policy.Shared(s.Generation, read).list {
		if e.isFor(s) {
			p.entries = append(p.entries, e)
		}
	}
	if len(p.entries) == 0 {
		return nil
	}
	return &p
}

// isFor reports whether an entry is for the calls of a target.
func (e *entry) isFor(s *policy.Scope) bool {
	if len(e.rule.GetUpstreams())+len(e.rule.GetServices())+len(e.rule.GetRoutes()) == 0 {
		return true
	}
	if s.PlainHTTP() && slices.Contains(e.rule.GetRoutes(), s.Path()) {
		return true
	}
	if s.Upstream != "" && slices.Contains(e.rule.GetUpstreams(), s.Upstream) {
		return true
	}
	return s.Method != nil && slices.ContainsFunc(e.rule.GetServices(), func(pattern string) bool {
		service := string(s.Method.Parent().FullName())
		prefix, below := strings.CutSuffix(pattern, "*")
		return pattern == service || below && strings.HasPrefix(service, prefix)
	})
}

// Name implements policy.Part.
func (*part) Name() string { return name }

// Summary is one line for explain.
func (p *part) Summary() string {
	texts := make([]string, len(p.entries))
	for i, e := range p.entries {
		texts[i] = fmt.Sprintf("%s is %s", e.rule.GetName(), map[bool]string{true: "on", false: "off"}[e.isOn()])
	}
	return strings.Join(texts, ", ")
}

// Admit implements policy.Admitter.
func (p *part) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	for _, e := range p.entries {
		if e.isOn() && !e.lets(r.ClientIP) && !e.letsBy(ctx, r) {
			policy.RetryAfter(r.ResponseHeader, e.after)
			return ctx, nil, e.err
		}
	}
	return ctx, nil, nil
}

// lets reports whether a client is let through.
func (e *entry) lets(client netip.Addr) bool {
	client = client.Unmap()
	return slices.ContainsFunc(e.allow, func(p netip.Prefix) bool { return p.Contains(client) })
}

// letsBy reports whether a call is let through for what it says. One for which the expression has
// no answer is not.
func (e *entry) letsBy(ctx context.Context, r *policy.Request) bool {
	if e.when == nil {
		return false
	}
	value, err := e.when.Evaluate(ctx, r, nil)
	return err == nil && value.Value() == true
}

// Switches tells of each entry: its name, whether it is on, and how it is told by hand: "on",
// "off", or "auto" for what the configuration says.
func (p *part) Switches(yield func(name string, isOn func() bool, set func(state string)) bool) {
	for _, e := range p.entries {
		set := func(state string) {
			e.hand.state.Store(map[string]int32{"on": on, "off": off}[state])
		}
		if !yield(e.rule.GetName(), e.isOn, set) {
			return
		}
	}
}
