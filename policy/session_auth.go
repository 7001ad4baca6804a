package policy

import (
	"context"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// sessionAuth lets the callers of live sessions in.
type sessionAuth struct {
	sessions *sessions
	origins  *originGuard
}

var _ authenticator = (*sessionAuth)(nil)

// sessionMechanism is auth by session.
func sessionMechanism() mechanism {
	return mechanism{open: func(g *Generation) { sessionsOf(g) }, compile: newSessionAuth}
}

// newSessionAuth compiles a SessionAuth.
func newSessionAuth(s *Scope, demand *transomv1.Auth) authenticator {
	switch demand.GetMechanism().(type) {
	case *transomv1.Auth_Session, *transomv1.Auth_Mixed:
		return &sessionAuth{sessions: sessionsOf(s.Generation), origins: originGuardOf(s.Generation)}
	}
	return nil
}

func (a *sessionAuth) summary() string { return "a session in the cookie " + a.sessions.cookie }

// challenge is for callers without a session. No scheme is registered for
// cookies; RFC 9110 15.5.2 wants one named all the same.
func (a *sessionAuth) challenge() string {
	return `Cookie realm="transom", cookie-name="` + a.sessions.cookie + `"`
}

// authenticate sets r.Identity.
func (a *sessionAuth) authenticate(ctx context.Context, r *Request) (proof, error) {
	key, sent, ok := a.sessions.key(r.HTTP.Header)
	if !sent {
		return noProof, nil
	}
	if !ok {
		return noProof, errBadCredentials
	}
	if err := a.origins.check(r); err != nil {
		return noProof, err
	}
	s, err := a.sessions.store.use(ctx, key, a.sessions.idle)
	if err != nil {
		return noProof, errSessionsAway
	}
	if s == nil {
		return noProof, errBadCredentials
	}
	r.Identity = s.identity
	r.Metadata = append(r.Metadata, s.metadata...)
	return proofElsewhere, nil
}

// ending is known to the store alone.
func (a *sessionAuth) ending(r *Request) ending {
	key, _, _ := a.sessions.key(r.HTTP.Header) // it was let in by it
	return ending{store: sessionEndings{a.sessions.store}, key: key}
}

// sessionEndings asks a store which sessions have ended.
type sessionEndings struct{ sessionStore }

var _ endingStore = sessionEndings{}

// endedOf implements endingStore.
func (e sessionEndings) endedOf(ctx context.Context, keys []any) ([]bool, error) {
	sessions := make([]sessionKey, len(keys))
	for i, key := range keys {
		sessions[i], _ = key.(sessionKey)
	}
	return e.ended(ctx, sessions)
}
