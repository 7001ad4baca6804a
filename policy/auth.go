package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// What a caller without a good credential is told. No more: whoever tries
// tokens out learns nothing from the answer.
var (
	errNoCredentials  = status.Error(codes.Unauthenticated, "the call needs credentials")
	errBadCredentials = status.Error(codes.Unauthenticated, "the credentials are not valid")
	errIssuerAway     = status.Error(codes.Unavailable, "the credentials cannot be checked at the moment")
	// errRevokedAway is the store of revoked tokens that does not answer. Its text
	// is its own, for that is what errors.Is tells statuses apart by.
	errRevokedAway = status.Error(codes.Unavailable, "whether the credentials were revoked cannot be checked at the moment")
	errCrossSite   = status.Error(codes.PermissionDenied, "the request comes from another site")
)

// The values of WWW-Authenticate (RFC 6750 3).
const (
	askBearer = `Bearer realm="transom"`
	badBearer = `Bearer realm="transom", error="invalid_token"`
)

// authPolicy finds out who calls.
type authPolicy struct {
	// tokens is nil where no token is accepted, sessions where no session is.
	tokens   *tokenAuth
	sessions *sessionAuth
	// ask is the challenge for a caller who sent nothing.
	ask string
	// unverified are the names of metadata that repeat the header Authorization.
	unverified []string
	// open watches the credentials of streams; nil where streams outlive them.
	open *credentialWatch
	log  *slog.Logger
	now  func() time.Time
}

var _ Policy = (*authPolicy)(nil)

// Name is "auth".
func (*authPolicy) Name() string { return "auth" }

// Summary says what is demanded.
func (p *authPolicy) Summary() string {
	var summary string
	switch {
	case p.sessions == nil:
		summary = p.tokens.summary()
	case p.tokens == nil:
		summary = p.sessions.summary()
	default:
		summary = p.tokens.summary() + ", else " + p.sessions.summary()
	}
	if p.open == nil {
		summary += "; streams outlive it"
	}
	return summary
}

// queryParameters is access_token where the policy accepts one.
func (p *authPolicy) queryParameters() []string {
	if p.tokens != nil && p.tokens.query {
		return []string{accessToken}
	}
	return nil
}

// Admit sets r.Identity and tells the backend, or refuses. A token that was
// sent decides alone: a bad one is not mended by a session. Authorization that was
// not what let the caller in goes no further (Semantics 305).
func (p *authPolicy) Admit(ctx context.Context, r *Request) (context.Context, Done, error) {
	dropIdentity(&r.Metadata)
	if p.tokens != nil {
		token, from := p.tokens.find(r)
		if from != nowhere {
			return ctx, nil, p.admitToken(ctx, r, token, from)
		}
	}
	if p.sessions != nil {
		found, err := p.sessions.admit(ctx, r)
		if found {
			p.dropUnverified(r)
			if key, _, ok := p.sessions.sessions.key(r.HTTP.Header); ok && p.watches(r) {
				r.Credential = &Credential{watch: p.open, sessions: p.sessions.sessions.store, key: key}
			}
		}
		if err != nil || found {
			if status.Code(err) == codes.Unauthenticated {
				r.ResponseHeader.Set("WWW-Authenticate", p.ask)
			}
			return ctx, nil, err
		}
	}
	r.ResponseHeader.Set("WWW-Authenticate", p.ask)
	return ctx, nil, errNoCredentials
}

func (p *authPolicy) admitToken(ctx context.Context, r *Request, token string, from tokenPlace) error {
	v, err := p.tokens.check(ctx, token, p.now())
	if errors.Is(err, errKeysAway) {
		return errIssuerAway
	}
	if errors.Is(err, errRevocationsAway) {
		return errRevokedAway
	}
	if err != nil {
		p.log.Debug("a token was refused", "rpc", r.RPC, "request", r.RequestID, "reason", err)
		r.ResponseHeader.Set("WWW-Authenticate", badBearer)
		return errBadCredentials
	}
	// A browser sends cookies whoever asks it to: so does it with a token in one.
	if from == inCookie {
		if err := p.tokens.origins.check(r); err != nil {
			return err
		}
	}
	if from != inHeader {
		p.dropUnverified(r)
	}
	r.Identity = v.identity
	r.Metadata = append(r.Metadata, v.metadata...)
	if p.watches(r) {
		r.Credential = &Credential{watch: p.open, token: v, revoked: p.tokens.revoked}
	}
	return nil
}

// watches reports whether the call ends with its credential. A unary call is over
// before that matters, but for one whose client takes its time over a WebSocket.
func (p *authPolicy) watches(r *Request) bool { return p.open != nil && (r.Stream || r.WebSocket) }

// dropUnverified takes away an Authorization that nobody has looked at.
func (p *authPolicy) dropUnverified(r *Request) {
	r.unverified = true
	if _, ok := r.HTTP.Header["Authorization"]; ok {
		r.Metadata.DelFunc(func(name string) bool { return name == "authorization" || slices.Contains(p.unverified, name) })
	}
}

// auth makes the policies of the field auth: who calls, then whether they may.
func (b *build) auth() []Policy {
	auth := b.policy.GetAuth()
	if auth == nil {
		return nil
	}
	p := &authPolicy{log: b.env.Log, now: b.env.State.now, unverified: b.env.Authorization}
	if auth.GetOnExpiry() != transomv1.Auth_KEEP {
		p.open = b.env.State.credentials
	}
	switch m := auth.GetMechanism().(type) {
	case *transomv1.Auth_Jwt:
		p.tokens, p.ask = b.tokenAuth("auth.jwt", m.Jwt), askBearer
	case *transomv1.Auth_Session:
		p.sessions = b.sessionAuth()
		p.ask = p.sessions.challenge()
	case *transomv1.Auth_Mixed:
		p.tokens, p.sessions, p.ask = b.tokenAuth("auth.mixed.jwt", m.Mixed.GetJwt()), b.sessionAuth(), askBearer
	default:
		b.refuseOpen(auth)
		return nil
	}
	policies := []Policy{p}
	if may := b.authorize(auth); may != nil {
		policies = append(policies, may)
	}
	return policies
}

// refuseOpen refuses demands on callers of whom nothing is known.
func (b *build) refuseOpen(auth *transomv1.Auth) {
	why := "auth names no mechanism: add jwt, session or mixed, for a field set here replaces the wider one whole"
	if _, ok := auth.GetMechanism().(*transomv1.Auth_Anonymous); ok {
		why = "the method is anonymous, so nothing is known of the caller: remove one of the two"
	} else if len(auth.GetRoles()) == 0 && len(auth.GetScopes()) == 0 && auth.GetAllow() == "" {
		b.refuse("auth", "auth is empty; expected jwt, session, mixed or anonymous")
	}
	if len(auth.GetRoles()) > 0 {
		b.refuse("auth.roles", "auth.roles demands one of %s, but %s", strings.Join(auth.GetRoles(), ", "), why)
	}
	if len(auth.GetScopes()) > 0 {
		b.refuse("auth.scopes", "auth.scopes demands %s, but %s", strings.Join(auth.GetScopes(), ", "), why)
	}
	if auth.GetAllow() != "" {
		b.refuse("auth.allow", "auth.allow demands something of the caller, but %s", why)
	}
}

// missingIssuer words the refusal of an issuer that is not configured.
func (c *Compiler) missingIssuer(name string) string {
	if len(c.env.Config.GetAuth().GetJwt()) == 0 {
		return fmt.Sprintf("found the issuer %q, but the configuration has no auth.jwt", name)
	}
	names := make([]string, len(c.issuers))
	for n, i := range c.issuers {
		names[n] = i.name
	}
	return fmt.Sprintf("found the issuer %q, expected one of the configuration's auth.jwt: %s", name, strings.Join(names, ", "))
}
