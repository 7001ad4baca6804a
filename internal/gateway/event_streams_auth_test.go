package gateway_test

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestStreamOfCaller holds Events 181, and Events 180 for who calls: a stream is its caller's, and ends with the
// caller's token.
func TestStreamOfCaller(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "data_directory: " + t.TempDir() + `
shutdown_timeout: 0.2s
auth: { jwt: [{ issuer: id, audience: doors, algorithms: [HS256], leeway: 0s, secret: "` + doorSecret + `" }] }
policies: [{ selector: transom.v1.EventService.Subscribe, policy: { auth: { jwt: {} } } }]
events:
  behaviour: { delivery: AT_LEAST_ONCE }
  streams: [{ topic: user_behaviors, allow: "'keeper' in roles && event.data.anonymousId == claims.team" }]
`})
	const path = "/v1/events/user_behaviors"
	if a := g.Do(t, "GET", path, ""); a.Status != 401 {
		t.Errorf("without a token: %v", a)
	}
	other := bearer(doorToken(t, jwt.MapClaims{"roles": []string{"guest"}}))
	if a := g.Do(t, "GET", path, "", other...); a.Status != 404 {
		t.Errorf("a caller who gets no event: %v", a)
	}
	s := listen(t, g, path, bearer(doorToken(t, jwt.MapClaims{"exp": time.Now().Add(4 * time.Second).Unix()}))...)
	s.next()
	publishUser(t, g, "red", "blue")
	if b := s.next(); b["event"] != "" || b["id"] == "" {
		t.Errorf("got %v", b)
	}
	if b := s.next(); b["event"] != "error" {
		t.Errorf("the stream went on with %v", b)
	}
}
