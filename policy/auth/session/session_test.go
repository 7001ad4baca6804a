package session_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth/session"
	"github.com/transom-gateway/transom/policy/kinds"
	"github.com/transom-gateway/transom/policy/store"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// eachStore runs a test with sessions in memory and in Redis, whatever its clock
// shows.
func eachStore(t *testing.T, test func(t *testing.T, b *policytest.AuthBench, config *transomv1.Config)) {
	t.Run("memory", func(t *testing.T) {
		config := &transomv1.Config{Auth: &transomv1.AuthConfig{Session: &transomv1.SessionConfig{}}}
		test(t, policytest.NewAuthBench(t, config, kinds.All()...), config)
	})
	t.Run("redis", func(t *testing.T) {
		policytest.EachClock(t, func(t *testing.T, server *redistest.Server) {
			config := policytest.RedisConfig(server)
			test(t, policytest.NewAuthBench(t, config, kinds.All()...), config)
		})
	})
}

func TestSessionLifecycle(t *testing.T) {
	eachStore(t, func(t *testing.T, b *policytest.AuthBench, _ *transomv1.Config) {
		s := policytest.CompileSessionSets(t, b.Compiler)
		cookie := s.LogIn(t, policytest.AdaReply)
		if cookie.Name != "__Host-transom-session" || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" ||
			cookie.SameSite != http.SameSiteLaxMode || len(cookie.Value) != 43 {
			t.Errorf("the cookie is %v", cookie)
		}
		r := policytest.WithCookies(cookie)
		r.Metadata.Add("x-transom-claim-email", "forged")
		if err := policytest.LetIn(s.Call, r); err != nil {
			t.Fatal(err)
		}
		if id := r.Identity; id.Principal != "ada" || id.Mechanism != "session" || !slices.Equal(id.Roles, []string{"reader", "admin"}) ||
			id.Claims["number"] != int64(9007199254740993) {
			t.Errorf("identity %+v", id)
		}
		want := []string{"x-transom-principal", "ada", "x-transom-roles", "reader,admin",
			"x-transom-claim-email", "ada@x", "x-transom-claim-number", "9007199254740993"}
		if !slices.Equal(r.Metadata, want) {
			t.Errorf("metadata %q, want %q", r.Metadata, want)
		}

		// Rotation: a login with a session ends that one.
		second := s.LogIn(t, policytest.AdaReply, cookie)
		if second.Value == cookie.Value {
			t.Error("the login keeps the session's id")
		}
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.Unauthenticated)
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(second)), codes.OK)

		// Logout of one.
		third := s.LogIn(t, policytest.AdaReply)
		r = policytest.WithCookies(second)
		if _, err := policytest.Through(s.Logout, r, nil); err != nil {
			t.Fatal(err)
		}
		if gone := (&http.Response{Header: r.ResponseHeader}).Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Value != "" {
			t.Errorf("the logout sets %v", gone)
		}
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(second)), codes.Unauthenticated)
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(third)), codes.OK)

		// Logout of all.
		fourth, eve := s.LogIn(t, policytest.AdaReply), s.LogIn(t, `user { id: "eve" }`)
		if _, err := policytest.Through(s.LogoutAll, policytest.WithCookies(third), nil); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*http.Cookie{third, fourth} {
			policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(c)), codes.Unauthenticated)
		}
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(eve)), codes.OK)
		if _, err := policytest.Through(s.Logout, policytest.NewCall(nil), nil); err != nil {
			t.Errorf("a logout without a session: %v", err)
		}
	})
}

// TestSessionExpiry: a session in Redis ends by the clock of Redis, wherever
// that stands, one in memory by the gateway's.
func TestSessionExpiry(t *testing.T) {
	limits := &transomv1.SessionConfig{Ttl: durationpb.New(10 * time.Minute), MaxTtl: durationpb.New(time.Hour)}
	t.Run("memory", func(t *testing.T) {
		b := policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Session: limits}}, kinds.All()...)
		testSessionExpiry(t, b, b.Clock.Advance)
		if n := session.Of(b.Generation).InMemory(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
	t.Run("redis", func(t *testing.T) {
		policytest.EachClock(t, func(t *testing.T, server *redistest.Server) {
			config := policytest.RedisConfig(server)
			config.Auth.Session = limits
			// Redis counts in milliseconds and lets a key live out its last one.
			advance := func(d time.Duration) { server.Advance(d + time.Millisecond) }
			testSessionExpiry(t, policytest.NewAuthBench(t, config, kinds.All()...), advance)
		})
	})
}

func testSessionExpiry(t *testing.T, b *policytest.AuthBench, advance func(time.Duration)) {
	s := policytest.CompileSessionSets(t, b.Compiler)
	cookie := s.LogIn(t, policytest.AdaReply)
	if cookie.MaxAge != 3600 {
		t.Errorf("the cookie lives for %d s, want 3600", cookie.MaxAge)
	}
	for range 6 { // sliding: used every 9 minutes, it outlives its 10
		advance(9 * time.Minute)
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.OK)
	}
	advance(6 * time.Minute) // absolute: one hour has passed
	policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.Unauthenticated)

	idle := s.LogIn(t, policytest.AdaReply)
	advance(10 * time.Minute)
	policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(idle)), codes.Unauthenticated)
}

func TestRedisSessionTTL(t *testing.T) { policytest.EachClock(t, testRedisSessionTTL) }

func testRedisSessionTTL(t *testing.T, server *redistest.Server) {
	config := policytest.RedisConfig(server)
	config.Auth.Session = &transomv1.SessionConfig{Ttl: durationpb.New(10 * time.Hour), MaxTtl: durationpb.New(60 * time.Hour)}
	b := policytest.NewAuthBench(t, config, kinds.All()...)
	s := policytest.CompileSessionSets(t, b.Compiler)
	cookie := s.LogIn(t, policytest.AdaReply)

	client := server.Client(t)
	ctx := context.Background()
	ttl := func(pattern string) time.Duration {
		t.Helper()
		keys, err := client.Keys(ctx, pattern).Result()
		if err != nil || len(keys) != 1 {
			t.Fatalf("keys %q, %v, want one", keys, err)
		}
		if strings.Contains(keys[0], cookie.Value) {
			t.Error("the session's id stands in the store")
		}
		d, err := client.PTTL(ctx, keys[0]).Result()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	// What passes meanwhile on the machine's own clock passes for Redis too.
	near := func(got, want time.Duration) {
		t.Helper()
		if got > want || got < want-time.Hour {
			t.Errorf("it lives for %v, want about %v", got, want)
		}
	}
	near(ttl("transom:session:*"), 10*time.Hour)
	near(ttl("transom:sessions:*"), 60*time.Hour)
	for range 6 {
		server.Advance(9 * time.Hour)
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.OK)
	}
	near(ttl("transom:session:*"), 6*time.Hour) // what is left of the 60
	near(ttl("transom:sessions:*"), 6*time.Hour)
	// The gateway knows the end by its own clock, which stood still meanwhile.
	key, _, _ := session.Of(b.Generation).Key(policytest.WithCookies(cookie).HTTP.Header)
	found, err := session.Of(b.Generation).Store.Use(ctx, key, time.Hour)
	if err != nil || found == nil {
		t.Fatalf("%v, %v, want the session", found, err)
	}
	near(found.Ends.Sub(b.Clock.Now()), 6*time.Hour)
	server.Advance(6*time.Hour + time.Millisecond) // a key lives out its last one
	policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.Unauthenticated)
	if n, _ := client.Keys(ctx, "transom:session*").Result(); len(n) != 0 {
		t.Errorf("%q are left", n)
	}
}

// TestSessionsAreShared: two gateways with one Redis know each other's
// sessions, and both survive its restart.
func TestSessionsAreShared(t *testing.T) { policytest.EachClock(t, testSessionsAreShared) }

func testSessionsAreShared(t *testing.T, server *redistest.Server) {
	one, two := policytest.NewAuthBench(t, policytest.RedisConfig(server), kinds.All()...), policytest.NewAuthBench(t, policytest.RedisConfig(server), kinds.All()...)
	first, second := policytest.CompileSessionSets(t, one.Compiler), policytest.CompileSessionSets(t, two.Compiler)
	cookie := first.LogIn(t, policytest.AdaReply)
	policytest.WantCode(t, policytest.LetIn(second.Call, policytest.WithCookies(cookie)), codes.OK)

	server.Kill()
	for _, s := range []policytest.SessionSets{first, second} {
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.Unavailable)
	}
	_, err := policytest.Through(first.Logout, policytest.WithCookies(cookie), nil)
	policytest.WantCode(t, err, codes.Unavailable) // it must not look like a logout
	r := policytest.NewCall(nil)
	_, err = policytest.Through(first.Login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply))
	policytest.WantCode(t, err, codes.Unavailable)
	if r.ResponseHeader.Get("Set-Cookie") != "" {
		t.Error("a cookie for a session that was not stored")
	}
	server.Restart()
	for _, s := range []policytest.SessionSets{first, second} {
		poll.Until(t, "the session's coming back", func() bool { return policytest.LetIn(s.Call, policytest.WithCookies(cookie)) == nil })
	}
	if _, err := policytest.Through(second.LogoutAll, policytest.WithCookies(cookie), nil); err != nil {
		t.Fatal(err)
	}
	policytest.WantCode(t, policytest.LetIn(first.Call, policytest.WithCookies(cookie)), codes.Unauthenticated)
}

// TestRedisThatHangs: no call waits longer than the limit for a store that
// swallows what it is sent.
func TestRedisThatHangs(t *testing.T) {
	server := redistest.Start(t)
	config := policytest.RedisConfig(server)
	config.Stores.Redis.Timeout = durationpb.New(100 * time.Millisecond)
	b := policytest.NewAuthBench(t, config, kinds.All()...)
	s := policytest.CompileSessionSets(t, b.Compiler)
	var cookie *http.Cookie
	poll.Until(t, "a login", func() bool {
		r := policytest.NewCall(nil)
		_, err := policytest.Through(s.Login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply))
		if err == nil {
			cookie = (&http.Response{Header: r.ResponseHeader}).Cookies()[0]
		}
		return err == nil
	})
	deadlines := &policytest.DeadlineHook{Limit: 100 * time.Millisecond}
	shared, err := store.Of(b.Generation)
	if err != nil {
		t.Fatal(err)
	}
	shared.Client.AddHook(deadlines)
	server.Pause()
	policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.Unavailable)
	deadlines.Check(t)
	server.Resume()
	poll.Until(t, "the session's coming back", func() bool { return policytest.LetIn(s.Call, policytest.WithCookies(cookie)) == nil })
}

func TestSessionsOfOnePrincipalAreBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, b *policytest.AuthBench, _ *transomv1.Config) {
		s := policytest.CompileSessionSets(t, b.Compiler)
		var cookies []*http.Cookie
		for range session.PerPrincipal + 2 {
			cookies = append(cookies, s.LogIn(t, policytest.AdaReply))
			b.Clock.Advance(time.Second)
		}
		for i, c := range cookies {
			want := codes.OK
			if i < 2 {
				want = codes.Unauthenticated
			}
			policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(c)), want)
		}
	})
}

func TestSessionSurvivesReload(t *testing.T) {
	eachStore(t, func(t *testing.T, b *policytest.AuthBench, config *transomv1.Config) {
		cookie := policytest.CompileSessionSets(t, b.Compiler).LogIn(t, policytest.AdaReply)
		for range 3 {
			next, problems := policy.New(kinds.All(), policy.Environment{Config: config, State: b.State})
			if len(problems) > 0 {
				t.Fatal(problems.Error())
			}
			b.Close()
			b.Compiler = next
			policytest.WantCode(t, policytest.LetIn(policytest.CompileSessionSets(t, next).Call, policytest.WithCookies(cookie)), codes.OK)
		}
		b.Close()
		b.Compiler, _ = policy.New(kinds.All(), policy.Environment{Config: config, State: b.State})
	})
}

func TestBadSessionCookies(t *testing.T) {
	b := policytest.NewAuthBench(t, &transomv1.Config{}, kinds.All()...)
	s := policytest.CompileSessionSets(t, b.Compiler)
	good := s.LogIn(t, policytest.AdaReply)
	for name, line := range map[string]string{
		"empty":            good.Name + "=",
		"too short":        good.Name + "=" + good.Value[:42],
		"too long":         good.Name + "=" + good.Value + "A",
		"another one":      good.Name + "=" + strings.Repeat("A", 43),
		"not base64":       good.Name + "=" + strings.Repeat("!", 43),
		"of a loose bit":   good.Name + "=" + keytest.LooseBits(good.Value),
		"a hundred KB":     good.Name + "=" + strings.Repeat("A", 100<<10),
		"twice":            good.Name + "=" + good.Value + "; " + good.Name + "=" + good.Value,
		"of another name":  "x" + good.Name + "=" + good.Value,
		"in other letters": strings.ToUpper(good.Name) + "=" + good.Value,
		"none":             "",
	} {
		t.Run(name, func(t *testing.T) {
			r := policytest.NewCall(func(r *policy.Request) { r.HTTP.Header.Set("Cookie", line) })
			policytest.WantCode(t, policytest.LetIn(s.Call, r), codes.Unauthenticated)
			if got := r.ResponseHeader.Get("WWW-Authenticate"); got != `Cookie realm="transom", cookie-name="__Host-transom-session"` {
				t.Errorf("WWW-Authenticate: %s", got)
			}
		})
	}
}

func TestMixed(t *testing.T) {
	b := policytest.SecretBench(t, nil, kinds.All()...)
	s := policytest.CompileSessionSets(t, b.Compiler)
	mixed := b.Set(t, policytest.MixedPolicy())
	cookie := s.LogIn(t, policytest.AdaReply)
	both := func(token string) *policy.Request {
		r := policytest.WithCookies(cookie)
		r.HTTP.Header.Set("Authorization", "Bearer "+token)
		return r
	}
	for name, test := range map[string]struct {
		r         *policy.Request
		want      codes.Code
		mechanism string
	}{
		"a token":                      {policytest.WithToken(policytest.SecretToken(t, nil)), codes.OK, "jwt"},
		"a session":                    {policytest.WithCookies(cookie), codes.OK, "session"},
		"a token and a session":        {both(policytest.SecretToken(t, nil)), codes.OK, "jwt"},
		"a bad token and a session":    {both("x.y.z"), codes.Unauthenticated, ""},
		"nothing":                      {policytest.NewCall(nil), codes.Unauthenticated, ""},
		"a bad session":                {policytest.WithCookies(&http.Cookie{Name: cookie.Name, Value: "x"}), codes.Unauthenticated, ""},
		"another scheme and a session": {func() *policy.Request { r := both(""); r.HTTP.Header.Set("Authorization", "Basic x"); return r }(), codes.OK, "session"},
	} {
		t.Run(name, func(t *testing.T) {
			policytest.WantCode(t, policytest.LetIn(mixed, test.r), test.want)
			if test.want == codes.OK && test.r.Identity.Mechanism != test.mechanism {
				t.Errorf("by %s, want %s", test.r.Identity.Mechanism, test.mechanism)
			}
		})
	}
}

func TestSessionConfig(t *testing.T) {
	for _, test := range []struct {
		name   string
		config *transomv1.SessionConfig
		want   string // in the problem; empty: it is good
		cookie string // how Set-Cookie begins or what it holds
	}{
		{"default", nil, "", "__Host-transom-session="},
		{"a name", &transomv1.SessionConfig{Cookie: "sid"}, "", "sid="},
		{"insecure", &transomv1.SessionConfig{Insecure: true}, "", "transom-session="},
		{"strict", &transomv1.SessionConfig{SameSite: transomv1.SessionConfig_STRICT}, "", "SameSite=Strict"},
		{"cross site", &transomv1.SessionConfig{SameSite: transomv1.SessionConfig_CROSS_SITE}, "", "SameSite=None"},
		{"ttl above the default of max_ttl", &transomv1.SessionConfig{Ttl: durationpb.New(48 * time.Hour)}, "", "Max-Age=172800"},
		{"insecure __Host-", &transomv1.SessionConfig{Insecure: true, Cookie: "__host-x"}, "auth.session.insecure: browsers refuse", ""},
		{"insecure __Secure-", &transomv1.SessionConfig{Insecure: true, Cookie: "__Secure-x"}, "auth.session.insecure: browsers refuse", ""},
		{"insecure cross site", &transomv1.SessionConfig{Insecure: true, SameSite: transomv1.SessionConfig_CROSS_SITE}, "auth.session.same_site:", ""},
		{"an unknown same_site", &transomv1.SessionConfig{SameSite: 9}, "auth.session.same_site: found 9", ""},
		{"a bad name", &transomv1.SessionConfig{Cookie: "a b"}, `auth.session.cookie: found "a b"`, ""},
		{"a negative ttl", &transomv1.SessionConfig{Ttl: durationpb.New(-1)}, "auth.session.ttl: found", ""},
		{"max_ttl below ttl", &transomv1.SessionConfig{MaxTtl: durationpb.New(time.Minute)}, "auth.session.max_ttl: found 1m, expected ttl (1h)", ""},
		{"an origin with a path", &transomv1.SessionConfig{TrustedOrigins: []string{"https://a", "https://a/b"}}, "auth.session.trusted_origins[1]:", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := policy.NewState(policy.StateOptions{Log: slog.New(slog.DiscardHandler)})
			defer func() { _ = state.Close() }()
			c, problems := policy.New(kinds.All(), policy.Environment{Config: &transomv1.Config{Auth: &transomv1.AuthConfig{Session: test.config}}, State: state,
				Position: func(path string) string { return "transom.yaml:3:5" }})
			defer c.Close()
			if test.want != "" {
				if len(problems) != 1 || !strings.HasPrefix(problems.Error(), "transom.yaml:3:5: "+test.want) {
					t.Errorf("got %q, want %q", problems, test.want)
				}
				return
			}
			if len(problems) > 0 {
				t.Fatal(problems.Error())
			}
			r := policytest.NewCall(nil)
			if _, err := policytest.Through(policytest.CompileSessionSets(t, c).Login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply)); err != nil {
				t.Fatal(err)
			}
			got := r.ResponseHeader.Get("Set-Cookie")
			if !strings.Contains(got, test.cookie) || strings.Contains(got, "Secure") == test.config.GetInsecure() {
				t.Errorf("Set-Cookie %s, want %s", got, test.cookie)
			}
		})
	}
}

// TestLogoutAllOfAnOpenMethod: without auth the session tells whose sessions
// end.
func TestLogoutAllOfAnOpenMethod(t *testing.T) {
	eachStore(t, func(t *testing.T, b *policytest.AuthBench, _ *transomv1.Config) {
		s := policytest.CompileSessionSets(t, b.Compiler)
		open := policytest.MustCompile(t, b.Compiler, policytest.ShopTarget("Login", &transomv1.Policy{Logout: &transomv1.Logout{All: true}}))
		one, two := s.LogIn(t, policytest.AdaReply), s.LogIn(t, policytest.AdaReply)
		for _, r := range []*policy.Request{policytest.NewCall(nil), policytest.WithCookies(&http.Cookie{Name: one.Name, Value: strings.Repeat("A", 43)})} {
			if _, err := policytest.Through(open, r, nil); err != nil {
				t.Fatal(err)
			}
		}
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(two)), codes.OK)
		r := policytest.WithCookies(one)
		r.ResponseHeader.Add("Set-Cookie", one.Name+"=set by the backend")
		r.ResponseHeader.Add("Set-Cookie", "theme=dark")
		if _, err := policytest.Through(open, r, nil); err != nil {
			t.Fatal(err)
		}
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(two)), codes.Unauthenticated)
		if got := r.ResponseHeader["Set-Cookie"]; len(got) != 2 || got[0] != "theme=dark" || !strings.HasPrefix(got[1], one.Name+"=;") {
			t.Errorf("cookies %q", got)
		}
	})
}
