package policy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// keyServer serves a key set over HTTP.
type keyServer struct {
	*httptest.Server
	set     atomic.Pointer[[]byte]
	status  atomic.Int32
	fetches atomic.Int32
}

func newKeyServer(t testing.TB, set []byte) *keyServer {
	s := &keyServer{}
	s.status.Store(http.StatusOK)
	s.set.Store(&set)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetches.Add(1)
		w.WriteHeader(int(s.status.Load()))
		_, _ = w.Write(*s.set.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) serve(set []byte) { s.set.Store(&set) }

func urlBench(t testing.TB, address string) *authBench {
	t.Helper()
	return newAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{jwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_JwksUrl{JwksUrl: address}
	})}}})
}

// TestKeysRotateUnderLoad replaces the keys again and again while calls come in
// with tokens of the newest one, or of the one before: none of them may fail.
func TestKeysRotateUnderLoad(t *testing.T) {
	k := testKeys()
	secretOf := func(n int) (string, any, any, jwt.SigningMethod) {
		kid := fmt.Sprintf("key-%d", n)
		switch n % 3 {
		case 0:
			return kid, k.rsa, &k.rsa.PublicKey, jwt.SigningMethodRS256
		case 1:
			return kid, k.p256, &k.p256.PublicKey, jwt.SigningMethodES256
		}
		return kid, k.ed, k.ed.Public(), jwt.SigningMethodEdDSA
	}
	publish := func(n int) []byte {
		kid, _, public, _ := secretOf(n)
		before, _, old, _ := secretOf(n + 2) // the kind of the one before
		if n > 0 {
			before, _, old, _ = secretOf(n - 1)
		}
		return keySetJSON(publicJWK(public, kid, nil), publicJWK(old, before, nil))
	}
	server := newKeyServer(t, publish(0))
	b := urlBench(t, server.URL)
	set := b.set(t, jwtPolicy(nil))

	type issued struct {
		number int64
		token  string
	}
	var current atomic.Pointer[issued]
	issue := func(n int) {
		kid, private, _, method := secretOf(n)
		current.Store(&issued{int64(n), token(t, method, private, map[string]any{"kid": kid}, goodClaims(map[string]any{"jti": kid}))})
	}
	issue(0)
	ctx, stop := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	var used [4]atomic.Int64 // the newest token that each caller has used
	for i := range used {
		callers.Go(func() {
			for ctx.Err() == nil {
				tok := current.Load()
				if err := letIn(set, withToken(tok.token)); err != nil {
					t.Errorf("token %d was refused: %v", tok.number, err)
					return
				}
				used[i].Store(tok.number)
			}
		})
	}
	for n := 1; n <= 12; n++ {
		server.serve(publish(n))
		b.clock.advance(keyAskEvery) // time enough to be granted one more fetch
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
	if got := server.fetches.Load(); got > 2*12+2 {
		t.Errorf("%d fetches for 12 rotations", got)
	}
}

// TestKeysThatCameMeanwhile: of many calls with a new key that wait for one
// another's fetch, none asks for one more.
func TestKeysThatCameMeanwhile(t *testing.T) {
	k := testKeys()
	server := newKeyServer(t, keySetJSON(publicJWK(k.ed.Public(), "new", nil)))
	b := urlBench(t, server.URL)
	wantCode(t, letIn(b.set(t, jwtPolicy(nil)), withToken(token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "new"}, goodClaims(nil)))), codes.OK)
	source := issuersOf(b.generation).list[0].source
	poll.Until(t, "the end of the first fetch", func() bool {
		source.mu.Lock()
		defer source.mu.Unlock()
		return !source.reading
	})
	from := server.fetches.Load()
	old := &keySet{}
	for range 2 * keyAskBurst {
		select {
		case <-source.nextAttempt(old):
		default:
			t.Fatal("a call that saw older keys waits, or is turned away")
		}
	}
	if got := server.fetches.Load(); got != from {
		t.Errorf("%d more fetches for keys that are there", got-from)
	}
}

func TestUnknownKeysAskForFewFetches(t *testing.T) {
	k := testKeys()
	server := newKeyServer(t, keySetJSON(publicJWK(k.ed.Public(), "ed", nil)))
	b := urlBench(t, server.URL)
	set := b.set(t, jwtPolicy(nil))
	for n := range 200 {
		tok := token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": fmt.Sprintf("made-up-%d", n)}, goodClaims(nil))
		wantCode(t, letIn(set, withToken(tok)), codes.Unauthenticated)
	}
	if got := server.fetches.Load(); got > 1+keyAskBurst {
		t.Errorf("200 made-up keys made %d fetches, want %d at most", got, 1+keyAskBurst)
	}
	wantCode(t, letIn(set, withToken(token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "ed"}, goodClaims(nil)))), codes.OK)
}

// TestLastGoodKeysStay breaks the server in every way, and looks whether the
// old keys still hold.
func TestLastGoodKeysStay(t *testing.T) {
	k := testKeys()
	good := keySetJSON(publicJWK(k.ed.Public(), "ed", nil))
	server := newKeyServer(t, good)
	b := urlBench(t, server.URL)
	set := b.set(t, jwtPolicy(nil))
	tok := func(n int) string {
		return token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "ed"}, goodClaims(map[string]any{"jti": n}))
	}
	other := token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "new"}, goodClaims(nil))
	wantCode(t, letIn(set, withToken(tok(0))), codes.OK)
	for n, broken := range []struct {
		status int
		body   string
	}{
		{500, string(good)}, {200, ""}, {200, "<html>"}, {200, `{"keys":[]}`}, {200, `{"keys":7}`},
		{200, `{"keys":[{"kty":"oct","kid":"new","k":"` + strings.Repeat("A", 64) + `"}]}`},
		{200, `{"keys":[` + strings.Repeat(" ", keySetBytes) + `]}`}, {204, ""}, {304, ""},
	} {
		server.status.Store(int32(broken.status))
		server.serve([]byte(broken.body))
		b.clock.advance(10 * keyAskEvery)
		from := server.fetches.Load()
		wantCode(t, letIn(set, withToken(other)), codes.Unauthenticated)
		poll.Until(t, "a fetch", func() bool { return server.fetches.Load() > from })
		wantCode(t, letIn(set, withToken(tok(n+1))), codes.OK)
		wantCode(t, letIn(set, withToken(tok(0))), codes.OK)
	}
}

func TestKeysThatWereNeverReadAreUnavailable(t *testing.T) {
	k := testKeys()
	server := newKeyServer(t, nil)
	server.status.Store(http.StatusServiceUnavailable)
	b := urlBench(t, server.URL)
	set := b.set(t, jwtPolicy(nil))
	tok := token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "ed"}, goodClaims(nil))
	wantCode(t, letIn(set, withToken(tok)), codes.Unavailable)
	wantCode(t, letIn(set, newCall(nil)), codes.Unauthenticated)

	server.serve(keySetJSON(publicJWK(k.ed.Public(), "ed", nil)))
	server.status.Store(http.StatusOK)
	poll.Until(t, "the keys' coming back", func() bool { return letIn(set, withToken(tok)) == nil })
}

// The log speaks of the last good keys only where there are some.
func TestLogOfKeysThatCannotBeRead(t *testing.T) {
	var log bytes.Buffer
	var reported string
	s := &keySource{
		name: "them", report: func(issuer, why string) { reported = issuer + ": " + why }, log: slog.New(slog.NewTextHandler(&log, nil)), attempt: make(chan struct{}),
		read: func(context.Context) ([]byte, error) { return nil, errors.New("refused") },
	}
	for _, want := range []string{"there are none yet, so its tokens cannot be checked and are refused", "the last good ones stay in use"} {
		log.Reset()
		if s.readOnce(t.Context()) || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "keys=them error=refused") {
			t.Errorf("the log says %q, expected %q", log.String(), want)
		}
		if !strings.HasPrefix(reported, "them: the keys of a token issuer cannot be read; "+want) || !strings.HasSuffix(reported, ": refused") {
			t.Errorf("reported: %q", reported)
		}
		s.current.Store(&keySet{})
	}
}

func TestRotationTakesOldTokensAway(t *testing.T) {
	k := testKeys()
	file := filepath.Join(t.TempDir(), "keys.json")
	write := func(set []byte) {
		if err := os.WriteFile(file+".new", set, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(keySetJSON(publicJWK(k.ed.Public(), "ed", nil)))
	b := newAuthBench(t, &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{jwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_JwksFile{JwksFile: file}
	})}}})
	set := b.set(t, jwtPolicy(nil))
	tok := token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "ed"}, goodClaims(nil))
	wantCode(t, letIn(set, withToken(tok)), codes.OK)
	write(keySetJSON(publicJWK(&k.p256.PublicKey, "ec", nil)))
	poll.Until(t, "the end of a token whose key was taken away", func() bool {
		return status.Code(letIn(set, withToken(tok))) == codes.Unauthenticated
	})
}

func TestReloadKeepsKeysAndOfflineFetchesNone(t *testing.T) {
	k := testKeys()
	server := newKeyServer(t, keySetJSON(publicJWK(k.ed.Public(), "ed", nil)))
	config := &transomv1.Config{Auth: &transomv1.AuthConfig{Jwt: []*transomv1.JwtIssuer{jwtIssuer(func(i *transomv1.JwtIssuer) {
		i.Keys = &transomv1.JwtIssuer_JwksUrl{JwksUrl: server.URL}
	})}}}
	state := NewState(StateOptions{Now: (&testClock{at: noon}).now, Log: slog.New(slog.DiscardHandler)})
	defer func() { _ = state.Close() }()
	tok := token(t, jwt.SigningMethodEdDSA, k.ed, map[string]any{"kid": "ed"}, goodClaims(nil))
	var before *Compiler
	for range 20 {
		c, problems := New(Kinds(), Environment{Config: config, State: state})
		if len(problems) > 0 {
			t.Fatal(problems.Error())
		}
		if before != nil {
			before.Close()
		}
		before = c
		set := mustCompile(t, c, Target{Layers: []Layer{{Policy: jwtPolicy(nil)}}})
		wantCode(t, letIn(set, withToken(tok)), codes.OK)
	}
	before.Close()
	if got := server.fetches.Load(); got != 1 {
		t.Errorf("20 reloads made %d fetches, want 1", got)
	}
	if len(state.kept) != 0 {
		t.Errorf("%d things are kept though nobody uses them", len(state.kept))
	}

	offline := NewState(StateOptions{Offline: true})
	defer func() { _ = offline.Close() }()
	c, problems := New(Kinds(), Environment{Config: config, State: offline})
	if len(problems) > 0 {
		t.Fatal(problems.Error())
	}
	c.Close()
	if got := server.fetches.Load(); got != 1 {
		t.Errorf("an offline state fetched keys")
	}
}

func TestKeyClientRefusesCleartext(t *testing.T) {
	plain := newKeyServer(t, keySetJSON())
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(secure.Close)
	client := keyClient()
	client.Transport = secure.Client().Transport
	if _, err := fetchKeys(client, secure.URL)(context.Background()); err == nil || !strings.Contains(err.Error(), "cleartext") {
		t.Errorf("a redirect from https to http gave %v", err)
	}
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	t.Cleanup(loop.Close)
	if _, err := fetchKeys(keyClient(), loop.URL)(context.Background()); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("endless redirects gave %v", err)
	}
}

// TestKeysInflate: net/http inflates what it is sent; the bound of a key set is that
// of the inflated one (Semantics 303).
func TestKeysInflate(t *testing.T) {
	serve := func(set []byte) string {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(set); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped.Bytes())
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	if set, err := fetchKeys(keyClient(), serve(keySetJSON()))(context.Background()); err != nil || !bytes.Equal(set, keySetJSON()) {
		t.Errorf("got %q, %v", set, err)
	}
	address := serve(make([]byte, 200*keySetBytes))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := fetchKeys(keyClient(), address)(context.Background())
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a bomb gave %v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 20*keySetBytes {
		t.Errorf("a bomb costs %d KiB", got>>10)
	}
}

func TestCleartextKeys(t *testing.T) {
	for address, want := range map[string]bool{
		"https://id.test/": false, "http://id.test/": true, "http://localhost:8/": false, "http://127.0.0.1/": false,
		"http://[::1]:8/": false, "http://10.0.0.1/": true,
	} {
		if got := cleartext(address); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}

func TestParseKeySet(t *testing.T) {
	k := testKeys()
	big := bytes.Repeat([]byte{0xff}, maxRSABits/8+1)
	good := publicJWK(k.ed.Public(), "good", nil)
	for name, left := range map[string]map[string]any{
		"for encryption":       publicJWK(k.ed.Public(), "k", map[string]any{"use": "enc"}),
		"not for verification": publicJWK(k.ed.Public(), "k", map[string]any{"key_ops": []string{"sign"}}),
		"another algorithm":    publicJWK(k.ed.Public(), "k", map[string]any{"alg": "RS256"}),
		"alg none":             publicJWK(k.ed.Public(), "k", map[string]any{"alg": "none"}),
		"HS256 on RSA":         publicJWK(&k.rsa.PublicKey, "k", map[string]any{"alg": "HS256"}),
		"a short secret":       publicJWK([]byte("short"), "k", nil),
		"an unknown kind":      {"kty": "LMS", "kid": "k"},
		"an unknown curve":     publicJWK(&k.p256.PublicKey, "k", map[string]any{"crv": "secp256k1"}),
		"X25519":               publicJWK(k.ed.Public(), "k", map[string]any{"crv": "X25519"}),
		"off the curve":        publicJWK(&k.p256.PublicKey, "k", map[string]any{"x": publicJWK(&k.p256.PublicKey, "", nil)["y"]}),
		"a short coordinate":   publicJWK(&k.p256.PublicKey, "k", map[string]any{"x": "AQ"}),
		"a small modulus":      publicJWK(&k.rsa.PublicKey, "k", map[string]any{"n": "AQAB"}),
		"a huge modulus":       publicJWK(&k.rsa.PublicKey, "k", map[string]any{"n": b64(string(big))}),
		"exponent 1":           publicJWK(&k.rsa.PublicKey, "k", map[string]any{"e": "AQ"}),
		"an even exponent":     publicJWK(&k.rsa.PublicKey, "k", map[string]any{"e": "AQAA"}),
		"a huge exponent":      publicJWK(&k.rsa.PublicKey, "k", map[string]any{"e": b64(string(big))}),
		"wrong types":          {"kty": 1, "kid": []int{}},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := parseKeySet(keySetJSON(left, good), true)
			if err != nil || len(set.keys) != 1 || set.keys[0].id != "good" {
				t.Errorf("got %v, %v, want the good key alone", set, err)
			}
		})
	}
	many := make([]map[string]any, keySetKeys+1)
	for i := range many {
		many[i] = good
	}
	if _, err := parseKeySet(keySetJSON(many...), true); err == nil {
		t.Errorf("%d keys were taken", len(many))
	}
	secret := publicJWK([]byte(k.secret), "s", nil)
	if _, err := parseKeySet(keySetJSON(secret), false); err == nil {
		t.Error("a secret that everyone can fetch was taken")
	}
	if set, err := parseKeySet(keySetJSON(secret), true); err != nil || len(set.find("s", "HS256")) != 1 {
		t.Errorf("a secret in a file: %v, %v", set, err)
	}
}

func FuzzParseKeySet(f *testing.F) {
	k := testKeys()
	f.Add(keySetJSON(publicJWK(&k.rsa.PublicKey, "rsa", nil), publicJWK(&k.p384.PublicKey, "ec", nil)))
	f.Add(keySetJSON(publicJWK(k.ed.Public(), "ed", nil), publicJWK([]byte(k.secret), "s", nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeySet(data, true)
		if err != nil {
			return
		}
		for _, key := range set.keys {
			if len(key.algorithms) == 0 {
				t.Error("a key for nothing")
			}
			for _, a := range key.algorithms {
				if err := jwt.GetSigningMethod(a).Verify("a.b", []byte("no signature"), key.key); err == nil || errors.Is(err, jwt.ErrInvalidKeyType) {
					t.Errorf("%s with %T: %v", a, key.key, err)
				}
			}
		}
	})
}

func FuzzToken(f *testing.F) {
	secret := testKeys().secret
	f.Add(secretToken(f, nil))
	f.Add(rawHS256(`{"alg":"HS256"}`, `{"iss":"https://id.test","exp":1e9}`, []byte(secret)))
	f.Add("..")
	b := secretBench(f, nil)
	tokens := tokensOf(b.set(f, jwtPolicy(nil)))
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
	secret := testKeys().secret
	f.Add(`{"iss":"https://id.test","aud":"bookstore","sub":"ada","exp":1795435200,"roles":["a"],"scope":"x y"}`)
	f.Add(`{"iss":"https://id.test","aud":["bookstore"],"sub":"a","exp":1.795435200e9,"roles":"a","scp":["x"],"n":{"m":[1,2.5,1e400]}}`)
	b := secretBench(f, func(i *transomv1.JwtIssuer) { i.ForwardClaims = []string{"n", "scope", "x"} })
	tokens := tokensOf(b.set(f, jwtPolicy(nil)))
	f.Fuzz(func(t *testing.T, payload string) {
		v, err := tokens.check(context.Background(), rawHS256(`{"alg":"HS256"}`, payload, []byte(secret)))
		if err != nil {
			return
		}
		if !isPrincipal(v.identity.Principal) {
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
