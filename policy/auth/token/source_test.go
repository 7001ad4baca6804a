package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/token/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func urlBench(t testing.TB, address string) *policytest.AuthBench {
	t.Helper()
	return policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{policytest.JwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_JwksUrl{JwksUrl: address}
	})}}}, tokenKinds()...)
}

// TestKeysRotateUnderLoad replaces the keys again and again while calls come in
// with tokens of the newest one, or of the one before: none of them may fail.
func TestKeysRotateUnderLoad(t *testing.T) {
	k := keytest.TestKeys()
	secretOf := func(n int) (string, any, any, jwt.SigningMethod) {
		kid := fmt.Sprintf("key-%d", n)
		switch n % 3 {
		case 0:
			return kid, k.RSA, &k.RSA.PublicKey, jwt.SigningMethodRS256
		case 1:
			return kid, k.P256, &k.P256.PublicKey, jwt.SigningMethodES256
		}
		return kid, k.Ed, k.Ed.Public(), jwt.SigningMethodEdDSA
	}
	publish := func(n int) []byte {
		kid, _, public, _ := secretOf(n)
		before, _, old, _ := secretOf(n + 2) // the kind of the one before
		if n > 0 {
			before, _, old, _ = secretOf(n - 1)
		}
		return keytest.KeySetJSON(keytest.PublicJWK(public, kid, nil), keytest.PublicJWK(old, before, nil))
	}
	server := keytest.NewKeyServer(t, publish(0))
	b := urlBench(t, server.URL)
	set := b.Set(t, policytest.JwtPolicy(nil))

	type issued struct {
		number int64
		token  string
	}
	var current atomic.Pointer[issued]
	issue := func(n int) {
		kid, private, _, method := secretOf(n)
		current.Store(&issued{int64(n), keytest.Token(t, method, private, map[string]any{"kid": kid}, policytest.GoodClaims(map[string]any{"jti": kid}))})
	}
	issue(0)
	ctx, stop := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	var used [4]atomic.Int64 // the newest token that each caller has used
	for i := range used {
		callers.Go(func() {
			for ctx.Err() == nil {
				tok := current.Load()
				if err := policytest.LetIn(set, policytest.WithToken(tok.token)); err != nil {
					t.Errorf("token %d was refused: %v", tok.number, err)
					return
				}
				used[i].Store(tok.number)
			}
		})
	}
	for n := 1; n <= 12; n++ {
		server.Serve(publish(n))
		b.Clock.Advance(keys.AskEvery) // time enough to be granted one more fetch
		issue(n)
		poll.Until(t, "a call of each caller with the new key", func() bool {
			behind := false
			for i := range used {
				behind = behind || used[i].Load() < int64(n)
			}
			return !behind || t.Failed()
		})
	}
	stop()
	callers.Wait()
	if got := server.Fetches.Load(); got > 2*12+2 {
		t.Errorf("%d fetches for 12 rotations", got)
	}
}

func TestUnknownKeysAskForFewFetches(t *testing.T) {
	k := keytest.TestKeys()
	server := keytest.NewKeyServer(t, keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil)))
	b := urlBench(t, server.URL)
	set := b.Set(t, policytest.JwtPolicy(nil))
	for n := range 200 {
		tok := keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": fmt.Sprintf("made-up-%d", n)}, policytest.GoodClaims(nil))
		policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.Unauthenticated)
	}
	if got := server.Fetches.Load(); got > 1+keys.AskBurst {
		t.Errorf("200 made-up keys made %d fetches, want %d at most", got, 1+keys.AskBurst)
	}
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "ed"}, policytest.GoodClaims(nil)))), codes.OK)
}

// TestLastGoodKeysStay breaks the server in every way, and looks whether the
// old keys still hold.
func TestLastGoodKeysStay(t *testing.T) {
	k := keytest.TestKeys()
	good := keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil))
	server := keytest.NewKeyServer(t, good)
	b := urlBench(t, server.URL)
	set := b.Set(t, policytest.JwtPolicy(nil))
	tok := func(n int) string {
		return keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "ed"}, policytest.GoodClaims(map[string]any{"jti": n}))
	}
	other := keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "new"}, policytest.GoodClaims(nil))
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok(0))), codes.OK)
	for n, broken := range []struct {
		status int
		body   string
	}{
		{500, string(good)}, {200, ""}, {200, "<html>"}, {200, `{"keys":[]}`}, {200, `{"keys":7}`},
		{200, `{"keys":[{"kty":"oct","kid":"new","k":"` + strings.Repeat("A", 64) + `"}]}`},
		{200, `{"keys":[` + strings.Repeat(" ", keys.SetBytes) + `]}`}, {204, ""}, {304, ""},
	} {
		server.Status.Store(int32(broken.status))
		server.Serve([]byte(broken.body))
		b.Clock.Advance(10 * keys.AskEvery)
		from := server.Fetches.Load()
		policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(other)), codes.Unauthenticated)
		poll.Until(t, "a fetch", func() bool { return server.Fetches.Load() > from })
		policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok(n+1))), codes.OK)
		policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok(0))), codes.OK)
	}
}

func TestKeysThatWereNeverReadAreUnavailable(t *testing.T) {
	k := keytest.TestKeys()
	server := keytest.NewKeyServer(t, nil)
	server.Status.Store(http.StatusServiceUnavailable)
	b := urlBench(t, server.URL)
	set := b.Set(t, policytest.JwtPolicy(nil))
	tok := keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "ed"}, policytest.GoodClaims(nil))
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.Unavailable)
	policytest.WantCode(t, policytest.LetIn(set, policytest.NewCall(nil)), codes.Unauthenticated)

	server.Serve(keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil)))
	server.Status.Store(http.StatusOK)
	poll.Until(t, "the keys' coming back", func() bool { return policytest.LetIn(set, policytest.WithToken(tok)) == nil })
}

func TestRotationTakesOldTokensAway(t *testing.T) {
	k := keytest.TestKeys()
	file := filepath.Join(t.TempDir(), "keys.json")
	write := func(set []byte) {
		if err := os.WriteFile(file+".new", set, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil)))
	b := policytest.NewAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{policytest.JwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_JwksFile{JwksFile: file}
	})}}}, tokenKinds()...)
	set := b.Set(t, policytest.JwtPolicy(nil))
	tok := keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "ed"}, policytest.GoodClaims(nil))
	policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.OK)
	write(keytest.KeySetJSON(keytest.PublicJWK(&k.P256.PublicKey, "ec", nil)))
	poll.Until(t, "the end of a token whose key was taken away", func() bool {
		return status.Code(policytest.LetIn(set, policytest.WithToken(tok))) == codes.Unauthenticated
	})
}

func TestReloadKeepsKeysAndOfflineFetchesNone(t *testing.T) {
	k := keytest.TestKeys()
	server := keytest.NewKeyServer(t, keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil)))
	config := &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{policytest.JwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_JwksUrl{JwksUrl: server.URL}
	})}}}
	state := policy.NewState(policy.StateOptions{Now: policytest.NewClock().Now, Log: slog.New(slog.DiscardHandler)})
	defer func() { _ = state.Close() }()
	tok := keytest.Token(t, jwt.SigningMethodEdDSA, k.Ed, map[string]any{"kid": "ed"}, policytest.GoodClaims(nil))
	var before *policy.Compiler
	for range 20 {
		c, problems := policy.New(tokenKinds(), policy.Environment{Config: config, State: state})
		if len(problems) > 0 {
			t.Fatal(problems.Error())
		}
		if before != nil {
			before.Close()
		}
		before = c
		set := policytest.MustCompile(t, c, policy.Target{Layers: []policy.Layer{{Policy: policytest.JwtPolicy(nil)}}})
		policytest.WantCode(t, policytest.LetIn(set, policytest.WithToken(tok)), codes.OK)
	}
	before.Close()
	if got := server.Fetches.Load(); got != 1 {
		t.Errorf("20 reloads made %d fetches, want 1", got)
	}
	if n := state.Len(); n != 0 {
		t.Errorf("%d things are kept though nobody uses them", n)
	}

	offline := policy.NewState(policy.StateOptions{Offline: true})
	defer func() { _ = offline.Close() }()
	c, problems := policy.New(tokenKinds(), policy.Environment{Config: config, State: offline})
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	c.Close()
	if got := server.Fetches.Load(); got != 1 {
		t.Errorf("an offline state fetched keys")
	}
}

func FuzzToken(f *testing.F) {
	secret := keytest.TestKeys().Secret
	f.Add(policytest.SecretToken(f, nil))
	f.Add(rawHS256(`{"alg":"HS256"}`, `{"iss":"https://id.test","exp":1e9}`, []byte(secret)))
	f.Add("..")
	b := policytest.SecretBench(f, nil, tokenKinds()...)
	tokens := tokensOf(b)
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := tokens.check(context.Background(), raw)
		if err == nil && (v.identity.Principal == "" || v.token != raw) {
			t.Errorf("an accepted token without a principal: %q", raw)
		}
		if err != nil && !errors.Is(err, errToken) {
			t.Errorf("an error that is not about the token: %v", err)
		}
	})
}

// FuzzClaims signs what it is given: claims of any shape are refused or make a
// sane identity.
func FuzzClaims(f *testing.F) {
	secret := keytest.TestKeys().Secret
	f.Add(`{"iss":"https://id.test","aud":"bookstore","sub":"ada","exp":1795435200,"roles":["a"],"scope":"x y"}`)
	f.Add(`{"iss":"https://id.test","aud":["bookstore"],"sub":"a","exp":1.795435200e9,"roles":"a","scp":["x"],"n":{"m":[1,2.5,1e400]}}`)
	b := policytest.SecretBench(f, func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"n", "scope", "x"} }, tokenKinds()...)
	tokens := tokensOf(b)
	f.Fuzz(func(t *testing.T, payload string) {
		v, err := tokens.check(context.Background(), rawHS256(`{"alg":"HS256"}`, payload, []byte(secret)))
		if err != nil {
			return
		}
		if !auth.IsPrincipal(v.identity.Principal) {
			t.Errorf("principal %q", v.identity.Principal)
		}
		for _, value := range v.metadata {
			for i := range len(value) {
				if c := value[i]; c < ' ' || c > '~' {
					t.Errorf("metadata %q", value)
				}
			}
		}
	})
}
