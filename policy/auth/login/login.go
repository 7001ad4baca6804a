// Package login is the fields login and logout: the backend's own login method opens a
// session or issues a token, and its logout method ends them.
package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/session"
	"github.com/transom-gateway/transom/policy/auth/token"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// tokenLifetime is how long tokens that login issues are valid where the
// policy says nothing.
const tokenLifetime = 15 * time.Minute

// loginBytes bounds what a session or a token carries: a token must stay below
// tokenBytes.
const loginBytes = 8 << 10

// errLoginFailed is a login that the backend granted and the gateway cannot
// complete.
var errLoginFailed = status.Error(codes.Internal, "the login cannot be completed")

// loginPolicy opens a session or issues a token when the backend's own login
// method answers OK.
type loginPolicy struct {
	output  protoreflect.MessageDescriptor
	subject fieldPath
	roles   fieldPath // empty: none
	claims  []loginClaim

	// One of the two is set.
	sessions *session.Sessions
	tokens   *tokenGrant
	origins  *auth.Origins
	log      *slog.Logger
}

// loginClaim copies a field of the answer into a claim.
type loginClaim struct {
	name string
	path fieldPath
}

// tokenGrant issues tokens.
type tokenGrant struct {
	name   string        // of the issuer
	issuer *token.Issuer // nil where the configuration's is refused
	ttl    time.Duration
	field  fieldPath // empty: the header authorization
	// issuers say when the token is issued, as a logout of all will ask.
	issuers *token.Issuers
}

var _ policy.ReplyChanger = (*loginPolicy)(nil)

// errLoginAway refuses a login whose session cannot be kept, or whose token could not be
// told from those before a logout of all, for the store does not answer.
var errLoginAway = policy.StoreAway("a login cannot be made at the moment; try again later")

// errLoginByWebSocket refuses what would open a session that nobody receives: the
// header of the answer is sent before the backend has answered.
var errLoginByWebSocket = status.Error(codes.FailedPrecondition,
	"a login cannot be made over a WebSocket, which has no header for its answer; send an ordinary request")

// Name is "login".
func (*loginPolicy) Name() string { return "login" }

// Summary says what is opened.
func (p *loginPolicy) Summary() string {
	if p.sessions != nil {
		return fmt.Sprintf("opens a session for %s in the cookie %s", p.subject, p.sessions.Cookie)
	}
	where := "the header authorization"
	if len(p.tokens.field) > 0 {
		where = "the field " + p.tokens.field.String()
	}
	return fmt.Sprintf("issues a token of %s for %s in %s", p.tokens.name, p.subject, where)
}

// Admit refuses a login that another site's page sends with this browser: it
// would make the browser's user somebody else. It also refuses one whose session or
// token has no header of an answer to stand in.
func (p *loginPolicy) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.WebSocket && (p.tokens == nil || len(p.tokens.field) == 0) {
		return ctx, nil, errLoginByWebSocket
	}
	if p.sessions == nil {
		return ctx, nil, nil
	}
	return ctx, nil, p.origins.Check(r)
}

// Reply opens what the login grants. An answer without a subject logs nobody
// in, and passes as it is.
func (p *loginPolicy) Reply(ctx context.Context, r *policy.Request, message []byte) ([]byte, error) {
	answer, err := expr.Decode(p.output, message)
	if err != nil {
		p.log.Error("the answer of a login is not a valid message of its type", "rpc", r.RPC, "request", r.RequestID)
		return nil, errLoginFailed
	}
	subject := p.subject.texts(answer)
	if len(subject) == 0 || !auth.IsPrincipal(subject[0]) {
		return message, nil
	}
	data := &session.Session{Principal: subject[0], Roles: p.roles.texts(answer), Claims: map[string]any{}}
	for _, c := range p.claims {
		if value := c.path.value(answer); value != nil {
			data.Claims[c.name] = value
		}
	}
	if text, err := json.Marshal(data); err != nil || len(text) > loginBytes {
		p.log.Error("a login has too much to remember", "rpc", r.RPC, "request", r.RequestID, "bytes", len(text), "most", loginBytes)
		return nil, errLoginFailed
	}
	if p.tokens == nil {
		if err := p.openSession(ctx, r, data); err != nil {
			return message, err
		}
		r.LoggedIn = data.Principal
		return message, nil
	}
	message, err = p.tokens.grant(ctx, r, data, message)
	if errors.Is(err, errLoginAway) {
		return nil, errLoginAway
	}
	if err != nil {
		p.log.Error("a token cannot be signed", "rpc", r.RPC, "request", r.RequestID, "error", err)
		return nil, errLoginFailed
	}
	r.LoggedIn = data.Principal
	return message, nil
}

// openSession begins the new session; the one that the browser had ends, so
// that an id known before the login is worth nothing after it.
func (p *loginPolicy) openSession(ctx context.Context, r *policy.Request, data *session.Session) error {
	if before, _, ok := p.sessions.Key(r.HTTP.Header); ok {
		if err := p.sessions.Store.Revoke(ctx, before); err != nil {
			return errLoginAway
		}
	}
	if err := p.sessions.Open(ctx, r.ResponseHeader, data); err != nil {
		return errLoginAway
	}
	return nil
}

// grant signs a token and puts it where the policy says.
func (g *tokenGrant) grant(ctx context.Context, r *policy.Request, data *session.Session, message []byte) ([]byte, error) {
	at, err := g.issuers.Moment(ctx)
	if err != nil {
		return nil, errors.Join(errLoginAway, err)
	}
	token, err := g.issuer.Issue(at, g.ttl, data.Principal, data.Roles, data.Claims)
	if err != nil {
		return nil, err
	}
	r.ResponseHeader.Set("Cache-Control", "no-store") // RFC 6749 5.1
	if len(g.field) == 0 {
		r.ResponseHeader.Set("Authorization", "Bearer "+token)
		return message, nil
	}
	return g.field.appendString(message, token), nil
}

// Login is the policy login.
func Login() policy.Kind {
	// An issuer can sign if it has the keys for it.
	return policy.Kind{Field: "login", Compile: compileLogin, Needs: []policy.Need{{Field: "login.token.issuer", Config: "auth"}}}
}

func compileLogin(s *policy.Scope) policy.Part {
	config := s.Policy.GetLogin()
	if config == nil || !s.UnaryMethod("login") {
		return nil
	}
	p := &loginPolicy{output: s.Method.Output(), origins: auth.OriginsOf(s.Generation), log: s.Log}
	p.subject = newFieldPath(s, "login.subject", config.GetSubject(), readsText|needsOne)
	if config.GetRoles() != "" {
		p.roles = newFieldPath(s, "login.roles", config.GetRoles(), readsText)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(config.GetClaims())) {
		at := fmt.Sprintf("login.claims[%q]", name)
		forward, err := auth.ForwardClaim(name)
		switch {
		case err != nil:
			s.Refuse(at, "login.claims: %v", err)
		case token.IsRegisteredClaim(name):
			s.Refuse(at, "login.claims: found %q, which the gateway sets itself: choose another name", name)
		case seen[forward.Name]:
			s.Refuse(at, "login.claims: two claims become the metadata %s", forward.Name)
		}
		seen[forward.Name] = true
		p.claims = append(p.claims, loginClaim{name, newFieldPath(s, at, config.GetClaims()[name], readsScalar)})
	}
	switch grant := config.GetGrant().(type) {
	case *transomv1.Login_Session:
		p.sessions = session.Of(s.Generation)
	case *transomv1.Login_Token:
		p.tokens = newTokenGrant(s, grant.Token)
	default:
		s.Refuse("login", "login grants nothing; expected session: {} or token: { issuer: … }")
	}
	return p
}

// newTokenGrant compiles login.token.
func newTokenGrant(s *policy.Scope, config *transomv1.TokenGrant) *tokenGrant {
	all := token.Of(s.Generation)
	g := &tokenGrant{name: config.GetIssuer(), issuers: all, issuer: all.Find(config.GetIssuer()), ttl: tokenLifetime}
	switch {
	case config.GetIssuer() == "":
		s.Refuse("login.token.issuer", "login.token.issuer: found nothing, expected an issuer of the configuration's auth.jwt")
	case g.issuer == nil && !all.Configured(config.GetIssuer()):
		s.Refuse("login.token.issuer", "login.token.issuer: %s", all.Missing(config.GetIssuer()))
	case g.issuer != nil && !g.issuer.CanSign():
		s.Refuse("login.token.issuer", "login.token.issuer: the issuer %q has no secret and no private_key to sign with", config.GetIssuer())
	}
	if config.GetTtl() != nil {
		if g.ttl = config.GetTtl().AsDuration(); g.ttl < time.Second {
			s.Refuse("login.token.ttl", "login.token.ttl: found %v, expected one second at least", span.Text(g.ttl))
		}
	}
	if g.issuer != nil {
		g.issuer.WillIssue(g.ttl)
	}
	if config.GetField() != "" {
		g.field = newFieldPath(s, "login.token.field", config.GetField(), writesString)
	}
	return g
}
