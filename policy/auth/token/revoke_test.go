package token_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth/token"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// known is for how long a gateway goes by what the store said of a token.
const known = token.Fresh

// tokenSets are the methods that tokens go through, from login to logout.
type tokenSets struct {
	login, call, mixed, logout, logoutAll, open, openAll *policy.Set
}

func compileTokenSets(t testing.TB, c *policy.Compiler) tokenSets {
	t.Helper()
	compile := func(p *transomv1.Policy) *policy.Set {
		return policytest.MustCompile(t, c, policytest.ShopTarget("Login", p))
	}
	s := tokenSets{ // the methods that check come first: they must not depend on the order
		call:   compile(policytest.JwtPolicy(nil)),
		mixed:  compile(policytest.MixedPolicy()),
		logout: compile(&transomv1.Policy{Logout: &transomv1.Logout{}, Auth: policytest.JwtPolicy(nil).Auth}),
		open:   compile(&transomv1.Policy{Logout: &transomv1.Logout{}}),
	}
	s.logoutAll = compile(&transomv1.Policy{Logout: &transomv1.Logout{All: true}, Auth: policytest.MixedPolicy().Auth})
	s.openAll = compile(&transomv1.Policy{Logout: &transomv1.Logout{All: true}})
	s.login = compile(policytest.LoginPolicyOf(policytest.TokenLogin(nil)))
	return s
}

// logIn gives a token.
func (s tokenSets) logIn(t testing.TB, reply string) string {
	t.Helper()
	r := policytest.NewCall(nil)
	answer, err := policytest.Through(s.login, r, policytest.WireOf(t, "LoginReply", reply))
	if err != nil {
		t.Fatal(err)
	}
	return policytest.Issued(t, r, answer)
}

// logOut ends what a token may.
func logOut(t testing.TB, set *policy.Set, token string) {
	t.Helper()
	if _, err := policytest.Through(set, policytest.WithToken(token), nil); err != nil {
		t.Fatal(err)
	}
}

func otherToken(t testing.TB) string {
	t.Helper()
	return keytest.Token(t, jwt.SigningMethodEdDSA, keytest.TestKeys().Ed, nil, policytest.GoodClaims(map[string]any{"iss": "https://other.test"}))
}

func eachRevocationStore(t *testing.T, test func(t *testing.T, config *transomv1.Config)) {
	t.Run("memory", func(t *testing.T) { test(t, policytest.TokenConfig(t, nil)) })
	t.Run("redis", func(t *testing.T) {
		policytest.EachClock(t, func(t *testing.T, server *redistest.Server) {
			test(t, policytest.TokenConfig(t, policytest.RedisConfig(server).Stores))
		})
	})
	t.Run("cluster", func(t *testing.T) {
		test(t, policytest.TokenConfig(t, policytest.RedisConfig(redistest.StartCluster(t)).Stores))
	})
}

func TestLogoutEndsIssuedTokens(t *testing.T) {
	eachRevocationStore(t, func(t *testing.T, config *transomv1.Config) {
		b := policytest.NewAuthBench(t, config, kinds.All()...)
		s := compileTokenSets(t, b.Compiler)
		first, second, eve := s.logIn(t, policytest.AdaReply), s.logIn(t, policytest.AdaReply), s.logIn(t, `user { id: "eve" }`)
		for _, token := range []string{first, second, eve} {
			policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.OK)
		}
		logOut(t, s.logout, first)
		r := policytest.WithToken(first)
		policytest.WantCode(t, policytest.LetIn(s.call, r), codes.Unauthenticated)
		if got := r.ResponseHeader.Get("WWW-Authenticate"); got != `Bearer realm="transom", error="invalid_token"` {
			t.Errorf("WWW-Authenticate: %s", got)
		}
		policytest.WantCode(t, policytest.LetIn(s.mixed, policytest.WithToken(first)), codes.Unauthenticated)
		policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(first)), codes.Unauthenticated) // verified anew, and refused anew
		policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(second)), codes.OK)

		// The method may be open; what it is sent then must be good to end anything.
		logOut(t, s.open, second)
		policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(second)), codes.Unauthenticated)
		logOut(t, s.open, "nonsense")
		logOut(t, s.open, first)

		// All tokens of one principal, but none that is issued afterwards.
		for _, all := range []*policy.Set{s.logoutAll, s.openAll} {
			third, fourth := s.logIn(t, policytest.AdaReply), s.logIn(t, policytest.AdaReply)
			policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(fourth)), codes.OK)
			b.Clock.Advance(time.Millisecond)
			logOut(t, all, third)
			policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(third)), codes.Unauthenticated)
			policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(fourth)), codes.Unauthenticated)
			b.Clock.Advance(time.Millisecond)
			policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(s.logIn(t, policytest.AdaReply))), codes.OK)
			policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(eve)), codes.OK)
		}

		// Tokens of others are not ours to end.
		other := otherToken(t)
		logOut(t, s.logout, other)
		b.Clock.Advance(known)
		policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(other)), codes.OK)
	})
}

// TestLogoutOfAllSessionsEndsTokens: who logs out everywhere with a cookie means
// the tokens too.
func TestLogoutOfAllSessionsEndsTokens(t *testing.T) {
	b := policytest.NewAuthBench(t, policytest.TokenConfig(t, nil), kinds.All()...)
	s := compileTokenSets(t, b.Compiler)
	cookie := policytest.CompileSessionSets(t, b.Compiler).LogIn(t, policytest.AdaReply)
	token := s.logIn(t, policytest.AdaReply)
	if _, err := policytest.Through(s.logoutAll, policytest.WithCookies(cookie), nil); err != nil {
		t.Fatal(err)
	}
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.Unauthenticated)
}

// TestLogoutHoldsAtOtherGateways has one that knows the token already: it finds
// out within fresh.
func TestLogoutHoldsAtOtherGateways(t *testing.T) {
	policytest.EachClock(t, testLogoutHoldsAtOtherGateways)
}

func testLogoutHoldsAtOtherGateways(t *testing.T, server *redistest.Server) {
	config := policytest.TokenConfig(t, policytest.RedisConfig(server).Stores)
	one, two := policytest.NewAuthBench(t, config, kinds.All()...), policytest.NewAuthBench(t, config, kinds.All()...)
	first, second := compileTokenSets(t, one.Compiler), compileTokenSets(t, two.Compiler)
	token, all := first.logIn(t, policytest.AdaReply), first.logIn(t, `user { id: "eve" }`)
	policytest.WantCode(t, policytest.LetIn(second.call, policytest.WithToken(token)), codes.OK)
	policytest.WantCode(t, policytest.LetIn(second.call, policytest.WithToken(all)), codes.OK)
	logOut(t, first.logout, token)
	logOut(t, first.logoutAll, all)
	two.Clock.Advance(known)
	policytest.WantCode(t, policytest.LetIn(second.call, policytest.WithToken(token)), codes.Unauthenticated)
	policytest.WantCode(t, policytest.LetIn(second.call, policytest.WithToken(all)), codes.Unauthenticated)
	// One that never saw the token asks before it believes it.
	third := compileTokenSets(t, policytest.NewAuthBench(t, config, kinds.All()...).Compiler)
	policytest.WantCode(t, policytest.LetIn(third.call, policytest.WithToken(token)), codes.Unauthenticated)
}

// TestLogoutOfAllGoesByTheStoresClock has a token issued by a gateway whose clock is
// ahead and ended by one whose clock is right, then the other way round.
func TestLogoutOfAllGoesByTheStoresClock(t *testing.T) {
	policytest.EachClock(t, func(t *testing.T, server *redistest.Server) {
		config := policytest.TokenConfig(t, policytest.RedisConfig(server).Stores)
		one, two := policytest.NewAuthBench(t, config, kinds.All()...), policytest.NewAuthBench(t, config, kinds.All()...)
		two.Clock.Advance(20 * time.Second) // within the leeway
		first, second := compileTokenSets(t, one.Compiler), compileTokenSets(t, two.Compiler)
		for _, pair := range [][2]tokenSets{{first, second}, {second, first}} {
			issues, ends := pair[0], pair[1]
			before := issues.logIn(t, policytest.AdaReply)
			logOut(t, ends.logoutAll, ends.logIn(t, policytest.AdaReply))
			policytest.WantCode(t, policytest.LetIn(ends.call, policytest.WithToken(before)), codes.Unauthenticated)
			after := issues.logIn(t, policytest.AdaReply)
			policytest.WantCode(t, policytest.LetIn(ends.call, policytest.WithToken(after)), codes.OK)
			policytest.WantCode(t, policytest.LetIn(issues.call, policytest.WithToken(after)), codes.OK)
		}
	})
}

func TestLogoutOfTokensSurvivesReload(t *testing.T) {
	b := policytest.NewAuthBench(t, policytest.TokenConfig(t, nil), kinds.All()...)
	s := compileTokenSets(t, b.Compiler)
	token := s.logIn(t, policytest.AdaReply)
	logOut(t, s.logout, token)
	next, problems := policy.New(kinds.All(), policy.Environment{Config: b.Generation.Config, State: b.State, Log: slog.New(slog.DiscardHandler)})
	defer next.Close()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	policytest.WantCode(t, policytest.LetIn(compileTokenSets(t, next).call, policytest.WithToken(token)), codes.Unauthenticated)
}

// TestRevocationStoreAway: without the store nobody can say whether a token was
// logged out. It is asked about nothing else.
func TestRevocationStoreAway(t *testing.T) { policytest.EachClock(t, testRevocationStoreAway) }

func testRevocationStoreAway(t *testing.T, server *redistest.Server) {
	config := policytest.TokenConfig(t, policytest.RedisConfig(server).Stores)
	b := policytest.NewAuthBench(t, config, kinds.All()...)
	s := compileTokenSets(t, b.Compiler)
	token := s.logIn(t, policytest.AdaReply)
	unused := s.logIn(t, policytest.AdaReply)
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.OK)
	server.Kill()
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.OK) // asked a moment ago
	b.Clock.Advance(known)
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.Unavailable)
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.Unavailable)
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(unused)), codes.Unavailable)
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(otherToken(t))), codes.OK)
	_, err := policytest.Through(s.login, policytest.NewCall(nil), policytest.WireOf(t, "LoginReply", policytest.AdaReply))
	policytest.WantCode(t, err, codes.Unavailable)
	_, err = policytest.Through(s.logout, policytest.WithToken(token), nil)
	policytest.WantCode(t, err, codes.Unavailable)
	_, err = policytest.Through(s.open, policytest.WithToken(token), nil)
	policytest.WantCode(t, err, codes.Unavailable)

	// Without a logout there is nothing to ask.
	without := policytest.NewAuthBench(t, config, kinds.All()...)
	login := policytest.MustCompile(t, without.Compiler, policytest.ShopTarget("Login", policytest.LoginPolicyOf(policytest.TokenLogin(nil))))
	policytest.WantCode(t, policytest.LetIn(without.Set(t, policytest.JwtPolicy(nil)), policytest.WithToken(tokenSets{login: login}.logIn(t, policytest.AdaReply))), codes.OK)

	server.Restart()
	poll.Until(t, "the token's coming back", func() bool { return policytest.LetIn(s.call, policytest.WithToken(token)) == nil })
	logOut(t, s.logout, token)
	server.Restart()
	b.Clock.Advance(known)
	poll.Until(t, "the store's coming back", func() bool {
		return status.Code(policytest.LetIn(s.call, policytest.WithToken(token))) != codes.Unavailable
	})
	policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.Unauthenticated)
}

// TestLogoutAmidCalls: once the logout is answered nobody gets in.
func TestLogoutAmidCalls(t *testing.T) {
	b := policytest.NewAuthBench(t, policytest.TokenConfig(t, nil), kinds.All()...)
	s := compileTokenSets(t, b.Compiler)
	for range 20 {
		token := s.logIn(t, policytest.AdaReply)
		ended := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-ended:
						policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.Unauthenticated)
						return
					default:
						_ = policytest.LetIn(s.call, policytest.WithToken(token)) // in or out, both are right now
					}
				}
			})
		}
		logOut(t, s.logout, token)
		close(ended)
		all.Wait()
	}
}

// BenchmarkRevocableToken is what a call pays for a token that may be logged
// out.
func BenchmarkRevocableToken(b *testing.B) {
	bench := policytest.NewAuthBench(b, policytest.TokenConfig(b, nil), kinds.All()...)
	s := compileTokenSets(b, bench.Compiler)
	for name, raw := range map[string]string{"issued": s.logIn(b, policytest.AdaReply), "foreign": otherToken(b)} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			all := token.Of(bench.Generation)
			b.ReportAllocs()
			for b.Loop() {
				if err := all.Good(ctx, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRevocationIsKeptUntilTheTokenEnds: Redis forgets a logout when the token
// has ended, by its own clock.
func TestRevocationIsKeptUntilTheTokenEnds(t *testing.T) {
	policytest.EachClock(t, func(t *testing.T, server *redistest.Server) {
		b := policytest.NewAuthBench(t, policytest.TokenConfig(t, policytest.RedisConfig(server).Stores), kinds.All()...)
		s := compileTokenSets(t, b.Compiler)
		token := s.logIn(t, policytest.AdaReply)
		logOut(t, s.logout, token)
		server.Advance(15 * time.Minute) // and the leeway after it
		policytest.WantCode(t, policytest.LetIn(s.call, policytest.WithToken(token)), codes.Unauthenticated)
		server.Advance(time.Minute)
		if err := policytest.LetIn(s.call, policytest.WithToken(token)); err != nil {
			t.Errorf("after the end of what Redis keeps: %v, want that it is forgotten", err)
		}
	})
}
