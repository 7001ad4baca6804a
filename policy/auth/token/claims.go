package token

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
)

// farFuture is the last second of the year 9999: no honest date lies beyond.
const farFuture = 253402300799

// readClaims checks the claims of a token whose signature is good, and makes
// the identity of them.
func (i *Issuer) readClaims(claims map[string]any, v *Verified) error {
	for _, name := range []string{"exp", "nbf", "iat"} {
		if value, there := claims[name]; there && !isDate(value) {
			return errors.New(name + " is no date")
		}
	}
	var err error
	if v.audiences, err = audiencesOf(claims); err != nil {
		return err
	}
	validator := jwt.NewValidator(jwt.WithIssuer(i.Name), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(i.leeway), jwt.WithTimeFunc(i.now))
	if err := validator.Validate(jwt.MapClaims(claims)); err != nil {
		return err
	}
	expires, err := jwt.MapClaims(claims).GetExpirationTime()
	if err != nil {
		return err
	}
	v.until = expires.Add(i.leeway)
	v.issued = issuedAt(claims)
	v.identity, err = i.identify(claims)
	if err != nil {
		return err
	}
	v.metadata = auth.MetadataOf(v.identity, i.forward)
	return nil
}

func isDate(value any) bool {
	n, ok := value.(json.Number)
	if !ok {
		return false
	}
	f, err := n.Float64()
	return err == nil && f >= 0 && f <= farFuture
}

// identify reads who the token is about.
func (i *Issuer) identify(claims map[string]any) (*policy.Identity, error) {
	value, _ := auth.ClaimAt(claims, i.principalClaim)
	principal, ok := value.(string)
	if !ok || !auth.IsPrincipal(principal) {
		return nil, errors.New("no principal")
	}
	id := &policy.Identity{Principal: principal, Mechanism: "jwt", Claims: claims}
	var err error
	if roles, there := auth.ClaimAt(claims, i.rolesClaim); there {
		if id.Roles, err = oneOrMore(roles); err != nil {
			return nil, errors.New("the roles are no strings")
		}
	}
	if id.Scopes, err = tokenScopes(claims); err != nil {
		return nil, err
	}
	auth.PlainNumbers(claims)
	return id, nil
}

// tokenScopes reads `scope` (RFC 8693 4.2), a list or one string with spaces,
// or `scp`, its older name.
func tokenScopes(claims map[string]any) ([]string, error) {
	value, there := claims["scope"]
	if !there {
		value, there = claims["scp"]
	}
	if !there {
		return nil, nil
	}
	if text, ok := value.(string); ok {
		return strings.Fields(text), nil
	}
	return oneOrMore(value)
}

func audiencesOf(claims map[string]any) ([]string, error) {
	value, there := claims["aud"]
	if !there {
		return nil, nil
	}
	list, err := oneOrMore(value)
	if err != nil {
		return nil, errors.New("aud is no string and no list of strings")
	}
	return list, nil
}

// oneOrMore reads one string or a list of strings.
func oneOrMore(value any) ([]string, error) {
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, len(v))
		for i, element := range v {
			s, ok := element.(string)
			if !ok {
				return nil, errors.New("expected strings")
			}
			list[i] = s
		}
		return list, nil
	}
	return nil, errors.New("expected a string or a list of strings")
}
