package policy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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

// tokenAuth is what a method demands of a token.
type tokenAuth struct {
	// issuers are the accepted ones.
	issuers []*tokenIssuer
	// audiences, if any, take the place of the issuer's own.
	audiences []string
	required  []string
	query     bool
	cookie    string
	cache     *tokenCache
	revoked   *revocations
	origins   *originGuard
}

// tokenAuth compiles a JwtAuth that stands at the path; nil is an empty one.
func (b *build) tokenAuth(path string, config *transomv1.JwtAuth) *tokenAuth {
	t := &tokenAuth{
		issuers: b.issuers, audiences: config.GetAudiences(), required: config.GetRequiredClaims(),
		query: config.GetAllowQuery(), cookie: config.GetCookie(), cache: b.tokens, revoked: b.revoked, origins: b.origins,
	}
	if len(config.GetIssuers()) > 0 {
		t.issuers = nil
		for n, name := range config.GetIssuers() {
			if issuer := b.issuer(name); issuer != nil {
				t.issuers = append(t.issuers, issuer)
			} else if !b.configured(name) {
				b.refuse(fmt.Sprintf("%s.issuers[%d]", path, n), "%s: %s", path, b.missingIssuer(name))
			}
		}
	} else if len(b.env.Config.GetAuth().GetJwt()) == 0 {
		b.refuse(path, "%s demands a token, but the configuration has no auth.jwt: name an issuer and its keys there", path)
	}
	if t.cookie != "" && !validCookieName(t.cookie) {
		b.refuse(path+".cookie", "%s.cookie: found %q, expected the name of a cookie (RFC 6265)", path, t.cookie)
	} else if t.cookie != "" {
		b.cookies.add(t.cookie)
	}
	return t
}

// configured reports whether the configuration names the issuer, though it may
// have been refused there.
func (c *Compiler) configured(name string) bool {
	return slices.ContainsFunc(c.env.Config.GetAuth().GetJwt(), func(j *transomv1.JwtIssuer) bool { return j.GetIssuer() == name })
}

func (t *tokenAuth) summary() string {
	names := make([]string, len(t.issuers))
	for n, i := range t.issuers {
		names[n] = i.name
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
func (t *tokenAuth) find(r *Request) (string, tokenPlace) {
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
		if token, ok := cookieValue(r.HTTP.Header, t.cookie); ok {
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

// cookieValue finds a cookie without taking memory for the others. Two of one
// name are as good as a bad one: somebody may have planted the second.
func cookieValue(h http.Header, name string) (value string, ok bool) {
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			key, val, is := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !is || key != name {
				continue
			}
			if ok {
				return "", true
			}
			value, ok = strings.Trim(val, `"`), true
		}
	}
	return value, ok
}

// check finds out whether a token is good here.
func (t *tokenAuth) check(ctx context.Context, raw string, now time.Time) (*verified, error) {
	if raw == "" || len(raw) > tokenBytes {
		return nil, errToken
	}
	v := t.cache.get(raw, now)
	if v == nil {
		var err error
		if v, err = t.verify(ctx, raw); err != nil {
			return nil, err
		}
		t.cache.put(v, now)
	} else if !slices.Contains(t.issuers, v.issuer) {
		return nil, fmt.Errorf("%w: the issuer is not accepted here", errToken)
	}
	if err := t.suits(v); err != nil {
		return nil, err
	}
	if err := t.revoked.check(ctx, v, now); err != nil {
		return nil, err
	}
	return v, nil
}

func (t *tokenAuth) verify(ctx context.Context, raw string) (*verified, error) {
	parsed, err := parseToken(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	for _, issuer := range t.issuers {
		if issuer.name != parsed.issuer {
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
func (t *tokenAuth) suits(v *verified) error {
	switch {
	case len(t.audiences) > 0:
		if !slices.ContainsFunc(t.audiences, func(a string) bool { return slices.Contains(v.audiences, a) }) {
			return fmt.Errorf("%w: another audience", errToken)
		}
	case v.issuer.audience != "" && !slices.Contains(v.audiences, v.issuer.audience):
		return fmt.Errorf("%w: another audience", errToken)
	}
	for _, claim := range t.required {
		if _, ok := claimAt(v.identity.Claims, claim); !ok {
			return fmt.Errorf("%w: the claim %s is missing", errToken, claim)
		}
	}
	return nil
}
