package unwell

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answers gives every call the same error.
func answers(code codes.Code) Script {
	return func(context.Context, *Server, int) error { return status.Error(code, "as scripted") }
}

// takes lets every call take the same time.
func takes(d time.Duration) Script {
	return func(ctx context.Context, _ *Server, _ int) error { return wait(ctx, d) }
}

// varies lets calls take a time that is exponentially distributed, as that of
// servers whose calls queue.
func varies(mean time.Duration) Script {
	return func(ctx context.Context, _ *Server, _ int) error {
		return wait(ctx, time.Duration(rand.ExpFloat64()*float64(mean)))
	}
}

// first follows a script at a call's first arrival alone.
func first(script Script) Script {
	return func(ctx context.Context, s *Server, n int) error {
		if n > 1 {
			return nil
		}
		return script(ctx, s, n)
	}
}

// hangs answers nothing until the caller gives up.
func hangs(ctx context.Context, _ *Server, _ int) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// cuts resets the connections under a call.
func cuts(ctx context.Context, s *Server, _ int) error {
	s.Cut()
	return hangs(ctx, s, 0)
}

// wait waits, no longer than the call lasts.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}
