package gateway_test

import (
	"testing"

	"github.com/transom-gateway/transom/internal/gatewaytest"
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
