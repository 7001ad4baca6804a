package policy

import "context"

// logoutPolicy ends the caller's session, and the caller's token where login
// issued it, when the backend's own logout method answers OK.
type logoutPolicy struct {
	sessions *sessions
	origins  *originGuard
	tokens   *issuers
	all      bool
	// open are the credentials of open streams, some of which have ended then.
	open *credentialWatch
}

var _ ReplyChanger = (*logoutPolicy)(nil)

// Name is "logout".
func (*logoutPolicy) Name() string { return "logout" }

// Summary says what is ended.
func (p *logoutPolicy) Summary() string {
	tokens := p.tokens.canSign()
	switch {
	case p.all && tokens:
		return "ends all sessions and tokens of the caller"
	case p.all:
		return "ends all sessions of the caller"
	case tokens:
		return "ends the session in the cookie " + p.sessions.cookie + ", and the caller's token"
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

// Reply revokes. A store that is away fails the call, for what it should end
// lives.
func (p *logoutPolicy) Reply(ctx context.Context, r *Request, message []byte) ([]byte, error) {
	key, sent, ok := p.sessions.key(r.HTTP.Header)
	named, err := p.token(ctx, r)
	if err != nil {
		return nil, err
	}
	if p.all {
		if err := p.endAll(ctx, r, named, key, ok); err != nil {
			return nil, errSessionsAway
		}
	}
	if ok {
		if err := p.sessions.store.revoke(ctx, key); err != nil {
			return nil, errSessionsAway
		}
	}
	if err := p.tokens.revoke(ctx, named); err != nil {
		return nil, errRevokedAway
	}
	p.open.look()
	if sent {
		p.sessions.setCookie(r.ResponseHeader, "", -1)
	}
	return message, nil
}

// token is the one that auth let in, or on an open method the one in the header
// if it is good; nil if there is none. The error is for the client.
func (p *logoutPolicy) token(ctx context.Context, r *Request) (*verified, error) {
	if r.Identity != nil {
		v, _ := r.Identity.Source.(*verified)
		return v, nil
	}
	return p.tokens.sent(ctx, r)
}

// endAll ends what there is of whoever auth found, or of the principal of the
// token or the session where the method is open.
func (p *logoutPolicy) endAll(ctx context.Context, r *Request, token *verified, key sessionKey, ok bool) error {
	switch {
	case r.Identity != nil:
		return p.endAllOf(ctx, r.Identity.Principal)
	case token != nil:
		return p.endAllOf(ctx, token.principal())
	case !ok:
		return nil
	}
	s, err := p.sessions.store.use(ctx, key, p.sessions.idle)
	if err != nil || s == nil {
		return err
	}
	return p.endAllOf(ctx, s.Principal)
}

func (p *logoutPolicy) endAllOf(ctx context.Context, principal string) error {
	if err := p.sessions.store.revokeAll(ctx, principal); err != nil {
		return err
	}
	return p.tokens.revokeAll(ctx, principal)
}

// logoutKind is the policy logout.
func logoutKind() Kind { return Kind{Field: "logout", Compile: compileLogout} }

func compileLogout(s *Scope) Part {
	if s.Policy.GetLogout() == nil || !s.UnaryMethod("logout") {
		return nil
	}
	if s.Policy.GetLogin() != nil {
		s.Refuse("logout", "the method has both login and logout; expected one of them")
	}
	p := &logoutPolicy{sessions: sessionsOf(s.Generation), origins: originGuardOf(s.Generation),
		tokens: issuersOf(s.Generation), all: s.Policy.GetLogout().GetAll()}
	p.tokens.willRevoke()
	var err error
	if p.open, err = credentialWatchOf(s.Generation); err != nil {
		s.Refuse("logout", "%v", err)
	}
	return p
}
