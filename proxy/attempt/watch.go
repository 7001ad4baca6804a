package attempt

import (
	"context"

	"github.com/transom-gateway/transom/proxy"
)

// Watched returns a backend whose attempts w sees.
func (g *GRPC) Watched(w proxy.Watcher) proxy.Backend {
	watched := *g
	watched.watcher = w
	return &watched
}

// watch tells of an attempt that is about to be made, and returns the metadata to make it
// with.
func (t *tries) watch(ctx context.Context, header proxy.Metadata) proxy.Metadata {
	if t.watcher == nil {
		return header
	}
	header, t.end = t.watcher.Attempt(ctx, t.made, header)
	return header
}

// seen tells how the attempt ended, unless that has been told.
func (t *tries) seen(err error) { t.answered(0, err) }

// answered is seen of an attempt that a plain HTTP server has answered with a status, 0 for
// none.
func (t *tries) answered(httpStatus int, err error) {
	if end := t.end; end != nil {
		t.end = nil
		end(proxy.AttemptEnd{Endpoint: t.turn.Endpoint(), HTTPStatus: httpStatus, Err: err})
	}
}
