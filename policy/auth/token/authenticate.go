package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// accessToken is the query parameter of RFC 6750 2.3.
const accessToken = "access_token"

// tokenPlace is where a token was found.
type tokenPlace int

const (
	nowhere tokenPlace = iota
	inHeader
	inSubprotocol
	inCookie
	inQuery
)

var _ auth.Authenticator = (*authenticator)(nil)

// badToken is the WWW-Authenticate for a token that is not good (RFC 6750 3).
const badToken = `Bearer realm="transom", error="invalid_token"`

var (
	errIssuerAway = status.Error(codes.Unavailable, "the credentials cannot be checked at the moment")
	// ErrAway is the store of revoked tokens that does not answer.
	ErrAway = policy.StoreAway("whether the credentials were revoked cannot be checked at the moment")
)

// authenticator is what a method demands of a token.
type authenticator struct {
	// accepted are those that the method takes, of issuers.
	accepted []*Issuer
	issuers  *Issuers
	// audiences, if any, take the place of the issuer's own.
	audiences []string
	required  []string
	query     bool
	cookie    string
	origins   *auth.Origins
	log       *slog.Logger
}

// Mechanism is auth by token.
func Mechanism() auth.Mechanism {
	return auth.Mechanism{
		Open:    func(g *policy.Generation) { Of(g) },
		Compile: newAuthenticator,
		Needs: []policy.Need{
			{Field: "auth.jwt", Config: "auth.jwt.issuer"}, {Field: "auth.jwt.issuers", Config: "auth.jwt.issuer"},
			{Field: "auth.mixed.jwt", Config: "auth.jwt.issuer"}, {Field: "auth.mixed.jwt.issuers", Config: "auth.jwt.issuer"},
		},
	}
}

// newAuthenticator compiles a JwtAuth.
func newAuthenticator(s *policy.Scope, auth *transomv1.Auth) auth.Authenticator {
	switch m := auth.GetMechanism().(type) {
	case *transomv1.Auth_Jwt:
		return newAuthenticatorAt(s, "auth.jwt", m.Jwt)
	case *transomv1.Auth_Mixed:
		return newAuthenticatorAt(s, "auth.mixed.jwt", m.Mixed.GetJwt())
	}
	return nil
}

// newAuthenticatorAt compiles a JwtAuth that stands at the path; nil is an empty one.
func newAuthenticatorAt(s *policy.Scope, path string, config *transomv1.JwtAuth) *authenticator {
	all := Of(s.Generation)
	t := &authenticator{
		accepted: all.list, audiences: config.GetAudiences(), required: config.GetRequiredClaims(),
		query: config.GetAllowQuery(), cookie: config.GetCookie(), issuers: all, origins: auth.OriginsOf(s.Generation), log: s.Log,
	}
	if len(config.GetIssuers()) > 0 {
		t.accepted = nil
		for n, name := range config.GetIssuers() {
			if issuer := all.Find(name); issuer != nil {
				t.accepted = append(t.accepted, issuer)
			} else if !all.Configured(name) {
				s.Refuse(fmt.Sprintf("%s.issuers[%d]", path, n), "%s: %s", path, all.Missing(name))
			}
		}
	} else if len(s.Config.GetAuth().GetJwt()) == 0 {
		s.Refuse(path, "%s demands a token, but the configuration has no auth.jwt: name an issuer and its keys there", path)
	}
	if t.cookie != "" && !auth.ValidCookieName(t.cookie) {
		s.Refuse(path+".cookie", "%s.cookie: found %q, expected the name of a cookie (RFC 6265)", path, t.cookie)
	} else if t.cookie != "" {
		s.HideCookie(t.cookie)
	}
	return t
}

// QueryParameters is access_token where the method accepts one.
func (t *authenticator) QueryParameters() []string {
	if t.query {
		return []string{accessToken}
	}
	return nil
}

// Challenge is for callers without a token.
func (*authenticator) Challenge() string { return auth.BearerChallenge }

// Authenticate checks the token that was sent.
func (t *authenticator) Authenticate(ctx context.Context, r *policy.Request) (auth.Proof, error) {
	token, from := t.find(r)
	if from == nowhere {
		return auth.NoProof, nil
	}
	v, err := t.check(ctx, token)
	if errors.Is(err, errKeysAway) || errors.Is(err, errRevocationsAway) {
		return auth.NoProof, unavailable(err)
	}
	if err != nil {
		t.log.Debug("a token was refused", "rpc", r.RPC, "request", r.RequestID, "reason", err)
		r.ResponseHeader.Set("WWW-Authenticate", badToken)
		return auth.NoProof, auth.ErrBadCredentials
	}
	// A browser sends cookies whoever asks it to: so does it with a token in one.
	if from == inCookie {
		if err := t.origins.Check(r); err != nil {
			return auth.NoProof, err
		}
	}
	r.Identity = v.identity
	r.Metadata = append(r.Metadata, v.metadata...)
	if from == inHeader {
		return auth.InHeader, nil
	}
	return auth.Elsewhere, nil
}

// unavailable is what a client is told of a token that cannot be checked.
func unavailable(err error) error {
	if errors.Is(err, errKeysAway) {
		return errIssuerAway
	}
	return ErrAway
}

// Ending is a token's `exp` plus leeway, or its logout.
func (t *authenticator) Ending(r *policy.Request) auth.Ending {
	v, ok := r.Identity.Source.(*Verified)
	if !ok {
		return auth.Ending{}
	}
	e := auth.Ending{At: v.until, Key: v}
	if t.issuers.revoked.used && v.issuer.issues {
		e.Store = tokenEndings{t.issuers.revoked.store}
	}
	return e
}

func (t *authenticator) Summary() string {
	names := make([]string, len(t.accepted))
	for n, i := range t.accepted {
		names[n] = i.Name
	}
	s := "a token of " + strings.Join(names, " or ")
	if len(t.audiences) > 0 {
		s += " for " + strings.Join(t.audiences, " or ")
	}
	if len(t.required) > 0 {
		s += " with the claims " + strings.Join(t.required, ", ")
	}
	return s
}

// find takes the token from the first place that has one. An empty token with
// a place is something that was sent as one and is none.
func (t *authenticator) find(r *policy.Request) (string, tokenPlace) {
	if values := r.HTTP.Header["Authorization"]; len(values) > 0 {
		if token, ok := bearer(values[0]); ok {
			if len(values) > 1 {
				return "", inHeader // two answers to one question
			}
			return token, inHeader
		}
	}
	if r.WebSocket {
		if token, ok := subprotocolToken(r.HTTP.Header["Sec-Websocket-Protocol"]); ok {
			return token, inSubprotocol
		}
	}
	if t.cookie != "" {
		if token, ok := auth.CookieValue(r.HTTP.Header, t.cookie); ok {
			return token, inCookie
		}
	}
	if t.query {
		if token, ok := queryToken(r.HTTP.URL); ok {
			return token, inQuery
		}
	}
	return "", nowhere
}

// bearer splits a value of Authorization; ok tells that its scheme is
// Bearer, in any case of letters.
func bearer(value string) (token string, ok bool) {
	const scheme = "bearer"
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	rest := value[len(scheme):]
	if rest == "" {
		return "", true
	}
	if rest[0] != ' ' {
		return "", false
	}
	return strings.Trim(rest, " "), true
}

// subprotocolToken finds the one subprotocol "bearer.<token>".
func subprotocolToken(headers []string) (token string, ok bool) {
	for _, header := range headers {
		for offered := range strings.SplitSeq(header, ",") {
			value, is := strings.CutPrefix(strings.TrimSpace(offered), "bearer.")
			if !is {
				continue
			}
			if ok {
				return "", true
			}
			token, ok = value, true
		}
	}
	return token, ok
}

// queryToken finds the one parameter access_token (RFC 6750 2.3).
func queryToken(u *url.URL) (string, bool) {
	if !strings.Contains(u.RawQuery, accessToken) {
		return "", false
	}
	values := u.Query()[accessToken]
	if len(values) > 1 {
		return "", true
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// check finds out whether a token is good here.
func (t *authenticator) check(ctx context.Context, raw string) (*Verified, error) {
	now := t.issuers.now()
	if raw == "" || len(raw) > tokenBytes {
		return nil, errToken
	}
	v := t.issuers.cache.get(raw, now)
	if v == nil {
		var err error
		if v, err = t.verify(ctx, raw); err != nil {
			return nil, err
		}
		t.issuers.cache.put(v, now)
	} else if !slices.Contains(t.accepted, v.issuer) {
		return nil, fmt.Errorf("%w: the issuer is not accepted here", errToken)
	}
	if err := t.suits(v); err != nil {
		return nil, err
	}
	if err := t.issuers.revoked.check(ctx, v, now); err != nil {
		return nil, err
	}
	return v, nil
}

func (t *authenticator) verify(ctx context.Context, raw string) (*Verified, error) {
	parsed, err := parseToken(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	for _, issuer := range t.accepted {
		if issuer.Name != parsed.issuer {
			continue
		}
		v, err := issuer.verify(ctx, raw, parsed)
		if err != nil && !errors.Is(err, errKeysAway) {
			err = fmt.Errorf("%w: %w", errToken, err)
		}
		return v, err
	}
	return nil, fmt.Errorf("%w: the issuer is not accepted here", errToken)
}

// suits checks what this method demands beyond the issuer.
func (t *authenticator) suits(v *Verified) error {
	switch {
	case len(t.audiences) > 0:
		if !slices.ContainsFunc(t.audiences, func(a string) bool { return slices.Contains(v.audiences, a) }) {
			return fmt.Errorf("%w: another audience", errToken)
		}
	case v.issuer.audience != "" && !slices.Contains(v.audiences, v.issuer.audience):
		return fmt.Errorf("%w: another audience", errToken)
	}
	for _, claim := range t.required {
		if _, ok := auth.ClaimAt(v.identity.Claims, claim); !ok {
			return fmt.Errorf("%w: the claim %s is missing", errToken, claim)
		}
	}
	return nil
}
