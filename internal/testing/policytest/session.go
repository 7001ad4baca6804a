package policytest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// LoginPolicyOf is the policy of the login method in the tests of sessions.
func LoginPolicyOf(grant *transomv1.Login) *transomv1.Policy {
	grant.Subject, grant.Roles = "user.id", "user.roles"
	if grant.Claims == nil {
		grant.Claims = map[string]string{"email": "user.email", "number": "user.number"}
	}
	if grant.Grant == nil {
		grant.Grant = &transomv1.Login_Session{Session: &transomv1.SessionGrant{}}
	}
	return &transomv1.Policy{Login: grant}
}

// SessionPolicy demands a session.
func SessionPolicy() *transomv1.Policy {
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Session{Session: &transomv1.SessionAuth{}}}}
}

// MixedPolicy demands a token or a session.
func MixedPolicy() *transomv1.Policy {
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Mixed{Mixed: &transomv1.MixedAuth{}}}}
}

// AdaReply is the answer of a login that lets Ada in.
const AdaReply = `user { id: "ada" roles: "reader" roles: "admin" email: "ada@x" number: 9007199254740993 } count: 1`

// SessionSets are the methods that sessions go through.
type SessionSets struct {
	Login, Call, Logout, LogoutAll *policy.Set
}

// CompileSessionSets compiles them.
func CompileSessionSets(t testing.TB, c *policy.Compiler) SessionSets {
	t.Helper()
	compile := func(p *transomv1.Policy) *policy.Set { return MustCompile(t, c, ShopTarget("Login", p)) }
	return SessionSets{
		Login:     compile(LoginPolicyOf(&transomv1.Login{})),
		Call:      compile(SessionPolicy()),
		Logout:    compile(&transomv1.Policy{Logout: &transomv1.Logout{}}),
		LogoutAll: compile(&transomv1.Policy{Logout: &transomv1.Logout{All: true}, Auth: SessionPolicy().Auth}),
	}
}

// Through runs a unary call: admission, then the backend's answer.
func Through(set *policy.Set, r *policy.Request, reply []byte) ([]byte, error) {
	ctx, err := set.Admit(context.Background(), r)
	defer set.Done(r, &policy.Outcome{})
	if err != nil {
		return nil, err
	}
	return set.Reply(ctx, r, reply)
}

// LogIn opens a session and gives its cookie as a browser keeps it.
func (s SessionSets) LogIn(t testing.TB, reply string, cookies ...*http.Cookie) *http.Cookie {
	t.Helper()
	r := WithCookies(cookies...)
	if _, err := Through(s.Login, r, WireOf(t, "LoginReply", reply)); err != nil {
		t.Fatal(err)
	}
	set := (&http.Response{Header: r.ResponseHeader}).Cookies()
	if len(set) != 1 {
		t.Fatalf("the login sets the cookies %v, want one", set)
	}
	return set[0]
}

// WithCookies is a call with cookies.
func WithCookies(cookies ...*http.Cookie) *policy.Request {
	return NewCall(func(r *policy.Request) {
		for _, c := range cookies {
			r.HTTP.AddCookie(c)
		}
	})
}

// RedisConfig gives commands more time than users would: the machine is busy.
func RedisConfig(server *redistest.Server) *transomv1.Config {
	return &transomv1.Config{
		Auth:   &transomv1.AuthConfig{Session: &transomv1.SessionConfig{}},
		Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: server.URL, Timeout: durationpb.New(time.Minute)}},
	}
}
