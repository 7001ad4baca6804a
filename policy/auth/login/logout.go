package login

import (
	"context"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/session"
	"github.com/transom-gateway/transom/policy/auth/token"
)

// logoutPolicy ends the caller's session, and the caller's token where login
// issued it, when the backend's own logout method answers OK.
type logoutPolicy struct {
	sessions *session.Sessions
	origins  *auth.Origins
	tokens   *token.Issuers
	all      bool
	// open are the credentials of open streams, some of which have ended then.
	open *auth.Watch
}

var _ policy.ReplyChanger = (*logoutPolicy)(nil)

// Name is "logout".
func (*logoutPolicy) Name() string { return "logout" }

// Summary says what is ended.
func (p *logoutPolicy) Summary() string {
	tokens := p.tokens.CanSign()
	switch {
	case p.all && tokens:
		return "ends all sessions and tokens of the caller"
	case p.all:
		return "ends all sessions of the caller"
	case tokens:
		return "ends the session in the cookie " + p.sessions.Cookie + ", and the caller's token"
	}
	return "ends the session in the cookie " + p.sessions.Cookie
}

// Admit refuses a logout that another site's page sends with this browser.
func (p *logoutPolicy) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if _, sent, _ := p.sessions.Key(r.HTTP.Header); !sent {
		return ctx, nil, nil
	}
	return ctx, nil, p.origins.Check(r)
}

// errLogoutAway refuses a logout, for the store of what it should end does not answer.
var errLogoutAway = policy.StoreAway("a logout cannot be made at the moment; try again later")

// Reply revokes. A store that is away fails the call, for what it should end
// lives.
func (p *logoutPolicy) Reply(ctx context.Context, r *policy.Request, message []byte) ([]byte, error) {
	key, sent, ok := p.sessions.Key(r.HTTP.Header)
	named, err := p.token(ctx, r)
	if err != nil {
		return nil, err
	}
	if p.all {
		if err := p.endAll(ctx, r, named, key, ok); err != nil {
			return nil, errLogoutAway
		}
	}
	if ok {
		if err := p.sessions.Store.Revoke(ctx, key); err != nil {
			return nil, errLogoutAway
		}
	}
	if err := p.tokens.Revoke(ctx, named); err != nil {
		return nil, errLogoutAway
	}
	p.open.Look()
	if sent {
		p.sessions.SetCookie(r.ResponseHeader, "", -1)
	}
	return message, nil
}

// token is the one that auth let in, or on an open method the one in the header
// if it is good; nil if there is none. The error is for the client.
func (p *logoutPolicy) token(ctx context.Context, r *policy.Request) (*token.Verified, error) {
	if r.Identity != nil {
		v, _ := r.Identity.Source.(*token.Verified)
		return v, nil
	}
	return p.tokens.Sent(ctx, r)
}

// endAll ends what there is of whoever auth found, or of the principal of the
// token or the session where the method is open.
func (p *logoutPolicy) endAll(ctx context.Context, r *policy.Request, token *token.Verified, key session.Key, ok bool) error {
	switch {
	case r.Identity != nil:
		return p.endAllOf(ctx, r.Identity.Principal)
	case token != nil:
		return p.endAllOf(ctx, token.Principal())
	case !ok:
		return nil
	}
	s, err := p.sessions.Store.Use(ctx, key, p.sessions.Idle)
	if err != nil || s == nil {
		return err
	}
	return p.endAllOf(ctx, s.Principal)
}

func (p *logoutPolicy) endAllOf(ctx context.Context, principal string) error {
	if err := p.sessions.Store.RevokeAll(ctx, principal); err != nil {
		return err
	}
	return p.tokens.RevokeAll(ctx, principal)
}

// Logout is the policy logout.
func Logout() policy.Kind { return policy.Kind{Field: "logout", Compile: compileLogout} }

func compileLogout(s *policy.Scope) policy.Part {
	if s.Policy.GetLogout() == nil || !s.UnaryMethod("logout") {
		return nil
	}
	if s.Policy.GetLogin() != nil {
		s.Refuse("logout", "the method has both login and logout; expected one of them")
	}
	p := &logoutPolicy{sessions: session.Of(s.Generation), origins: auth.OriginsOf(s.Generation),
		tokens: token.Of(s.Generation), all: s.Policy.GetLogout().GetAll()}
	p.tokens.WillRevoke()
	var err error
	if p.open, err = auth.WatchOf(s.Generation); err != nil {
		s.Refuse("logout", "%v", err)
	}
	return p
}
