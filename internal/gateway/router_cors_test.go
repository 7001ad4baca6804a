package gateway_test

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestRouterAnswersHaveCORS: Semantics 310: pages that defaults let in can read the
// router's own answers, too.
func TestRouterAnswersHaveCORS(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "defaults: { cors: { allowed_origins: [\"https://p.example\"], allow_credentials: true } }\n"})
	for _, c := range []struct {
		method, path string
		headers      []string
		status       int
	}{
		{"GET", "/v1/shelves/1", nil, 200},
		{"GET", "/v1/shelves/1?n=zz", nil, 400},
		{"GET", "/v1/nope", nil, 404},
		{"DELETE", "/v1/shelves", nil, 405},
		{"POST", "/bookstore.v1.BookstoreService/Nope", nil, 404},
		{"POST", "/bookstore.v1.BookstoreService/Nope", []string{"Content-Type", "application/grpc-web+proto"}, 200},
		{"OPTIONS", "/v1/nope", []string{"Access-Control-Request-Method", "GET"}, 204},
		{"OPTIONS", "/v1/shelves/1", []string{"Access-Control-Request-Method", "GET"}, 204},
		{"OPTIONS", "/v1/shelves/1", nil, 204},
	} {
		for origin, want := range map[string]string{"https://p.example": "https://p.example", "https://other.example": ""} {
			a := g.Do(t, c.method, c.path, "", append([]string{"Origin", origin}, c.headers...)...)
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != want || c.status != a.Status && want != "" {
				t.Errorf("%s %s from %s: %d %v", c.method, c.path, origin, a.Status, a.Header)
			}
		}
	}
}

// TestPreflightVary: what a preflight is answered depends on what it asks, also where
// the answer is that there is no such method; and what defaults let pages read of the
// router's own answers is not said of a route with a policy of its own.
func TestPreflightVary(t *testing.T) {
	one := `policies: [{ selector: bookstore.v1.BookstoreService.GetShelf, policy: { cors: { allowed_origins: ["https://own.example"] } } }]` + "\n"
	defaults := "defaults: { cors: { allowed_origins: [\"https://p.example\"], allow_credentials: true } }\n"
	const vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	for _, c := range []struct {
		name, config, method, origin string
		vary, allowed                string
	}{
		{"a method that is missing", one, "PATCH", "https://own.example", vary, ""},
		{"a method without the policy", one, "DELETE", "https://own.example", vary, ""},
		{"the method", one, "GET", "https://own.example", vary, "https://own.example"},
		{"a method that is missing, by defaults", defaults, "PATCH", "https://p.example", vary, "https://p.example"},
		{"a missing method of another origin, by defaults", defaults, "PATCH", "https://own.example", vary, ""},
		{"a method with its own policy, by defaults' origin", defaults + one, "GET", "https://p.example", vary, ""},
		{"nobody has the policy", "", "PATCH", "https://p.example", "", ""},
	} {
		t.Run("Semantics 310: "+c.name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Config: c.config})
			a := g.Do(t, "OPTIONS", "/v1/shelves/1", "", "Origin", c.origin, "Access-Control-Request-Method", c.method)
			if got := strings.Join(a.Header.Values("Vary"), ", "); got != c.vary {
				t.Errorf("Vary is %q, want %q", got, c.vary)
			}
			if got := a.Header.Get("Access-Control-Allow-Origin"); a.Status != 204 || got != c.allowed {
				t.Errorf("%d %v", a.Status, a.Header)
			}
			if strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "PATCH") {
				t.Errorf("PATCH is allowed: %v", a.Header)
			}
		})
	}
}
