package session

import (
	"context"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// authenticator lets the callers of live sessions in.
type authenticator struct {
	sessions *Sessions
	origins  *auth.Origins
}

var _ auth.Authenticator = (*authenticator)(nil)

// Mechanism is auth by session.
func Mechanism() auth.Mechanism {
	return auth.Mechanism{Open: func(g *policy.Generation) { Of(g) }, Compile: newAuthenticator}
}

// newAuthenticator compiles a SessionAuth.
func newAuthenticator(s *policy.Scope, demand *transomv1.Auth) auth.Authenticator {
	switch demand.GetMechanism().(type) {
	case *transomv1.Auth_Session, *transomv1.Auth_Mixed:
		return &authenticator{sessions: Of(s.Generation), origins: auth.OriginsOf(s.Generation)}
	}
	return nil
}

func (a *authenticator) Summary() string { return "a session in the cookie " + a.sessions.Cookie }

// Challenge is for callers without a session. No scheme is registered for
// cookies; RFC 9110 15.5.2 wants one named all the same.
func (a *authenticator) Challenge() string {
	return `Cookie realm="transom", cookie-name="` + a.sessions.Cookie + `"`
}

// Authenticate sets r.Identity.
func (a *authenticator) Authenticate(ctx context.Context, r *policy.Request) (auth.Proof, error) {
	key, sent, ok := a.sessions.Key(r.HTTP.Header)
	if !sent {
		return auth.NoProof, nil
	}
	if !ok {
		return auth.NoProof, auth.ErrBadCredentials
	}
	if err := a.origins.Check(r); err != nil {
		return auth.NoProof, err
	}
	s, err := a.sessions.Store.Use(ctx, key, a.sessions.Idle)
	if err != nil {
		return auth.NoProof, ErrAway
	}
	if s == nil {
		return auth.NoProof, auth.ErrBadCredentials
	}
	r.Identity = s.identity
	r.Metadata = append(r.Metadata, s.metadata...)
	return auth.Elsewhere, nil
}

// Ending is known to the store alone.
func (a *authenticator) Ending(r *policy.Request) auth.Ending {
	key, _, _ := a.sessions.Key(r.HTTP.Header) // it was let in by it
	return auth.Ending{Store: sessionEndings{a.sessions.Store}, Key: key}
}

// sessionEndings asks a store which sessions have ended.
type sessionEndings struct{ Store }

var _ auth.EndingStore = sessionEndings{}

// EndedOf implements auth.EndingStore.
func (e sessionEndings) EndedOf(ctx context.Context, keys []any) ([]bool, error) {
	sessions := make([]Key, len(keys))
	for i, key := range keys {
		sessions[i], _ = key.(Key)
	}
	return e.ended(ctx, sessions)
}
