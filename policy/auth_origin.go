package policy

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
)

var errCrossSite = status.Error(codes.PermissionDenied, "the request comes from another site")

// originGuard keeps other sites from using the cookies of a browser.
type originGuard struct{ protection *http.CrossOriginProtection }

func newOriginGuard() *originGuard { return &originGuard{http.NewCrossOriginProtection()} }

// trust lets an origin, "https://host[:port]", send unsafe requests.
func (g *originGuard) trust(origin string) error { return g.protection.AddTrustedOrigin(origin) }

// check refuses an unsafe request that a browser sent for another site. An
// upgrade to WebSocket is a GET, but opens a channel that the same-origin policy
// does not hold: it counts as unsafe.
func (g *originGuard) check(r *Request) error {
	request := r.HTTP
	host := request.Host
	if origins := request.Header["Origin"]; len(origins) == 1 && field.SameHost(origins[0], r.Authority()) {
		_, host, _ = strings.Cut(origins[0], "://")
	} else if r.Host != "" {
		host = r.Host
	}
	if r.WebSocket || host != request.Host {
		seen := *request
		if seen.Host = host; r.WebSocket {
			seen.Method = http.MethodPost
		}
		request = &seen
	}
	if g.protection.Check(request) != nil {
		return errCrossSite
	}
	return nil
}

// originGuardOf is the guard of a generation, which trusts the configuration's
// auth.session.trusted_origins.
func originGuardOf(g *Generation) *originGuard {
	return Shared(g, func(g *Generation) *originGuard {
		guard := newOriginGuard()
		for n, origin := range g.Config.GetAuth().GetSession().GetTrustedOrigins() {
			if err := guard.trust(origin); err != nil {
				g.RefuseConfig(fmt.Sprintf("auth.session.trusted_origins[%d]", n), err)
			}
		}
		return guard
	})
}
