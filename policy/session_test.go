package policy

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/poll"
	"github.com/transom-gateway/transom/internal/redistest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// eachStore runs a test with sessions in memory and in Redis, whatever its clock
// shows.
func eachStore(t *testing.T, test func(t *testing.T, b *authBench, config *transomv1.Config)) {
	t.Run("memory", func(t *testing.T) {
		config := &transomv1.Config{Auth: &transomv1.AuthConfig{Session: &transomv1.SessionConfig{}}}
		test(t, newAuthBench(t, config, Kinds()...), config)
	})
	t.Run("redis", func(t *testing.T) {
		eachClock(t, func(t *testing.T, server *redistest.Server) {
			config := redisConfig(server)
			test(t, newAuthBench(t, config, Kinds()...), config)
		})
	})
}

func TestSessionLifecycle(t *testing.T) {
	eachStore(t, func(t *testing.T, b *authBench, _ *transomv1.Config) {
		s := compileSessionSets(t, b.Compiler)
		cookie := s.logIn(t, adaReply)
		if cookie.Name != "__Host-transom-session" || !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" ||
			cookie.SameSite != http.SameSiteLaxMode || len(cookie.Value) != 43 {
			t.Errorf("the cookie is %v", cookie)
		}
		r := withCookies(cookie)
		r.Metadata.Add("x-transom-claim-email", "forged")
		if err := letIn(s.call, r); err != nil {
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
		second := s.logIn(t, adaReply, cookie)
		if second.Value == cookie.Value {
			t.Error("the login keeps the session's id")
		}
		wantCode(t, letIn(s.call, withCookies(cookie)), codes.Unauthenticated)
		wantCode(t, letIn(s.call, withCookies(second)), codes.OK)

		// Logout of one.
		third := s.logIn(t, adaReply)
		r = withCookies(second)
		if _, err := through(s.logout, r, nil); err != nil {
			t.Fatal(err)
		}
		if gone := (&http.Response{Header: r.ResponseHeader}).Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Value != "" {
			t.Errorf("the logout sets %v", gone)
		}
		wantCode(t, letIn(s.call, withCookies(second)), codes.Unauthenticated)
		wantCode(t, letIn(s.call, withCookies(third)), codes.OK)

		// Logout of all.
		fourth, eve := s.logIn(t, adaReply), s.logIn(t, `user { id: "eve" }`)
		if _, err := through(s.logoutAll, withCookies(third), nil); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*http.Cookie{third, fourth} {
			wantCode(t, letIn(s.call, withCookies(c)), codes.Unauthenticated)
		}
		wantCode(t, letIn(s.call, withCookies(eve)), codes.OK)
		if _, err := through(s.logout, newCall(nil), nil); err != nil {
			t.Errorf("a logout without a session: %v", err)
		}
	})
}

// TestSessionExpiry: a session in Redis ends by the clock of Redis, wherever
// that stands, one in memory by the gateway's.
func TestSessionExpiry(t *testing.T) {
	limits := &transomv1.SessionConfig{Ttl: durationpb.New(10 * time.Minute), MaxTtl: durationpb.New(time.Hour)}
	t.Run("memory", func(t *testing.T) {
		b := newAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Session: limits}}, Kinds()...)
		testSessionExpiry(t, b, b.clock.advance)
		if n := sessionsOf(b.generation).inMemory(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
	t.Run("redis", func(t *testing.T) {
		eachClock(t, func(t *testing.T, server *redistest.Server) {
			config := redisConfig(server)
			config.Auth.Session = limits
			// Redis counts in milliseconds and lets a key live out its last one.
			advance := func(d time.Duration) { server.Advance(d + time.Millisecond) }
			testSessionExpiry(t, newAuthBench(t, config, Kinds()...), advance)
		})
	})
}

func testSessionExpiry(t *testing.T, b *authBench, advance func(time.Duration)) {
	s := compileSessionSets(t, b.Compiler)
	cookie := s.logIn(t, adaReply)
	if cookie.MaxAge != 3600 {
		t.Errorf("the cookie lives for %d s, want 3600", cookie.MaxAge)
	}
	for range 6 { // sliding: used every 9 minutes, it outlives its 10
		advance(9 * time.Minute)
		wantCode(t, letIn(s.call, withCookies(cookie)), codes.OK)
	}
	advance(6 * time.Minute) // absolute: one hour has passed
	wantCode(t, letIn(s.call, withCookies(cookie)), codes.Unauthenticated)

	idle := s.logIn(t, adaReply)
	advance(10 * time.Minute)
	wantCode(t, letIn(s.call, withCookies(idle)), codes.Unauthenticated)
}

func TestRedisSessionTTL(t *testing.T) { eachClock(t, testRedisSessionTTL) }

func testRedisSessionTTL(t *testing.T, server *redistest.Server) {
	config := redisConfig(server)
	config.Auth.Session = &transomv1.SessionConfig{Ttl: durationpb.New(10 * time.Hour), MaxTtl: durationpb.New(60 * time.Hour)}
	b := newAuthBench(t, config, Kinds()...)
	s := compileSessionSets(t, b.Compiler)
	cookie := s.logIn(t, adaReply)

	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.ReadTimeout, options.WriteTimeout = time.Minute, time.Minute
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
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
		wantCode(t, letIn(s.call, withCookies(cookie)), codes.OK)
	}
	near(ttl("transom:session:*"), 6*time.Hour) // what is left of the 60
	near(ttl("transom:sessions:*"), 6*time.Hour)
	// The gateway knows the end by its own clock, which stood still meanwhile.
	key, _, _ := sessionsOf(b.generation).key(withCookies(cookie).HTTP.Header)
	found, err := sessionsOf(b.generation).store.use(ctx, key, time.Hour)
	if err != nil || found == nil {
		t.Fatalf("%v, %v, want the session", found, err)
	}
	near(found.Ends.Sub(b.clock.now()), 6*time.Hour)
	server.Advance(6*time.Hour + time.Millisecond) // a key lives out its last one
	wantCode(t, letIn(s.call, withCookies(cookie)), codes.Unauthenticated)
	if n, _ := client.Keys(ctx, "transom:session*").Result(); len(n) != 0 {
		t.Errorf("%q are left", n)
	}
}

// TestSessionsAreShared: two gateways with one Redis know each other's
// sessions, and both survive its restart.
func TestSessionsAreShared(t *testing.T) { eachClock(t, testSessionsAreShared) }

func testSessionsAreShared(t *testing.T, server *redistest.Server) {
	one, two := newAuthBench(t, redisConfig(server), Kinds()...), newAuthBench(t, redisConfig(server), Kinds()...)
	first, second := compileSessionSets(t, one.Compiler), compileSessionSets(t, two.Compiler)
	cookie := first.logIn(t, adaReply)
	wantCode(t, letIn(second.call, withCookies(cookie)), codes.OK)

	server.Kill()
	for _, s := range []sessionSets{first, second} {
		wantCode(t, letIn(s.call, withCookies(cookie)), codes.Unavailable)
	}
	_, err := through(first.logout, withCookies(cookie), nil)
	wantCode(t, err, codes.Unavailable) // it must not look like a logout
	r := newCall(nil)
	_, err = through(first.login, r, wireOf(t, "LoginReply", adaReply))
	wantCode(t, err, codes.Unavailable)
	if r.ResponseHeader.Get("Set-Cookie") != "" {
		t.Error("a cookie for a session that was not stored")
	}
	server.Restart()
	for _, s := range []sessionSets{first, second} {
		poll.Until(t, "the session's coming back", func() bool { return letIn(s.call, withCookies(cookie)) == nil })
	}
	if _, err := through(second.logoutAll, withCookies(cookie), nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, letIn(first.call, withCookies(cookie)), codes.Unauthenticated)
}

// TestRedisThatHangs: no call waits longer than the limit for a store that
// swallows what it is sent.
func TestRedisThatHangs(t *testing.T) {
	server := redistest.Start(t)
	config := redisConfig(server)
	config.Stores.Redis.Timeout = durationpb.New(100 * time.Millisecond)
	b := newAuthBench(t, config, Kinds()...)
	s := compileSessionSets(t, b.Compiler)
	var cookie *http.Cookie
	poll.Until(t, "a login", func() bool {
		r := newCall(nil)
		_, err := through(s.login, r, wireOf(t, "LoginReply", adaReply))
		if err == nil {
			cookie = (&http.Response{Header: r.ResponseHeader}).Cookies()[0]
		}
		return err == nil
	})
	deadlines := &deadlineHook{limit: 100 * time.Millisecond}
	shared, err := redisOf(b.generation)
	if err != nil {
		t.Fatal(err)
	}
	shared.client.AddHook(deadlines)
	server.Pause()
	wantCode(t, letIn(s.call, withCookies(cookie)), codes.Unavailable)
	deadlines.check(t)
	server.Resume()
	poll.Until(t, "the session's coming back", func() bool { return letIn(s.call, withCookies(cookie)) == nil })
}

func TestSessionsOfOnePrincipalAreBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, b *authBench, _ *transomv1.Config) {
		s := compileSessionSets(t, b.Compiler)
		var cookies []*http.Cookie
		for range perPrincipal + 2 {
			cookies = append(cookies, s.logIn(t, adaReply))
			b.clock.advance(time.Second)
		}
		for i, c := range cookies {
			want := codes.OK
			if i < 2 {
				want = codes.Unauthenticated
			}
			wantCode(t, letIn(s.call, withCookies(c)), want)
		}
	})
}

func TestSessionSurvivesReload(t *testing.T) {
	eachStore(t, func(t *testing.T, b *authBench, config *transomv1.Config) {
		cookie := compileSessionSets(t, b.Compiler).logIn(t, adaReply)
		for range 3 {
			next, problems := New(Kinds(), Environment{Config: config, State: b.state})
			if len(problems) > 0 {
				t.Fatal(problems.Error())
			}
			b.Close()
			b.Compiler = next
			wantCode(t, letIn(compileSessionSets(t, next).call, withCookies(cookie)), codes.OK)
		}
		b.Close()
		b.Compiler, _ = New(Kinds(), Environment{Config: config, State: b.state})
	})
}

func TestBadSessionCookies(t *testing.T) {
	b := newAuthBench(t, &transomv1.Config{}, Kinds()...)
	s := compileSessionSets(t, b.Compiler)
	good := s.logIn(t, adaReply)
	for name, line := range map[string]string{
		"empty":            good.Name + "=",
		"too short":        good.Name + "=" + good.Value[:42],
		"too long":         good.Name + "=" + good.Value + "A",
		"another one":      good.Name + "=" + strings.Repeat("A", 43),
		"not base64":       good.Name + "=" + strings.Repeat("!", 43),
		"of a loose bit":   good.Name + "=" + looseBits(good.Value),
		"a hundred KB":     good.Name + "=" + strings.Repeat("A", 100<<10),
		"twice":            good.Name + "=" + good.Value + "; " + good.Name + "=" + good.Value,
		"of another name":  "x" + good.Name + "=" + good.Value,
		"in other letters": strings.ToUpper(good.Name) + "=" + good.Value,
		"none":             "",
	} {
		t.Run(name, func(t *testing.T) {
			r := newCall(func(r *Request) { r.HTTP.Header.Set("Cookie", line) })
			wantCode(t, letIn(s.call, r), codes.Unauthenticated)
			if got := r.ResponseHeader.Get("WWW-Authenticate"); got != `Cookie realm="transom", cookie-name="__Host-transom-session"` {
				t.Errorf("WWW-Authenticate: %s", got)
			}
		})
	}
}

func TestOtherSitesCannotUseSessions(t *testing.T) {
	config := &transomv1.Config{Auth: &transomv1.AuthConfig{Session: &transomv1.SessionConfig{TrustedOrigins: []string{"https://app.test"}}}}
	b := newAuthBench(t, config, Kinds()...)
	s := compileSessionSets(t, b.Compiler)
	cookie := s.logIn(t, adaReply)
	for _, test := range []struct {
		name, method, site, origin string
		socket                     bool
		want                       codes.Code
	}{
		{"no browser", "POST", "", "", false, codes.OK},
		{"same origin", "POST", "same-origin", "https://books.test", false, codes.OK},
		{"typed in", "POST", "none", "", false, codes.OK},
		{"another site", "POST", "cross-site", "https://evil.test", false, codes.PermissionDenied},
		{"another site, DELETE", "DELETE", "cross-site", "https://evil.test", false, codes.PermissionDenied},
		{"a sister site", "POST", "same-site", "https://evil.books.test", false, codes.PermissionDenied},
		{"an old browser, another site", "POST", "", "https://evil.test", false, codes.PermissionDenied},
		{"an old browser, same origin", "POST", "", "https://books.test", false, codes.OK},
		{"origin null", "POST", "", "null", false, codes.PermissionDenied},
		{"a trusted origin", "POST", "cross-site", "https://app.test", false, codes.OK},
		{"a link", "GET", "cross-site", "", false, codes.OK},
		{"a WebSocket of another site", "GET", "cross-site", "https://evil.test", true, codes.PermissionDenied},
		{"a WebSocket, old browser", "GET", "", "https://evil.test", true, codes.PermissionDenied},
		{"a WebSocket, same origin", "GET", "same-origin", "https://books.test", true, codes.OK},
		{"a WebSocket, trusted origin", "GET", "cross-site", "https://app.test", true, codes.OK},
	} {
		t.Run(test.name, func(t *testing.T) {
			edit := func(r *Request) *Request {
				r.HTTP.Method, r.WebSocket = test.method, test.socket
				for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Origin": test.origin} {
					if value != "" {
						r.HTTP.Header.Set(name, value)
					}
				}
				return r
			}
			wantCode(t, letIn(s.call, edit(withCookies(cookie))), test.want)
			login := test.want // a forced login
			if test.socket {
				login = codes.FailedPrecondition // of any site: see TestLoginByWebSocket
			}
			wantCode(t, letIn(s.login, edit(newCall(nil))), login)
			wantCode(t, letIn(s.logout, edit(withCookies(cookie))), test.want)
		})
	}
}

func TestMixed(t *testing.T) {
	b := secretBench(t, nil, Kinds()...)
	s := compileSessionSets(t, b.Compiler)
	mixed := b.set(t, mixedPolicy())
	cookie := s.logIn(t, adaReply)
	both := func(token string) *Request {
		r := withCookies(cookie)
		r.HTTP.Header.Set("Authorization", "Bearer "+token)
		return r
	}
	for name, test := range map[string]struct {
		r         *Request
		want      codes.Code
		mechanism string
	}{
		"a token":                      {withToken(secretToken(t, nil)), codes.OK, "jwt"},
		"a session":                    {withCookies(cookie), codes.OK, "session"},
		"a token and a session":        {both(secretToken(t, nil)), codes.OK, "jwt"},
		"a bad token and a session":    {both("x.y.z"), codes.Unauthenticated, ""},
		"nothing":                      {newCall(nil), codes.Unauthenticated, ""},
		"a bad session":                {withCookies(&http.Cookie{Name: cookie.Name, Value: "x"}), codes.Unauthenticated, ""},
		"another scheme and a session": {func() *Request { r := both(""); r.HTTP.Header.Set("Authorization", "Basic x"); return r }(), codes.OK, "session"},
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, letIn(mixed, test.r), test.want)
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
		{"max_ttl below ttl", &transomv1.SessionConfig{MaxTtl: durationpb.New(time.Minute)}, "auth.session.max_ttl: found 1m0s, expected ttl (1h0m0s)", ""},
		{"an origin with a path", &transomv1.SessionConfig{TrustedOrigins: []string{"https://a", "https://a/b"}}, "auth.session.trusted_origins[1]:", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := NewState(StateOptions{Log: slog.New(slog.DiscardHandler)})
			defer func() { _ = state.Close() }()
			c, problems := New(Kinds(), Environment{Config: &transomv1.Config{Auth: &transomv1.AuthConfig{Session: test.config}}, State: state,
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
			r := newCall(nil)
			if _, err := through(compileSessionSets(t, c).login, r, wireOf(t, "LoginReply", adaReply)); err != nil {
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
	eachStore(t, func(t *testing.T, b *authBench, _ *transomv1.Config) {
		s := compileSessionSets(t, b.Compiler)
		open := mustCompile(t, b.Compiler, shopTarget("Login", &transomv1.Policy{Logout: &transomv1.Logout{All: true}}))
		one, two := s.logIn(t, adaReply), s.logIn(t, adaReply)
		for _, r := range []*Request{newCall(nil), withCookies(&http.Cookie{Name: one.Name, Value: strings.Repeat("A", 43)})} {
			if _, err := through(open, r, nil); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, letIn(s.call, withCookies(two)), codes.OK)
		r := withCookies(one)
		r.ResponseHeader.Add("Set-Cookie", one.Name+"=set by the backend")
		r.ResponseHeader.Add("Set-Cookie", "theme=dark")
		if _, err := through(open, r, nil); err != nil {
			t.Fatal(err)
		}
		wantCode(t, letIn(s.call, withCookies(two)), codes.Unauthenticated)
		if got := r.ResponseHeader["Set-Cookie"]; len(got) != 2 || got[0] != "theme=dark" || !strings.HasPrefix(got[1], one.Name+"=;") {
			t.Errorf("cookies %q", got)
		}
	})
}
