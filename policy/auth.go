package policy

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// What a caller without a good credential is told. No more: whoever tries
// tokens out learns nothing from the answer.
var (
	errNoCredentials  = status.Error(codes.Unauthenticated, "the call needs credentials")
	errBadCredentials = status.Error(codes.Unauthenticated, "the credentials are not valid")
)

// bearerChallenge is the value of WWW-Authenticate for callers who sent no token
// (RFC 6750 3).
const bearerChallenge = `Bearer realm="transom"`

// mechanism is one way in which callers show who they are, such as tokens or
// sessions.
type mechanism struct {
	// open checks the mechanism's part of the configuration.
	open func(*Generation)
	// compile makes what a method demands of the mechanism; nil where it demands
	// nothing of it.
	compile func(s *Scope, auth *transomv1.Auth) authenticator
}

// authenticator finds out who calls one method, by one mechanism.
type authenticator interface {
	// summary says what is demanded.
	summary() string
	// challenge is the WWW-Authenticate for callers who sent nothing. An authenticator
	// may write another one for a bad credential.
	challenge() string
	// authenticate looks for a credential, and says by r.Identity and r.Metadata whose
	// it is. A credential that was sent and is not good is an error: it decides alone,
	// no other mechanism mends it.
	authenticate(ctx context.Context, r *Request) (proof, error)
	// ending is when the credential of a caller who was let in ends.
	ending(r *Request) ending
}

// proof is where a credential was found.
type proof int

const (
	noProof       proof = iota // nothing was sent
	proofInHeader              // the header Authorization
	proofElsewhere
)

// authPolicy finds out who calls.
type authPolicy struct {
	// authenticators are asked in this order.
	authenticators []authenticator
	// ask is the challenge for a caller who sent nothing.
	ask string
	// unverified are the names of metadata that repeat the header Authorization.
	unverified []string
	// open watches the credentials of streams; nil where streams outlive them.
	open *credentialWatch
}

var (
	_ Admitter    = (*authPolicy)(nil)
	_ QueryReader = (*authPolicy)(nil)
)

// Name is "auth".
func (*authPolicy) Name() string { return "auth" }

// Summary says what is demanded.
func (p *authPolicy) Summary() string {
	demands := make([]string, len(p.authenticators))
	for i, a := range p.authenticators {
		demands[i] = a.summary()
	}
	summary := strings.Join(demands, ", else ")
	if p.open == nil {
		summary += "; streams outlive it"
	}
	return summary
}

// QueryParameters implements QueryReader.
func (p *authPolicy) QueryParameters() []string {
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
func (p *authPolicy) Admit(ctx context.Context, r *Request) (context.Context, Done, error) {
	dropIdentity(&r.Metadata)
	for _, a := range p.authenticators {
		found, err := a.authenticate(ctx, r)
		if err != nil {
			if status.Code(err) == codes.Unauthenticated && r.ResponseHeader.Get("WWW-Authenticate") == "" {
				r.ResponseHeader.Set("WWW-Authenticate", p.ask)
			}
			return ctx, nil, err
		}
		if found == noProof {
			continue
		}
		if found != proofInHeader {
			p.dropUnverified(r)
		}
		// A unary call is over before its credential matters, but for one whose client
		// takes its time over a WebSocket.
		if p.open != nil && (r.Stream || r.WebSocket) {
			r.Credential = p.open.credential(a.ending(r))
		}
		return ctx, nil, nil
	}
	r.ResponseHeader.Set("WWW-Authenticate", p.ask)
	return ctx, nil, errNoCredentials
}

// dropUnverified takes away an Authorization that nobody has looked at.
func (p *authPolicy) dropUnverified(r *Request) {
	r.Unverified = true
	if _, ok := r.HTTP.Header["Authorization"]; ok {
		r.Metadata.DelFunc(func(name string) bool { return name == "authorization" || slices.Contains(p.unverified, name) })
	}
}

// callersKind finds out who calls, by the mechanisms that a method accepts, in the
// order given.
func callersKind(mechanisms ...mechanism) Kind {
	return Kind{
		Field: "auth",
		Open: func(g *Generation) {
			for _, m := range mechanisms {
				m.open(g)
			}
		},
		Compile: func(s *Scope) Part { return compileCallers(s, mechanisms) },
	}
}

func compileCallers(s *Scope, mechanisms []mechanism) Part {
	auth := s.Policy.GetAuth()
	if auth == nil {
		return nil
	}
	p := &authPolicy{unverified: s.Authorization}
	if auth.GetOnExpiry() != transomv1.Auth_KEEP {
		var err error
		if p.open, err = credentialWatchOf(s.Generation); err != nil {
			s.Refuse("auth", "%v", err)
		}
	}
	for _, m := range mechanisms {
		if a := m.compile(s, auth); a != nil {
			p.authenticators = append(p.authenticators, a)
		}
	}
	if len(p.authenticators) == 0 {
		refuseOpen(s, auth)
		return nil
	}
	p.ask = p.authenticators[0].challenge()
	return p
}

// refuseOpen refuses demands on callers of whom nothing is known.
func refuseOpen(s *Scope, auth *transomv1.Auth) {
	why := "auth names no mechanism: add jwt, session or mixed, for a field set here replaces the wider one whole"
	if _, ok := auth.GetMechanism().(*transomv1.Auth_Anonymous); ok {
		why = "the method is anonymous, so nothing is known of the caller: remove one of the two"
	} else if len(auth.GetRoles()) == 0 && len(auth.GetScopes()) == 0 && auth.GetAllow() == "" {
		s.Refuse("auth", "auth is empty; expected jwt, session, mixed or anonymous")
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
