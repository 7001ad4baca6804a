package policy

import (
	"context"
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
)

// sessionAuth lets the callers of live sessions in.
type sessionAuth struct {
	sessions *sessions
	origins  *originGuard
}

// sessionAuth compiles a SessionAuth.
func (b *build) sessionAuth() *sessionAuth {
	return &sessionAuth{sessions: b.sessions, origins: b.origins}
}

func (a *sessionAuth) summary() string { return "a session in the cookie " + a.sessions.cookie }

// challenge is for callers without a session. No scheme is registered for
// cookies; RFC 9110 15.5.2 wants one named all the same.
func (a *sessionAuth) challenge() string {
	return `Cookie realm="transom", cookie-name="` + a.sessions.cookie + `"`
}

// admit sets r.Identity; false is a request that names no session.
func (a *sessionAuth) admit(ctx context.Context, r *Request) (bool, error) {
	key, sent, ok := a.sessions.key(r.HTTP.Header)
	if !sent {
		return false, nil
	}
	if !ok {
		return false, errBadCredentials
	}
	if err := a.origins.check(r); err != nil {
		return false, err
	}
	s, err := a.sessions.store.use(ctx, key, a.sessions.idle)
	if err != nil {
		return false, errSessionsAway
	}
	if s == nil {
		return false, errBadCredentials
	}
	r.Identity = s.identity
	r.Metadata = append(r.Metadata, s.metadata...)
	return true, nil
}

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
	if origins := request.Header[originHeader]; len(origins) == 1 && field.SameHost(origins[0], r.host()) {
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
