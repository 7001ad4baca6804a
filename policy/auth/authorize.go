package auth

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// errNotAllowed is all that a known caller without the right is told.
var errNotAllowed = status.Error(codes.PermissionDenied, "the caller may not call this method")

// authorizePolicy decides whether a known caller may call.
type authorizePolicy struct {
	roles  []string // any of
	scopes []string // all of
	allow  *expr.Expression
	// scopeError is the challenge for a missing scope (RFC 6750 3.1).
	scopeError string
	source     string
}

var _ policy.Admitter = (*authorizePolicy)(nil)

// authorizeMessagePolicy is an authorizePolicy whose expression reads the
// messages.
type authorizeMessagePolicy struct{ *authorizePolicy }

var _ policy.MessageChecker = authorizeMessagePolicy{}

// Authorize decides whether a caller whom Callers knows may call.
func Authorize() policy.Kind { return policy.Kind{Field: "auth", Compile: compileAuthorize} }

// compileAuthorize compiles roles, scopes and allow; nil if there are none.
func compileAuthorize(s *policy.Scope) policy.Part {
	auth := s.Policy.GetAuth()
	switch auth.GetMechanism().(type) {
	case nil, *transomv1.Auth_Anonymous:
		return nil // Callers refuses demands on nobody
	}
	p := &authorizePolicy{roles: auth.GetRoles(), scopes: auth.GetScopes(), source: auth.GetAllow()}
	checkNames(s, "auth.roles", p.roles, "")
	checkNames(s, "auth.scopes", p.scopes, " \"\\")
	if _, only := auth.GetMechanism().(*transomv1.Auth_Session); only && len(p.scopes) > 0 {
		s.Refuse("auth.scopes", "auth.scopes demands %s, but sessions have no scopes: use roles", strings.Join(p.scopes, ", "))
	}
	if _, only := auth.GetMechanism().(*transomv1.Auth_Mtls); only {
		if len(p.scopes) > 0 {
			s.Refuse("auth.scopes", "auth.scopes demands scopes, but certificates have none: use allow")
		}
		if len(p.roles) > 0 {
			s.Refuse("auth.roles", "auth.roles demands a role, but certificates have none: use allow")
		}
	}
	p.scopeError = fmt.Sprintf(`%s, error="insufficient_scope", scope="%s"`, BearerChallenge, strings.Join(p.scopes, " "))
	if p.source != "" {
		p.allow = expr.New(s, "auth.allow", p.source, cel.BoolType)
	}
	switch {
	case p.allow != nil && p.allow.ReadsRequest:
		return authorizeMessagePolicy{p}
	case p.allow != nil || len(p.roles) > 0 || len(p.scopes) > 0:
		return p
	}
	return nil
}

// checkNames refuses names that no credential can have.
func checkNames(s *policy.Scope, path string, names []string, forbidden string) {
	for n, name := range names {
		if name == "" || forbidden != "" && strings.ContainsAny(name, forbidden) {
			s.Refuse(fmt.Sprintf("%s[%d]", path, n), "%s: found %q, expected a name", path, name)
		}
	}
}

// Name is "auth".
func (*authorizePolicy) Name() string { return "auth" }

// Summary says what is demanded.
func (p *authorizePolicy) Summary() string {
	var parts []string
	if len(p.roles) > 0 {
		parts = append(parts, "the role "+strings.Join(p.roles, " or "))
	}
	if len(p.scopes) > 0 {
		parts = append(parts, "the scopes "+strings.Join(p.scopes, " and "))
	}
	if p.source != "" {
		parts = append(parts, "allow "+p.source)
	}
	return strings.Join(parts, "; ")
}

// Admit checks roles, scopes and an expression that needs no message.
func (p *authorizePolicy) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.Identity == nil {
		return ctx, nil, ErrNoCredentials
	}
	if r.Subscription != "" { // which has neither roles nor scopes
		return p.admitted(ctx, r)
	}
	if len(p.roles) > 0 && !slices.ContainsFunc(p.roles, func(role string) bool { return slices.Contains(r.Identity.Roles, role) }) {
		return ctx, nil, errNotAllowed
	}
	for _, scope := range p.scopes {
		if !slices.Contains(r.Identity.Scopes, scope) {
			r.ResponseHeader.Set("WWW-Authenticate", p.scopeError)
			return ctx, nil, errNotAllowed
		}
	}
	return p.admitted(ctx, r)
}

// admitted asks an expression that needs no message.
func (p *authorizePolicy) admitted(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if p.allow == nil || p.allow.ReadsRequest {
		return ctx, nil, nil
	}
	return ctx, nil, p.ask(ctx, r, nil)
}

// Message asks the expression about one message.
func (p authorizeMessagePolicy) Message(ctx context.Context, r *policy.Request, message []byte) error {
	return p.ask(ctx, r, message)
}

func (p *authorizePolicy) ask(ctx context.Context, r *policy.Request, message []byte) error {
	value, err := p.allow.Evaluate(ctx, r, message)
	if err != nil {
		if status.Code(err) == codes.PermissionDenied {
			return errNotAllowed
		}
		return err
	}
	if yes, ok := value.Value().(bool); !ok || !yes {
		return errNotAllowed
	}
	return nil
}
