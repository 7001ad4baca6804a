package token

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/internal/testing/policytest"
)

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
