package proxy

import (
	"context"

	"github.com/transom-gateway/transom/proxy/transport"
)

// WithRoom bounds what the backends' messages hold that wait to be written to
// one client's connection, in bytes. The calls of the context, and of those that
// are made of it, share them: a message above 64 KiB is read once there is room.
func WithRoom(ctx context.Context, limit int64) context.Context {
	return transport.WithRoom(ctx, limit)
}
