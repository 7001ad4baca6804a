package keys

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestKeysThatCameMeanwhile: of many calls with a new key that wait for one
// another's fetch, none asks for one more.
func TestKeysThatCameMeanwhile(t *testing.T) {
	k := keytest.TestKeys()
	server := keytest.NewKeyServer(t, keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "new", nil)))
	source, err := OpenURL(policytest.NewAuthBench(t, nil).Generation, "https://id.test", server.URL, DefaultRefresh)
	if err != nil {
		t.Fatal(err)
	}
	if set := source.KeysWith(t.Context(), "new"); set == nil || !set.knows("new") {
		t.Fatalf("found %v, want the new key", set)
	}
	poll.Until(t, "the end of the first fetch", func() bool {
		source.mu.Lock()
		defer source.mu.Unlock()
		return !source.reading
	})
	from := server.Fetches.Load()
	old := &Set{}
	for range 2 * AskBurst {
		select {
		case <-source.nextAttempt(old):
		default:
			t.Fatal("a call that saw older keys waits, or is turned away")
		}
	}
	if got := server.Fetches.Load(); got != from {
		t.Errorf("%d more fetches for keys that are there", got-from)
	}
}

// The log speaks of the last good keys only where there are some.
func TestLogOfKeysThatCannotBeRead(t *testing.T) {
	var log bytes.Buffer
	var reported string
	start := time.Now()
	now := start
	s := &Source{
		name: "them", report: func(what, why string) { reported = "not reloaded: " + what + ": " + why },
		reportNever: func(what, why string) { reported = "never read: " + what + ": " + why },
		now:         func() time.Time { now = now.Add(time.Hour); return now }, log: slog.New(slog.NewTextHandler(&log, nil)), attempt: make(chan struct{}),
		read: func(context.Context) ([]byte, error) { return nil, errors.New("refused") },
	}
	since := " since " + start.Add(time.Hour).UTC().Format(time.RFC3339)
	const none, some = "there are none yet, so its tokens cannot be checked and are refused", "the last good ones stay in use"
	for _, test := range []struct {
		head, since, want string
		readBefore        bool
	}{
		{"never read", since, none, false},
		{"never read", since, none, false}, // an hour later
		{"not reloaded", "", some, true},
	} {
		want := test.want
		if test.readBefore {
			s.current.Store(&Set{})
		}
		log.Reset()
		if s.readOnce(t.Context()) || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "keys=them error=refused") {
			t.Errorf("the log says %q, expected %q", log.String(), want)
		}
		if reported != test.head+": keys of them: the keys of a token issuer cannot be read"+test.since+"; "+want+": refused" {
			t.Errorf("Semantics 322: reported: %q", reported)
		}
	}
}

func TestKeyClientRefusesCleartext(t *testing.T) {
	plain := keytest.NewKeyServer(t, keytest.KeySetJSON())
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	t.Cleanup(secure.Close)
	client := newClient()
	client.Transport = secure.Client().Transport
	if _, err := fetch(client, secure.URL)(context.Background()); err == nil || !strings.Contains(err.Error(), "cleartext") {
		t.Errorf("a redirect from https to http gave %v", err)
	}
	loop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	t.Cleanup(loop.Close)
	if _, err := fetch(newClient(), loop.URL)(context.Background()); err == nil || !strings.Contains(err.Error(), "redirects") {
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
	if set, err := fetch(newClient(), serve(keytest.KeySetJSON()))(context.Background()); err != nil || !bytes.Equal(set, keytest.KeySetJSON()) {
		t.Errorf("got %q, %v", set, err)
	}
	address := serve(make([]byte, 200*SetBytes))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := fetch(newClient(), address)(context.Background())
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("a bomb gave %v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 20*SetBytes {
		t.Errorf("a bomb costs %d KiB", got>>10)
	}
}

func TestCleartextKeys(t *testing.T) {
	for address, want := range map[string]bool{
		"https://id.test/": false, "http://id.test/": true, "http://localhost:8/": false, "http://127.0.0.1/": false,
		"http://[::1]:8/": false, "http://10.0.0.1/": true,
	} {
		if got := Cleartext(address); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}

func TestParseKeySet(t *testing.T) {
	k := keytest.TestKeys()
	big := bytes.Repeat([]byte{0xff}, MaxRSABits/8+1)
	good := keytest.PublicJWK(k.Ed.Public(), "good", nil)
	for name, left := range map[string]map[string]any{
		"for encryption":       keytest.PublicJWK(k.Ed.Public(), "k", map[string]any{"use": "enc"}),
		"not for verification": keytest.PublicJWK(k.Ed.Public(), "k", map[string]any{"key_ops": []string{"sign"}}),
		"another algorithm":    keytest.PublicJWK(k.Ed.Public(), "k", map[string]any{"alg": "RS256"}),
		"alg none":             keytest.PublicJWK(k.Ed.Public(), "k", map[string]any{"alg": "none"}),
		"HS256 on RSA":         keytest.PublicJWK(&k.RSA.PublicKey, "k", map[string]any{"alg": "HS256"}),
		"a short secret":       keytest.PublicJWK([]byte("short"), "k", nil),
		"an unknown kind":      {"kty": "LMS", "kid": "k"},
		"an unknown curve":     keytest.PublicJWK(&k.P256.PublicKey, "k", map[string]any{"crv": "secp256k1"}),
		"X25519":               keytest.PublicJWK(k.Ed.Public(), "k", map[string]any{"crv": "X25519"}),
		"off the curve":        keytest.PublicJWK(&k.P256.PublicKey, "k", map[string]any{"x": keytest.PublicJWK(&k.P256.PublicKey, "", nil)["y"]}),
		"a short coordinate":   keytest.PublicJWK(&k.P256.PublicKey, "k", map[string]any{"x": "AQ"}),
		"a small modulus":      keytest.PublicJWK(&k.RSA.PublicKey, "k", map[string]any{"n": "AQAB"}),
		"a huge modulus":       keytest.PublicJWK(&k.RSA.PublicKey, "k", map[string]any{"n": keytest.B64(string(big))}),
		"exponent 1":           keytest.PublicJWK(&k.RSA.PublicKey, "k", map[string]any{"e": "AQ"}),
		"an even exponent":     keytest.PublicJWK(&k.RSA.PublicKey, "k", map[string]any{"e": "AQAA"}),
		"a huge exponent":      keytest.PublicJWK(&k.RSA.PublicKey, "k", map[string]any{"e": keytest.B64(string(big))}),
		"wrong types":          {"kty": 1, "kid": []int{}},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := ParseSet(keytest.KeySetJSON(left, good), true)
			if err != nil || len(set.Keys) != 1 || set.Keys[0].id != "good" {
				t.Errorf("got %v, %v, want the good key alone", set, err)
			}
		})
	}
	many := make([]map[string]any, setKeys+1)
	for i := range many {
		many[i] = good
	}
	if _, err := ParseSet(keytest.KeySetJSON(many...), true); err == nil {
		t.Errorf("%d keys were taken", len(many))
	}
	secret := keytest.PublicJWK([]byte(k.Secret), "s", nil)
	if _, err := ParseSet(keytest.KeySetJSON(secret), false); err == nil {
		t.Error("a secret that everyone can fetch was taken")
	}
	if set, err := ParseSet(keytest.KeySetJSON(secret), true); err != nil || len(set.Find("s", "HS256")) != 1 {
		t.Errorf("a secret in a file: %v, %v", set, err)
	}
}

func FuzzParseKeySet(f *testing.F) {
	k := keytest.TestKeys()
	f.Add(keytest.KeySetJSON(keytest.PublicJWK(&k.RSA.PublicKey, "rsa", nil), keytest.PublicJWK(&k.P384.PublicKey, "ec", nil)))
	f.Add(keytest.KeySetJSON(keytest.PublicJWK(k.Ed.Public(), "ed", nil), keytest.PublicJWK([]byte(k.Secret), "s", nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseSet(data, true)
		if err != nil {
			return
		}
		for _, key := range set.Keys {
			if len(key.Algorithms) == 0 {
				t.Error("a key for nothing")
			}
			for _, a := range key.Algorithms {
				if err := jwt.GetSigningMethod(a).Verify("a.b", []byte("no signature"), key.Key); err == nil || errors.Is(err, jwt.ErrInvalidKeyType) {
					t.Errorf("%s with %T: %v", a, key.Key, err)
				}
			}
		}
	})
}
