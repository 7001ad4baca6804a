package server

import (
	"context"

	"github.com/transom-gateway/transom/internal/admin"
)

var _ admin.Watched = administered{}

// Watch implements admin.Watched.
func (a administered) Watch(filter string) (next func(context.Context) ([]any, uint64, uint64, bool), end func(), err error) {
	w, err := a.server.telemetry.Live.Watch(filter)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) (calls []any, dropped, missed uint64, ok bool) {
		b, ok := w.Next(ctx)
		for _, r := range b.Calls {
			calls = append(calls, r)
		}
		return calls, b.Dropped, b.Missed, ok
	}, w.Close, nil
}
