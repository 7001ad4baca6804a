package policy

import "testing"

func TestUndecided(t *testing.T) {
	kinds := []Kind{
		{Field: "rate_limit", Needs: []Need{{"rate_limit", "stores"}, {"rate_limit.store", "stores"}}},
		{Field: "auth", Needs: []Need{{"auth.jwt.issuers", "auth.jwt.issuer"}}},
	}
	for _, test := range []struct {
		wrong, field string
		want         bool
	}{
		{"stores.redis.url", "rate_limit[3].store", true},
		{"stores", "rate_limit", true},
		{"stores", "rate_limit[0].requests", false},
		{"storeys", "rate_limit", false},
		{"auth.jwt[1].issuer", "auth.jwt.issuers[0]", true},
		{"auth.jwt[1]", "auth.jwt.issuers[0]", true},
		{"auth", "auth.jwt.issuers[0]", true},
		{"auth.jwt[1].secret", "auth.jwt.issuers[0]", false},
		{"auth.session", "auth.jwt.issuers[0]", false},
		{"auth.jwt[1].issuer", "auth.jwt.cookie", false},
	} {
		if got := Undecided(kinds, []string{"listeners", test.wrong})(test.field); got != test.want {
			t.Errorf("%s, while %s is wrong: %t, want %t", test.field, test.wrong, got, test.want)
		}
	}
}
