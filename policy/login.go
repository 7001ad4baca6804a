package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	sessions *sessions
	tokens   *tokenGrant
	origins  *originGuard
	log      *slog.Logger
}

// loginClaim copies a field of the answer into a claim.
type loginClaim struct {
	name string
	path fieldPath
}

// tokenGrant issues tokens.
type tokenGrant struct {
	issuer *tokenIssuer
	ttl    time.Duration
	field  fieldPath // empty: the header authorization
	// revoked says when the token is issued, as a logout of all will ask.
	revoked *revocations
}

var _ ReplyPolicy = (*loginPolicy)(nil)

// errLoginAway refuses a login whose token could not be told from those before a
// logout of all, for the store that knows the time of it does not answer.
var errLoginAway = status.Error(codes.Unavailable, "a login cannot be made at the moment")

// errLoginByWebSocket refuses what would open a session that nobody receives: the
// header of the answer is sent before the backend has answered.
var errLoginByWebSocket = status.Error(codes.FailedPrecondition,
	"a login cannot be made over a WebSocket, which has no header for its answer; send an ordinary request")

// Name is "login".
func (*loginPolicy) Name() string { return "login" }

// Summary says what is opened.
func (p *loginPolicy) Summary() string {
	if p.sessions != nil {
		return fmt.Sprintf("opens a session for %s in the cookie %s", p.subject, p.sessions.cookie)
	}
	where := "the header authorization"
	if len(p.tokens.field) > 0 {
		where = "the field " + p.tokens.field.String()
	}
	return fmt.Sprintf("issues a token of %s for %s in %s", p.tokens.issuer.name, p.subject, where)
}

// Admit refuses a login that another site's page sends with this browser: it
// would make the browser's user somebody else. It also refuses one whose session or
// token has no header of an answer to stand in.
func (p *loginPolicy) Admit(ctx context.Context, r *Request) (context.Context, Done, error) {
	if r.WebSocket && (p.tokens == nil || len(p.tokens.field) == 0) {
		return ctx, nil, errLoginByWebSocket
	}
	if p.sessions == nil {
		return ctx, nil, nil
	}
	return ctx, nil, p.origins.check(r)
}

// Reply opens what the login grants. An answer without a subject logs nobody
// in, and passes as it is.
func (p *loginPolicy) Reply(ctx context.Context, r *Request, message []byte) ([]byte, error) {
	answer, err := decode(p.output, message)
	if err != nil {
		p.log.Error("the answer of a login is not a valid message of its type", "rpc", r.RPC, "request", r.RequestID)
		return nil, errLoginFailed
	}
	subject := p.subject.texts(answer)
	if len(subject) == 0 || !isPrincipal(subject[0]) {
		return message, nil
	}
	data := &session{Principal: subject[0], Roles: p.roles.texts(answer), Claims: map[string]any{}}
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
		return message, p.openSession(ctx, r, data)
	}
	message, err = p.tokens.grant(ctx, r, data, message)
	if errors.Is(err, errRevocationsAway) {
		return nil, errLoginAway
	}
	if err != nil {
		p.log.Error("a token cannot be signed", "rpc", r.RPC, "request", r.RequestID, "error", err)
		return nil, errLoginFailed
	}
	return message, nil
}

// openSession begins the new session; the one that the browser had ends, so
// that an id known before the login is worth nothing after it.
func (p *loginPolicy) openSession(ctx context.Context, r *Request, data *session) error {
	if before, _, ok := p.sessions.key(r.HTTP.Header); ok {
		if err := p.sessions.store.revoke(ctx, before); err != nil {
			return errSessionsAway
		}
	}
	if err := p.sessions.open(ctx, r.ResponseHeader, data); err != nil {
		return errSessionsAway
	}
	return nil
}

// grant signs a token and puts it where the policy says.
func (g *tokenGrant) grant(ctx context.Context, r *Request, data *session, message []byte) ([]byte, error) {
	now := g.issuer.now()
	at, err := g.revoked.moment(ctx)
	if err != nil {
		return nil, errors.Join(errRevocationsAway, err)
	}
	claims := jwt.MapClaims{}
	maps.Copy(claims, data.Claims)
	claims["iss"], claims["iat"], claims["nbf"], claims["exp"] = g.issuer.name, now.Unix(), now.Unix(), now.Add(g.ttl).Unix()
	claims["jti"] = newTokenID(at)
	if g.issuer.audience != "" {
		claims["aud"] = g.issuer.audience
	}
	claims["sub"] = data.Principal
	setClaim(claims, g.issuer.principalClaim, data.Principal)
	if len(data.Roles) > 0 {
		setClaim(claims, g.issuer.rolesClaim, data.Roles)
	}
	token, err := g.issuer.signs.sign(claims)
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

// setClaim writes to the place that claimAt reads from.
func setClaim(claims map[string]any, path string, value any) {
	first, rest, nested := strings.Cut(path, ".")
	if !nested || strings.Contains(path, "/") { // a name such as "https://id.example/roles"
		claims[path] = value
		return
	}
	inner, ok := claims[first].(map[string]any)
	if !ok {
		inner = map[string]any{}
		claims[first] = inner
	}
	setClaim(inner, rest, value)
}

// login compiles the field login.
func (b *build) login() []Policy {
	config := b.policy.GetLogin()
	if config == nil || !b.unaryMethod("login") {
		return nil
	}
	p := &loginPolicy{output: b.target.Method.Output(), origins: b.origins, log: b.env.Log}
	p.subject = b.fieldPath("login.subject", config.GetSubject(), readsText|needsOne)
	if config.GetRoles() != "" {
		p.roles = b.fieldPath("login.roles", config.GetRoles(), readsText)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(config.GetClaims())) {
		at := fmt.Sprintf("login.claims[%q]", name)
		forward, err := forwardClaim(name)
		switch {
		case err != nil:
			b.refuse(at, "login.claims: %v", err)
		case slices.Contains(registeredClaims, name):
			b.refuse(at, "login.claims: found %q, which the gateway sets itself: choose another name", name)
		case seen[forward.name]:
			b.refuse(at, "login.claims: two claims become the metadata %s", forward.name)
		}
		seen[forward.name] = true
		p.claims = append(p.claims, loginClaim{name, b.fieldPath(at, config.GetClaims()[name], readsScalar)})
	}
	switch grant := config.GetGrant().(type) {
	case *transomv1.Login_Session:
		p.sessions = b.sessions
	case *transomv1.Login_Token:
		p.tokens = b.tokenGrant(grant.Token)
	default:
		b.refuse("login", "login grants nothing; expected session: {} or token: { issuer: … }")
	}
	return []Policy{p}
}

// registeredClaims are those that a login cannot set (RFC 7519 4.1).
var registeredClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// tokenGrant compiles login.token.
func (b *build) tokenGrant(config *transomv1.TokenGrant) *tokenGrant {
	g := &tokenGrant{issuer: b.issuer(config.GetIssuer()), ttl: tokenLifetime, revoked: b.revoked}
	switch {
	case config.GetIssuer() == "":
		b.refuse("login.token.issuer", "login.token.issuer: found nothing, expected an issuer of the configuration's auth.jwt")
	case g.issuer == nil && !b.configured(config.GetIssuer()):
		b.refuse("login.token.issuer", "login.token.issuer: %s", b.missingIssuer(config.GetIssuer()))
	case g.issuer != nil && g.issuer.signs == nil:
		b.refuse("login.token.issuer", "login.token.issuer: the issuer %q has no secret and no private_key to sign with", config.GetIssuer())
	}
	if config.GetTtl() != nil {
		if g.ttl = config.GetTtl().AsDuration(); g.ttl < time.Second {
			b.refuse("login.token.ttl", "login.token.ttl: found %v, expected one second at least", g.ttl)
		}
	}
	if g.issuer != nil {
		g.issuer.issues, g.issuer.longest = true, max(g.issuer.longest, g.ttl)
	}
	if config.GetField() != "" {
		g.field = b.fieldPath("login.token.field", config.GetField(), writesString)
	}
	return g
}

// unaryMethod refuses a policy that looks at the one answer of a method where
// there is none.
func (b *build) unaryMethod(field string) bool {
	if b.target.Method == nil {
		b.refuse(field, "%s looks at the answer of a gRPC method; a plain HTTP route has none", field)
		return false
	}
	if b.stream() {
		b.refuse(field, "%s needs a unary method, but %s streams", field, b.target.Method.FullName())
		return false
	}
	return true
}
