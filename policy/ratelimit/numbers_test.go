package ratelimit

import (
	"encoding/json"
	"testing"

	"cel.dev/cel-go/cel"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/expr"
)

// TestNumbersAsKeys: one number is one caller, however it is written, and two that
// differ in their last digit are two.
func TestNumbersAsKeys(t *testing.T) {
	key := func(written string) string {
		e, err := expr.Compile(policytest.ScopeOf(t), "claims.n", cel.DynType)
		if err != nil {
			t.Fatal(err)
		}
		r := policytest.NewCall(func(r *policy.Request) {
			r.Identity = &policy.Identity{Claims: map[string]any{"n": auth.PlainNumbers(json.Number(written))}}
		})
		value, err := e.Evaluate(t.Context(), r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return keyText(value.Value())
	}
	for _, same := range [][]string{
		{"1000000", "1e6", "1000000.0"},
		{"9223372036854775808", "9223372036854775808.0", "9.223372036854775808e18"},
		{"100000000000000000000", "1e20"},
		{"0.5", "5e-1"},
	} {
		for _, written := range same {
			if got := key(written); got != same[0] {
				t.Errorf("%s is the key %s, want %s", written, got, same[0])
			}
		}
	}
	if one, two := key("9223372036854775808"), key("9223372036854775809"); one == two {
		t.Errorf("two callers share the key %s", one)
	}
}
