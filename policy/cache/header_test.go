package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// TestTell: Traffic 123: for whom an answer is, how old it is, and how long it is good.
func TestTell(t *testing.T) {
	kept := policy.CacheUse{Stored: true, Public: true, Age: 3 * time.Second, Left: 7 * time.Second}
	for _, test := range []struct {
		name      string
		method    string
		scope     sharing.Scope
		use       policy.CacheUse
		backend   string // Cache-Control
		want, age string
		vary      string
	}{
		{"public", "GET", sharing.Scope{}, kept, "", "public, max-age=10", "3", ""},
		{"public, the backend's word", "GET", sharing.Scope{}, kept, "max-age=5", "max-age=5", "3", ""},
		{"public, not kept", "GET", sharing.Scope{}, policy.CacheUse{}, "", "", "", ""},
		{"each principal's", "GET", sharing.Scope{Principal: true}, policy.CacheUse{Stored: true, Left: 7 * time.Second}, "", "private, max-age=7", "", "Authorization, Cookie"},
		{"each principal's, not kept", "HEAD", sharing.Scope{Principal: true}, policy.CacheUse{}, "", "private", "", "Authorization, Cookie"},
		{"stale", "GET", sharing.Scope{Principal: true}, policy.CacheUse{Stored: true, Age: time.Minute, Left: -time.Second}, "", "private", "60", "Authorization, Cookie"},
		{"a POST", "POST", sharing.Scope{Principal: true}, kept, "", "", "", ""},
	} {
		h := http.Header{}
		if test.backend != "" {
			h.Set("Cache-Control", test.backend)
		}
		test.scope.ResponseHeader(&policy.Request{HTTP: &http.Request{Method: test.method}, Cache: test.use}, h)
		if got, age, vary := h.Get("Cache-Control"), h.Get("Age"), strings.Join(h.Values("Vary"), ", "); got != test.want || age != test.age || vary != test.vary {
			t.Errorf("%s: %q, Age %q, Vary %q", test.name, got, age, vary)
		}
	}
}
