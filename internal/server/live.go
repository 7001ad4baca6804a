package server

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/internal/admin"
)

var _ admin.Watched = administered{}

// Watch implements admin.Watched.
func (a administered) Watch(filter string, messages bool) (next func(context.Context) ([]any, uint64, uint64, bool), end func(), err error) {
	watch := a.server.telemetry.Live.Watch
	if messages {
		if !a.server.gateway.Captures() {
			return nil, nil, errors.New("admin.capture shows messages of no method: add it to the configuration, such as [{ selector: \"*\", fields: [\"*\"] }]")
		}
		watch = a.server.telemetry.Live.WatchBodies
	}
	w, err := watch(filter)
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
