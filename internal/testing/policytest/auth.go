package policytest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Noon is when most tests of tokens and sessions happen: today, for parts with
// clocks of their own take part, as Redis.
var Noon = time.Now().UTC().Truncate(time.Second)

// GoodClaims are accepted by the issuer "https://id.test" at noon; more is laid
// over them, nil values take away.
func GoodClaims(more map[string]any) map[string]any {
	c := map[string]any{
		"iss": "https://id.test", "aud": "bookstore", "sub": "ada",
		"exp": Noon.Add(time.Hour).Unix(), "nbf": Noon.Add(-time.Hour).Unix(), "iat": Noon.Add(-time.Hour).Unix(),
		"roles": []string{"reader", "admin"}, "scope": "books.read books.write",
	}
	for name, value := range more {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

// AuthBench is a compiler with its surroundings.
type AuthBench struct {
	*policy.Compiler
	Clock      *Clock
	State      *policy.State
	Generation *policy.Generation
}

// NewAuthBench compiles a configuration that must be good.
func NewAuthBench(t testing.TB, config *transomv1.Config, kinds ...policy.Kind) *AuthBench {
	t.Helper()
	clock := NewClock()
	state := policy.NewState(policy.StateOptions{Log: slog.New(slog.DiscardHandler), Now: clock.Now})
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &AuthBench{Clock: clock, State: state}
	c, problems := policy.New(append(slices.Clone(kinds), GenerationOf(&b.Generation)), policy.Environment{Config: config, State: state, Log: slog.New(slog.DiscardHandler), Directory: t.TempDir()})
	t.Cleanup(c.Close)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	b.Compiler = c
	return b
}

// Set compiles one policy that must be good.
func (b *AuthBench) Set(t testing.TB, p *transomv1.Policy) *policy.Set {
	t.Helper()
	return MustCompile(t, b.Compiler, policy.Target{RPC: "test.v1.Service/Method", Layers: []policy.Layer{{Policy: p, Where: "test.proto:1:1"}}})
}

// MustCompile compiles a target that must be good.
func MustCompile(t testing.TB, c *policy.Compiler, target policy.Target) *policy.Set {
	t.Helper()
	set, problems := c.Compile(target)
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	return set
}

// NewCall is a request as an edge makes it.
func NewCall(edit func(*policy.Request)) *policy.Request {
	r := &policy.Request{
		HTTP:           httptest.NewRequest(http.MethodPost, "https://books.test/v1/books", nil),
		RPC:            "test.v1.Service/Method",
		ResponseHeader: http.Header{},
		Protocol:       "rest",
	}
	if edit != nil {
		edit(r)
	}
	return r
}

// WithToken is a call with a token in its header.
func WithToken(token string) *policy.Request {
	return NewCall(func(r *policy.Request) { r.HTTP.Header.Set("Authorization", "Bearer "+token) })
}

// LetIn runs a call through a set and ends it.
func LetIn(set *policy.Set, r *policy.Request) error {
	_, err := set.Admit(context.Background(), r)
	set.Done(r, &policy.Outcome{})
	return err
}

// JwtIssuer is the issuer of GoodClaims, edited.
func JwtIssuer(edit func(*transomv1.JwtIssuer)) *transomv1.JwtIssuer {
	i := &transomv1.JwtIssuer{Issuer: "https://id.test", Audience: "bookstore"}
	edit(i)
	return i
}

// JwtPolicy demands a token; edit may be nil.
func JwtPolicy(edit func(*transomv1.JwtAuth)) *transomv1.Policy {
	j := &transomv1.JwtAuth{}
	if edit != nil {
		edit(j)
	}
	return &transomv1.Policy{Auth: &transomv1.Auth{Mechanism: &transomv1.Auth_Jwt{Jwt: j}}}
}

// CheckExplained compiles one policy and checks what becomes of it: want is its only line for people, empty
// for none, or behind "!" a part of the one problem.
func (b *AuthBench) CheckExplained(t testing.TB, target policy.Target, want string) {
	t.Helper()
	set, problems := b.Compile(target)
	if want, refused := strings.CutPrefix(want, "!"); refused {
		if len(problems) != 1 || !strings.Contains(problems.Error(), want) {
			t.Errorf("got %q, want %q", problems, want)
		}
		return
	}
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	switch lines := set.Explain(); {
	case want == "" && len(lines) == 0:
	case want == "" || len(lines) != 1 || lines[0].Summary != want:
		t.Errorf("got %q, want %q", lines, want)
	}
}
