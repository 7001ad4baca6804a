package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/redis"
)

// brokenOff has no form for an error behind its header: the connection is broken off
// (Semantics 34).
const brokenOff = "JSON array"

// startExpiringDoors starts doors whose tokens end to the second, with a logout at
// POST /Open/ask.
func startExpiringDoors(t *testing.T, further string) (*doorBackend, *gatewaytest.Gateway) {
	t.Helper()
	d := &doorBackend{held: make(chan struct{}, 100), told: map[string][]metadata.MD{}}
	config := strings.Replace(doorConfig(), "forward_claims: [team]", "forward_claims: [team], leeway: 0s", 1)
	return d, gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, d.serve), NoBookstore: true,
		Config: config + "  - { selector: door.v1.Open.Ask, policy: { logout: {} } }\n" + further,
		Protos: map[string]string{"door/v1/door.proto": doorProto()},
	})
}

// TestStreamsEndWithTheirToken: Semantics 308: a stream ends with UNAUTHENTICATED, in
// the form of its protocol, when its token expires.
func TestStreamsEndWithTheirToken(t *testing.T) {
	keeper, g := startExpiringDoors(t, "")
	for _, d := range doorDrivers() {
		if !d.streams() || d.name == brokenOff {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			token := doorToken(t, jwt.MapClaims{"exp": time.Now().Add(2 * time.Second).Unix()})
			a := d.call(t, &doorCall{g: g, service: "Jwt", texts: []string{"silence"}, hold: true,
				headers: append(bearer(token), "X-Client", d.name, "X-Case", t.Name())})
			if a.code != codes.Unauthenticated || len(keeper.of(t.Name())) != 1 {
				t.Errorf("the stream ended with %v %s, after %d calls of the backend", a.code, a.message, len(keeper.of(t.Name())))
			}
			if d.webSocket() && a.closed != 4016 {
				t.Errorf("the socket was closed with %d", a.closed)
			}
		})
	}
}

// TestStreamsEndWithLogout: Semantics 308: the same where the session is logged out, at
// this gateway or at one that shares its Redis.
func TestStreamsEndWithLogout(t *testing.T) {
	server := redistest.Start(t)
	shared := "stores: { redis: { url: \"" + server.URL + "\", timeout: 5s } }\n"
	keeper, g := startExpiringDoors(t, shared)
	_, other := startExpiringDoors(t, shared)
	lonely, alone := startExpiringDoors(t, "")
	for name, at := range map[string]struct {
		keeper         *doorBackend
		stream, logout *gatewaytest.Gateway
	}{"here": {lonely, alone, alone}, "here, by Redis": {keeper, g, g}, "elsewhere": {keeper, g, other}} {
		t.Run(name, func(t *testing.T) {
			for _, d := range doorDrivers() {
				if d.streams() && d.name != brokenOff {
					t.Run(d.name, func(t *testing.T) { logoutEnds(t, at.keeper, at.stream, at.logout, d) })
				}
			}
		})
	}
}

func logoutEnds(t *testing.T, keeper *doorBackend, stream, logout *gatewaytest.Gateway, d *doorDriver) {
	cookie := doorSession(t, stream)
	answered := make(chan *doorAnswer, 1)
	go func() {
		answered <- d.call(t, &doorCall{g: stream, service: "Session", texts: []string{"wait"}, hold: true,
			headers: []string{"X-Client", d.name, "X-Case", t.Name(), "Cookie", cookie}})
	}()
	wait(t, keeper.held, "the stream to reach the backend")
	if a := logout.Do(t, "POST", "/Open/ask", `{"text": "bye"}`, "Cookie", cookie); a.Status != 200 {
		t.Errorf("the logout answers %d %s", a.Status, a.Body)
	}
	t.Parallel() // from here on: a gateway elsewhere learns of all of the logouts when it looks again
	if a := wait(t, answered, "the end of the stream"); a.code != codes.Unauthenticated {
		t.Errorf("the stream ended with %v %s", a.code, a.message)
	}
}
