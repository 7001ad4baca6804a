package server

import (
	"cmp"
	"context"
	"net"
	"net/http"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

const (
	defaultMaxStreams = 100
	defaultMaxWaiting = 16 << 20
)

// limitConnections bounds what one connection of a client may ask for at a time,
// and what the answers hold that wait for it.
func limitConnections(h *http.Server, c *transomv1.Listener) {
	h.HTTP2.MaxConcurrentStreams = int(cmp.Or(c.GetMaxStreams(), defaultMaxStreams))
	waiting := int64(cmp.Or(c.GetMaxWaitingBytes(), defaultMaxWaiting)) //nolint:gosec // checked with the configuration
	h.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return proxy.WithRoom(ctx, waiting)
	}
}
