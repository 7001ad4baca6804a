package policy

import (
	"context"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/redistest"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// loginText is the policy of the login method in the tests of sessions.
func loginPolicyOf(grant *transomv1.Login) *transomv1.Policy {
	grant.Subject, grant.Roles = "user.id", "user.roles"
	if grant.Claims == nil {
		grant.Claims = map[string]string{"email": "user.email", "number": "user.number"}
	}
	if grant.Grant == nil {
		grant.Grant = &transomv1.Login_Session{Session: &transomv1.SessionGrant{}}
	}
	return &transomv1.Policy{Login: grant}
}

func sessionPolicy() *transomv1.Policy {
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Session{Session: &transomv1.SessionAuth{}}}}
}

func mixedPolicy() *transomv1.Policy {
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Mixed{Mixed: &transomv1.MixedAuth{}}}}
}

const adaReply = `user { id: "ada" roles: "reader" roles: "admin" email: "ada@x" number: 9007199254740993 } count: 1`

// sessionSets are the methods that sessions go through.
type sessionSets struct {
	login, call, logout, logoutAll *Set
}

func compileSessionSets(t testing.TB, c *Compiler) sessionSets {
	t.Helper()
	compile := func(p *transomv1.Policy) *Set { return mustCompile(t, c, shopTarget("Login", p)) }
	return sessionSets{
		login:     compile(loginPolicyOf(&transomv1.Login{})),
		call:      compile(sessionPolicy()),
		logout:    compile(&transomv1.Policy{Logout: &transomv1.Logout{}}),
		logoutAll: compile(&transomv1.Policy{Logout: &transomv1.Logout{All: true}, Auth: sessionPolicy().Auth}),
	}
}

// through runs a unary call: admission, then the backend's answer.
func through(set *Set, r *Request, reply []byte) ([]byte, error) {
	ctx, err := set.Admit(context.Background(), r)
	defer set.Done(r, &Outcome{})
	if err != nil {
		return nil, err
	}
	return set.Reply(ctx, r, reply)
}

// logIn opens a session and gives its cookie as a browser keeps it.
func (s sessionSets) logIn(t testing.TB, reply string, cookies ...*http.Cookie) *http.Cookie {
	t.Helper()
	r := withCookies(cookies...)
	if _, err := through(s.login, r, wireOf(t, "LoginReply", reply)); err != nil {
		t.Fatal(err)
	}
	set := (&http.Response{Header: r.ResponseHeader}).Cookies()
	if len(set) != 1 {
		t.Fatalf("the login sets the cookies %v, want one", set)
	}
	return set[0]
}

func withCookies(cookies ...*http.Cookie) *Request {
	return newCall(func(r *Request) {
		for _, c := range cookies {
			r.HTTP.AddCookie(c)
		}
	})
}

// redisConfig gives commands more time than users would: the machine is busy.
func redisConfig(server *redistest.Server) *transomv1.Config {
	return &transomv1.Config{
		Auth:   &transomv1.AuthConfig{Session: &transomv1.SessionConfig{}},
		Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: server.URL, Timeout: durationpb.New(time.Minute)}},
	}
}
