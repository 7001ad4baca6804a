package policy

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/poll"
	"github.com/transom-gateway/transom/internal/redistest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// known is for how long a gateway goes by what the store said of a token.
const known = fresh

// tokenSets are the methods that tokens go through, from login to logout.
type tokenSets struct {
	login, call, mixed, logout, logoutAll, open, openAll *Set
}

func compileTokenSets(t testing.TB, c *Compiler) tokenSets {
	t.Helper()
	compile := func(p *transomv1.Policy) *Set { return mustCompile(t, c, shopTarget("Login", p)) }
	s := tokenSets{ // the methods that check come first: they must not depend on the order
		call:   compile(jwtPolicy(nil)),
		mixed:  compile(mixedPolicy()),
		logout: compile(&transomv1.Policy{Logout: &transomv1.Logout{}, Auth: jwtPolicy(nil).Auth}),
		open:   compile(&transomv1.Policy{Logout: &transomv1.Logout{}}),
	}
	s.logoutAll = compile(&transomv1.Policy{Logout: &transomv1.Logout{All: true}, Auth: mixedPolicy().Auth})
	s.openAll = compile(&transomv1.Policy{Logout: &transomv1.Logout{All: true}})
	s.login = compile(loginPolicyOf(tokenLogin(nil)))
	return s
}

// logIn gives a token.
func (s tokenSets) logIn(t testing.TB, reply string) string {
	t.Helper()
	r := newCall(nil)
	answer, err := through(s.login, r, wireOf(t, "LoginReply", reply))
	if err != nil {
		t.Fatal(err)
	}
	return issued(t, r, answer)
}

// logOut ends what a token may.
func logOut(t testing.TB, set *Set, token string) {
	t.Helper()
	if _, err := through(set, withToken(token), nil); err != nil {
		t.Fatal(err)
	}
}

func otherToken(t testing.TB) string {
	t.Helper()
	return token(t, jwt.SigningMethodEdDSA, testKeys().ed, nil, goodClaims(map[string]any{"iss": "https://other.test"}))
}

func eachRevocationStore(t *testing.T, test func(t *testing.T, config *transomv1.Config)) {
	t.Run("memory", func(t *testing.T) { test(t, tokenConfig(t, nil)) })
	t.Run("redis", func(t *testing.T) {
		eachClock(t, func(t *testing.T, server *redistest.Server) { test(t, tokenConfig(t, redisConfig(server).Stores)) })
	})
	t.Run("cluster", func(t *testing.T) { test(t, tokenConfig(t, redisConfig(redistest.StartCluster(t)).Stores)) })
}

func TestLogoutEndsIssuedTokens(t *testing.T) {
	eachRevocationStore(t, func(t *testing.T, config *transomv1.Config) {
		b := newAuthBench(t, config, Kinds()...)
		s := compileTokenSets(t, b.Compiler)
		first, second, eve := s.logIn(t, adaReply), s.logIn(t, adaReply), s.logIn(t, `user { id: "eve" }`)
		for _, token := range []string{first, second, eve} {
			wantCode(t, letIn(s.call, withToken(token)), codes.OK)
		}
		logOut(t, s.logout, first)
		r := withToken(first)
		wantCode(t, letIn(s.call, r), codes.Unauthenticated)
		if got := r.ResponseHeader.Get("WWW-Authenticate"); got != `Bearer realm="transom", error="invalid_token"` {
			t.Errorf("WWW-Authenticate: %s", got)
		}
		wantCode(t, letIn(s.mixed, withToken(first)), codes.Unauthenticated)
		wantCode(t, letIn(s.call, withToken(first)), codes.Unauthenticated) // verified anew, and refused anew
		wantCode(t, letIn(s.call, withToken(second)), codes.OK)

		// The method may be open; what it is sent then must be good to end anything.
		logOut(t, s.open, second)
		wantCode(t, letIn(s.call, withToken(second)), codes.Unauthenticated)
		logOut(t, s.open, "nonsense")
		logOut(t, s.open, first)

		// All tokens of one principal, but none that is issued afterwards.
		for _, all := range []*Set{s.logoutAll, s.openAll} {
			third, fourth := s.logIn(t, adaReply), s.logIn(t, adaReply)
			wantCode(t, letIn(s.call, withToken(fourth)), codes.OK)
			b.clock.advance(time.Millisecond)
			logOut(t, all, third)
			wantCode(t, letIn(s.call, withToken(third)), codes.Unauthenticated)
			wantCode(t, letIn(s.call, withToken(fourth)), codes.Unauthenticated)
			b.clock.advance(time.Millisecond)
			wantCode(t, letIn(s.call, withToken(s.logIn(t, adaReply))), codes.OK)
			wantCode(t, letIn(s.call, withToken(eve)), codes.OK)
		}

		// Tokens of others are not ours to end.
		other := otherToken(t)
		logOut(t, s.logout, other)
		b.clock.advance(known)
		wantCode(t, letIn(s.call, withToken(other)), codes.OK)
	})
}

// TestLogoutOfAllSessionsEndsTokens: who logs out everywhere with a cookie means
// the tokens too.
func TestLogoutOfAllSessionsEndsTokens(t *testing.T) {
	b := newAuthBench(t, tokenConfig(t, nil), Kinds()...)
	s := compileTokenSets(t, b.Compiler)
	cookie := compileSessionSets(t, b.Compiler).logIn(t, adaReply)
	token := s.logIn(t, adaReply)
	if _, err := through(s.logoutAll, withCookies(cookie), nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, letIn(s.call, withToken(token)), codes.Unauthenticated)
}

// TestLogoutHoldsAtOtherGateways has one that knows the token already: it finds
// out within fresh.
func TestLogoutHoldsAtOtherGateways(t *testing.T) { eachClock(t, testLogoutHoldsAtOtherGateways) }

func testLogoutHoldsAtOtherGateways(t *testing.T, server *redistest.Server) {
	config := tokenConfig(t, redisConfig(server).Stores)
	one, two := newAuthBench(t, config, Kinds()...), newAuthBench(t, config, Kinds()...)
	first, second := compileTokenSets(t, one.Compiler), compileTokenSets(t, two.Compiler)
	token, all := first.logIn(t, adaReply), first.logIn(t, `user { id: "eve" }`)
	wantCode(t, letIn(second.call, withToken(token)), codes.OK)
	wantCode(t, letIn(second.call, withToken(all)), codes.OK)
	logOut(t, first.logout, token)
	logOut(t, first.logoutAll, all)
	two.clock.advance(known)
	wantCode(t, letIn(second.call, withToken(token)), codes.Unauthenticated)
	wantCode(t, letIn(second.call, withToken(all)), codes.Unauthenticated)
	// One that never saw the token asks before it believes it.
	third := compileTokenSets(t, newAuthBench(t, config, Kinds()...).Compiler)
	wantCode(t, letIn(third.call, withToken(token)), codes.Unauthenticated)
}

// TestLogoutOfAllGoesByTheStoresClock has a token issued by a gateway whose clock is
// ahead and ended by one whose clock is right, then the other way round.
func TestLogoutOfAllGoesByTheStoresClock(t *testing.T) {
	eachClock(t, func(t *testing.T, server *redistest.Server) {
		config := tokenConfig(t, redisConfig(server).Stores)
		one, two := newAuthBench(t, config, Kinds()...), newAuthBench(t, config, Kinds()...)
		two.clock.advance(20 * time.Second) // within the leeway
		first, second := compileTokenSets(t, one.Compiler), compileTokenSets(t, two.Compiler)
		for _, pair := range [][2]tokenSets{{first, second}, {second, first}} {
			issues, ends := pair[0], pair[1]
			before := issues.logIn(t, adaReply)
			logOut(t, ends.logoutAll, ends.logIn(t, adaReply))
			wantCode(t, letIn(ends.call, withToken(before)), codes.Unauthenticated)
			after := issues.logIn(t, adaReply)
			wantCode(t, letIn(ends.call, withToken(after)), codes.OK)
			wantCode(t, letIn(issues.call, withToken(after)), codes.OK)
		}
	})
}

func TestLogoutOfTokensSurvivesReload(t *testing.T) {
	b := newAuthBench(t, tokenConfig(t, nil), Kinds()...)
	s := compileTokenSets(t, b.Compiler)
	token := s.logIn(t, adaReply)
	logOut(t, s.logout, token)
	next, problems := New(Kinds(), Environment{Config: b.generation.Config, State: b.state, Log: slog.New(slog.DiscardHandler)})
	defer next.Close()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	wantCode(t, letIn(compileTokenSets(t, next).call, withToken(token)), codes.Unauthenticated)
}

// TestRevocationStoreAway: without the store nobody can say whether a token was
// logged out. It is asked about nothing else.
func TestRevocationStoreAway(t *testing.T) { eachClock(t, testRevocationStoreAway) }

func testRevocationStoreAway(t *testing.T, server *redistest.Server) {
	config := tokenConfig(t, redisConfig(server).Stores)
	b := newAuthBench(t, config, Kinds()...)
	s := compileTokenSets(t, b.Compiler)
	token := s.logIn(t, adaReply)
	unused := s.logIn(t, adaReply)
	wantCode(t, letIn(s.call, withToken(token)), codes.OK)
	server.Kill()
	wantCode(t, letIn(s.call, withToken(token)), codes.OK) // asked a moment ago
	b.clock.advance(known)
	wantCode(t, letIn(s.call, withToken(token)), codes.Unavailable)
	wantCode(t, letIn(s.call, withToken(token)), codes.Unavailable)
	wantCode(t, letIn(s.call, withToken(unused)), codes.Unavailable)
	wantCode(t, letIn(s.call, withToken(otherToken(t))), codes.OK)
	_, err := through(s.login, newCall(nil), wireOf(t, "LoginReply", adaReply))
	wantCode(t, err, codes.Unavailable)
	_, err = through(s.logout, withToken(token), nil)
	wantCode(t, err, codes.Unavailable)
	_, err = through(s.open, withToken(token), nil)
	wantCode(t, err, codes.Unavailable)

	// Without a logout there is nothing to ask.
	without := newAuthBench(t, config, Kinds()...)
	login := mustCompile(t, without.Compiler, shopTarget("Login", loginPolicyOf(tokenLogin(nil))))
	wantCode(t, letIn(without.set(t, jwtPolicy(nil)), withToken(tokenSets{login: login}.logIn(t, adaReply))), codes.OK)

	server.Restart()
	poll.Until(t, "the token's coming back", func() bool { return letIn(s.call, withToken(token)) == nil })
	logOut(t, s.logout, token)
	server.Restart()
	b.clock.advance(known)
	poll.Until(t, "the store's coming back", func() bool { return status.Code(letIn(s.call, withToken(token))) != codes.Unavailable })
	wantCode(t, letIn(s.call, withToken(token)), codes.Unauthenticated)
}

// TestLogoutAmidCalls: once the logout is answered nobody gets in.
func TestLogoutAmidCalls(t *testing.T) {
	b := newAuthBench(t, tokenConfig(t, nil), Kinds()...)
	s := compileTokenSets(t, b.Compiler)
	for range 20 {
		token := s.logIn(t, adaReply)
		ended := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-ended:
						wantCode(t, letIn(s.call, withToken(token)), codes.Unauthenticated)
						return
					default:
						_ = letIn(s.call, withToken(token)) // in or out, both are right now
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
	bench := newAuthBench(b, tokenConfig(b, nil), Kinds()...)
	s := compileTokenSets(b, bench.Compiler)
	for name, raw := range map[string]string{"issued": s.logIn(b, adaReply), "foreign": otherToken(b)} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			all := issuersOf(bench.generation)
			b.ReportAllocs()
			for b.Loop() {
				if err := all.good(ctx, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRevocationIsKeptUntilTheTokenEnds: Redis forgets a logout when the token
// has ended, by its own clock.
func TestRevocationIsKeptUntilTheTokenEnds(t *testing.T) {
	eachClock(t, func(t *testing.T, server *redistest.Server) {
		b := newAuthBench(t, tokenConfig(t, redisConfig(server).Stores), Kinds()...)
		s := compileTokenSets(t, b.Compiler)
		token := s.logIn(t, adaReply)
		logOut(t, s.logout, token)
		server.Advance(15 * time.Minute) // and the leeway after it
		wantCode(t, letIn(s.call, withToken(token)), codes.Unauthenticated)
		server.Advance(time.Minute)
		if err := letIn(s.call, withToken(token)); err != nil {
			t.Errorf("after the end of what Redis keeps: %v, want that it is forgotten", err)
		}
	})
}
