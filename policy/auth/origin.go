package auth

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
)

var errCrossSite = status.Error(codes.PermissionDenied, "the request comes from another site")

// Origins keeps other sites from using the cookies of a browser.
type Origins struct{ protection *http.CrossOriginProtection }

func newOrigins() *Origins { return &Origins{http.NewCrossOriginProtection()} }

// trust lets an origin, "https://host[:port]", send unsafe requests.
func (g *Origins) trust(origin string) error { return g.protection.AddTrustedOrigin(origin) }

// nobody is a host that no origin has.
const nobody = "/"

// Check refuses an unsafe request that a browser sent for another site. An
// upgrade to WebSocket is a GET, but opens a channel that the same-origin policy
// does not hold: it counts as unsafe.
func (g *Origins) Check(r *policy.Request) error {
	request := r.HTTP
	host := request.Host
	if origins := request.Header["Origin"]; len(origins) == 1 && field.SameOrigin(origins[0], r.Authority(), r.Secure()) {
		_, host, _ = strings.Cut(origins[0], "://")
	} else if len(origins) > 0 {
		host = nobody // the protection compares hosts alone
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

// OriginsOf is the guard of a generation, which trusts the configuration's
// auth.session.trusted_origins.
func OriginsOf(g *policy.Generation) *Origins {
	return policy.Shared(g, func(g *policy.Generation) *Origins {
		guard := newOrigins()
		for n, origin := range g.Config.GetAuth().GetSession().GetTrustedOrigins() {
			if err := guard.trust(origin); err != nil {
				g.RefuseConfig(fmt.Sprintf("auth.session.trusted_origins[%d]", n), err)
			}
		}
		return guard
	})
}
