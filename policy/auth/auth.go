// Package auth is the field auth: it finds out who calls, by Mechanisms such as tokens
// and sessions that it does not know itself, and whether the caller may. What all
// mechanisms share stands here: identities and what backends learn of them, the guard
// against other sites, and the Watch that ends streams with their credentials.
package auth

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// What a caller without a good credential is told. No more: whoever tries
// tokens out learns nothing from the answer.
var (
	ErrNoCredentials  = status.Error(codes.Unauthenticated, "the call needs credentials")
	ErrBadCredentials = status.Error(codes.Unauthenticated, "the credentials are not valid")
)

// BearerChallenge is the value of WWW-Authenticate for callers who sent no token
// (RFC 6750 3).
const BearerChallenge = `Bearer realm="transom"`

// Mechanism is one way in which callers show who they are, such as tokens or
// sessions.
type Mechanism struct {
	// Needs are the Mechanism's part of Kind.Needs.
	Needs []policy.Need
	// Open checks the mechanism's part of the configuration.
	Open func(*policy.Generation)
	// Compile makes what a method demands of the mechanism; nil where it demands
	// nothing of it.
	Compile func(s *policy.Scope, auth *transomv1.Auth) Authenticator
}

// Authenticator finds out who calls one method, by one mechanism.
type Authenticator interface {
	// Summary says what is demanded.
	Summary() string
	// Challenge is the WWW-Authenticate for callers who sent nothing. An authenticator
	// may write another one for a bad credential.
	Challenge() string
	// Authenticate looks for a credential, and says by r.Identity and r.Metadata whose
	// it is. A credential that was sent and is not good is an error: it decides alone,
	// no other mechanism mends it.
	Authenticate(ctx context.Context, r *policy.Request) (Proof, error)
	// Ending is when the credential of a caller who was let in ends.
	Ending(r *policy.Request) Ending
}

// subscriptionPrefix is what the principals of subscriptions begin with. No client has such a
// one, whatever its credentials say (Events 163).
const subscriptionPrefix = "subscription:"

// Proof is where a credential was found.
type Proof int

const (
	// NoProof is a request without a credential.
	NoProof Proof = iota
	// InHeader is the header Authorization.
	InHeader
	// Elsewhere is a cookie, the query, a subprotocol or the connection.
	Elsewhere
)

// callers finds out who calls.
type callers struct {
	// authenticators are asked in this order.
	authenticators []Authenticator
	// ask is the challenge for a caller who sent nothing.
	ask string
	// unverified are the names of metadata that repeat the header Authorization.
	unverified []string
	// open watches the credentials of streams; nil where streams outlive them.
	open *Watch
}

var (
	_ policy.Admitter    = (*callers)(nil)
	_ policy.QueryReader = (*callers)(nil)
)

// Name is "auth".
func (*callers) Name() string { return "auth" }

// Summary says what is demanded.
func (p *callers) Summary() string {
	demands := make([]string, len(p.authenticators))
	for i, a := range p.authenticators {
		demands[i] = a.Summary()
	}
	summary := strings.Join(demands, ", else ")
	if p.open == nil {
		summary += "; streams outlive it"
	}
	return summary
}

// QueryParameters implements QueryReader.
func (p *callers) QueryParameters() []string {
	var names []string
	for _, a := range p.authenticators {
		if q, ok := a.(interface{ QueryParameters() []string }); ok {
			names = append(names, q.QueryParameters()...)
		}
	}
	return names
}

// Admit sets r.Identity and tells the backend, or refuses. A token that was
// sent decides alone: a bad one is not mended by a session. Authorization that was
// not what let the caller in goes no further (Semantics 305).
func (p *callers) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.Subscription != "" { // no credentials are asked of the gateway itself (Events 163)
		return ctx, nil, nil
	}
	dropIdentity(&r.Metadata)
	for _, a := range p.authenticators {
		found, err := a.Authenticate(ctx, r)
		if err != nil {
			if status.Code(err) == codes.Unauthenticated && r.ResponseHeader.Get("WWW-Authenticate") == "" {
				r.ResponseHeader.Set("WWW-Authenticate", p.ask)
			}
			return ctx, nil, err
		}
		if found == NoProof {
			continue
		}
		if r.Identity != nil && strings.HasPrefix(r.Identity.Principal, subscriptionPrefix) {
			r.Identity = nil
			dropIdentity(&r.Metadata)
			return ctx, nil, ErrBadCredentials
		}
		if found != InHeader {
			p.dropUnverified(r)
		}
		// A unary call is over before its credential matters, but for one whose client
		// takes its time over a WebSocket.
		if p.open != nil && (r.Stream || r.WebSocket) {
			r.Credential = p.open.Credential(a.Ending(r))
		}
		return ctx, nil, nil
	}
	r.ResponseHeader.Set("WWW-Authenticate", p.ask)
	return ctx, nil, ErrNoCredentials
}

// dropUnverified takes away an Authorization that nobody has looked at.
func (p *callers) dropUnverified(r *policy.Request) {
	r.Unverified = true
	if r.PlainHTTP {
		r.Dropped = append(r.Dropped, "authorization")
	}
	if _, ok := r.HTTP.Header["Authorization"]; ok {
		r.Metadata.DelFunc(func(name string) bool { return name == "authorization" || slices.Contains(p.unverified, name) })
	}
}

// Callers finds out who calls, by the mechanisms that a method accepts, in the
// order given.
func Callers(mechanisms ...Mechanism) policy.Kind {
	k := policy.Kind{
		Field: "auth",
		Open: func(g *policy.Generation) {
			for _, m := range mechanisms {
				m.Open(g)
			}
		},
		Compile: func(s *policy.Scope) policy.Part { return compileCallers(s, mechanisms) },
	}
	for _, m := range mechanisms {
		k.Needs = append(k.Needs, m.Needs...)
	}
	return k
}

func compileCallers(s *policy.Scope, mechanisms []Mechanism) policy.Part {
	auth := s.Policy.GetAuth()
	if auth == nil {
		return nil
	}
	p := &callers{unverified: s.Authorization}
	if auth.GetOnExpiry() != transomv1.Auth_KEEP {
		var err error
		if p.open, err = WatchOf(s.Generation); err != nil {
			s.Refuse("auth", "%v", err)
		}
	}
	for _, m := range mechanisms {
		if a := m.Compile(s, auth); a != nil {
			p.authenticators = append(p.authenticators, a)
		}
	}
	if len(p.authenticators) == 0 {
		refuseOpen(s, auth)
		return nil
	}
	p.ask = p.authenticators[0].Challenge()
	return p
}

// refuseOpen refuses demands on callers of whom nothing is known.
func refuseOpen(s *policy.Scope, auth *transomv1.Auth) {
	why := "auth names no mechanism: add jwt, session, mixed or mtls, for a field set here replaces the wider one whole"
	if _, ok := auth.GetMechanism().(*transomv1.Auth_Anonymous); ok {
		why = "the method is anonymous, so nothing is known of the caller: remove one of the two"
	} else if len(auth.GetRoles()) == 0 && len(auth.GetScopes()) == 0 && auth.GetAllow() == "" {
		s.Refuse("auth", "auth is empty; expected jwt, session, mixed, mtls or anonymous")
	}
	if len(auth.GetRoles()) > 0 {
		s.Refuse("auth.roles", "auth.roles demands one of %s, but %s", strings.Join(auth.GetRoles(), ", "), why)
	}
	if len(auth.GetScopes()) > 0 {
		s.Refuse("auth.scopes", "auth.scopes demands %s, but %s", strings.Join(auth.GetScopes(), ", "), why)
	}
	if auth.GetAllow() != "" {
		s.Refuse("auth.allow", "auth.allow demands something of the caller, but %s", why)
	}
}
