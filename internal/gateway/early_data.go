package gateway

import (
	"context"
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/earlydata"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

var errTooEarly = httpError(http.StatusTooEarly, codes.Unavailable,
	"the request says by Early-Data that somebody else may have sent it again, and it may have side effects; send it once the handshake is over")

// settleEarlyData decides about a request that may be one of somebody else, who sends again what a client has
// sent: one that may be run twice is run, another waits for the client's handshake, or is refused
// where that is with whoever passed it on (RFC 8470; Traffic 189).
func (c *call) settleEarlyData(ctx context.Context) error {
	h := earlydata.Of(c.r)
	if c.runsEarly() {
		if h != nil && !h.Passed() { // else its client is told of a 425
			c.handshake = h
		}
		return nil
	}
	if h != nil {
		if err := h.Wait(ctx); err != nil {
			return nil //nolint:nilerr // ctx has ended, of which everybody else is told
		}
		h.Unmark(c.r.Header)
	}
	if c.r.Header[earlydata.Field] == nil {
		return nil
	}
	return errTooEarly
}

// runsEarly reports whether the request may be run twice.
func (c *call) runsEarly() bool {
	if !c.route.guard.runsEarly || c.r.Header["Idempotency-Key"] != nil || c.r.Header["X-Idempotency-Key"] != nil {
		return false
	}
	_, isRPC := c.route.endpoint.method()
	return isRPC || c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
}

// mayRunEarly reports whether policies let requests be run twice: not where they would count against
// somebody whom a copy names, or log in.
func mayRunEarly(set *policy.Set) bool {
	for _, limit := range set.Effective.GetRateLimit() {
		if key := limit.GetKey(); key == transomv1.RateLimit_PRINCIPAL || key == transomv1.RateLimit_CEL {
			return false
		}
	}
	return set.Effective.GetLogin() == nil && set.Effective.GetLogout() == nil
}

// mayRunEarly reports whether what the route does may be done twice, by GET and HEAD.
func (e *httpEndpoint) mayRunEarly() bool {
	_, publishes := e.action.(*httpBeacon)
	return !publishes && mayRunEarly(e.set)
}
