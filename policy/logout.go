package policy

import (
	"context"
)

// logoutPolicy ends the caller's session when the backend's own logout method
// answers OK.
type logoutPolicy struct {
	sessions *sessions
	origins  *originGuard
	all      bool
}

var _ ReplyPolicy = (*logoutPolicy)(nil)

// Name is "logout".
func (*logoutPolicy) Name() string { return "logout" }

// Summary says what is ended.
func (p *logoutPolicy) Summary() string {
	if p.all {
		return "ends all sessions of the caller"
	}
	return "ends the session in the cookie " + p.sessions.cookie
}

// Admit refuses a logout that another site's page sends with this browser.
func (p *logoutPolicy) Admit(ctx context.Context, r *Request) (context.Context, Done, error) {
	if _, sent, _ := p.sessions.key(r.HTTP.Header); !sent {
		return ctx, nil, nil
	}
	return ctx, nil, p.origins.check(r)
}

// Reply revokes. A store that is away fails the call, for the session lives.
func (p *logoutPolicy) Reply(ctx context.Context, r *Request, message []byte) ([]byte, error) {
	key, sent, ok := p.sessions.key(r.HTTP.Header)
	if p.all {
		if err := p.revokeAll(ctx, r, key, ok); err != nil {
			return nil, errSessionsAway
		}
	}
	if ok {
		if err := p.sessions.store.revoke(ctx, key); err != nil {
			return nil, errSessionsAway
		}
	}
	if sent {
		p.sessions.setCookie(r.ResponseHeader, "", -1)
	}
	return message, nil
}

// revokeAll ends the sessions of whoever auth found, or of the session's own
// principal where the method is open.
func (p *logoutPolicy) revokeAll(ctx context.Context, r *Request, key sessionKey, ok bool) error {
	if r.Identity != nil {
		return p.sessions.store.revokeAll(ctx, r.Identity.Principal)
	}
	if !ok {
		return nil
	}
	s, err := p.sessions.store.use(ctx, key, p.sessions.idle)
	if err != nil || s == nil {
		return err
	}
	return p.sessions.store.revokeAll(ctx, s.Principal)
}

// logout compiles the field logout.
func (b *build) logout() []Policy {
	if b.policy.GetLogout() == nil || !b.unaryMethod("logout") {
		return nil
	}
	if b.policy.GetLogin() != nil {
		b.refuse("logout", "the method has both login and logout; expected one of them")
	}
	return []Policy{&logoutPolicy{sessions: b.sessions, origins: b.origins, all: b.policy.GetLogout().GetAll()}}
}
