package token

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

func TestRevocationsInMemoryAreBounded(t *testing.T) {
	clock := &policytest.TestClock{At: policytest.Noon}
	m := newMemoryRevocations(clock.Now)
	m.max = 3
	ctx := context.Background()
	name := func(n byte) tokenName { return tokenName{token: sha256.Sum256([]byte{n})} }
	for n := range byte(3) {
		if err := m.revoke(ctx, name(n), policytest.Noon.Add(time.Duration(n+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.revoke(ctx, name(3), policytest.Noon.Add(time.Hour)); err == nil {
		t.Error("a fourth one is remembered")
	}
	// The same again takes no place, and lives until its new end.
	if err := m.revoke(ctx, name(0), policytest.Noon.Add(90*time.Second)); err != nil {
		t.Error(err)
	}
	clock.Advance(time.Minute)
	if err := m.revoke(ctx, name(3), policytest.Noon.Add(time.Hour)); err == nil {
		t.Error("one was forgotten before its end")
	}
	clock.Advance(time.Minute) // two are over
	if err := m.revoke(ctx, name(3), policytest.Noon.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	for n, want := range []bool{false, false, true, true} {
		if got, _ := m.revoked(ctx, name(byte(n)), policytest.Noon); got != want {
			t.Errorf("%d: %t, want %t", n, got, want)
		}
	}
	if len(m.over) != 2 || len(m.ends) != 2 {
		t.Errorf("%d names and %d ends are left", len(m.over), len(m.ends))
	}
}

func TestMomentOfIssue(t *testing.T) {
	at := policytest.Noon.Add(123456789 * time.Nanosecond)
	iat := float64(policytest.Noon.Unix())
	for name, test := range map[string]struct {
		claims jwt.MapClaims
		want   time.Time
	}{
		"ours":                     {jwt.MapClaims{"iat": iat, "jti": newTokenID(at)}, at},
		"the store's clock":        {jwt.MapClaims{"iat": iat, "jti": newTokenID(at.AddDate(1, 0, 0))}, at.AddDate(1, 0, 0)},
		"somebody else's id":       {jwt.MapClaims{"iat": iat, "jti": "7"}, policytest.Noon},
		"one as long as ours":      {jwt.MapClaims{"iat": iat, "jti": strings.Repeat("A", 43)}, policytest.Noon},
		"an id that is no string":  {jwt.MapClaims{"iat": iat, "jti": 7.0}, policytest.Noon},
		"no id":                    {jwt.MapClaims{"iat": iat}, policytest.Noon},
		"no moment, as for others": {jwt.MapClaims{"jti": newTokenID(at)}, time.Time{}},
	} {
		if got := issuedAt(test.claims); !got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if one, two := newTokenID(at), newTokenID(at); one == two {
		t.Error("two tokens have one id")
	}
}
