package gateway

import (
	"context"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// pageOrigin refuses WebSockets to the pages of other origins. It stands in front of a
// method's policies, in the place of cors, whether the method has that or not: a page
// that may not ask must use up nothing of what limits count.
type pageOrigin struct {
	// allow reports whether pages of another origin may; nil allows none.
	allow func(origin string) bool
}

var _ policy.Admitter = pageOrigin{}

// newPageOrigin makes the check of a method with these policies.
func newPageOrigin(set *policy.Set) pageOrigin {
	if cors, ok := policy.Find[pagePolicy](set); ok {
		return pageOrigin{cors.AllowsOrigin}
	}
	return pageOrigin{}
}

// Name implements policy.Part.
func (pageOrigin) Name() string { return "cors" }

// Admit implements policy.Admitter.
func (p pageOrigin) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if !r.WebSocket {
		return ctx, nil, nil
	}
	return ctx, nil, websocket.CheckOrigin(r.HTTP.Header, r.Authority(), r.Secure(), p.allow)
}
