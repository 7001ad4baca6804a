package schema

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// inParallel calls a function with each number from 0 to n-1, on all processors,
// until one call fails or ctx ends, and returns the first error. A call that
// panics fails.
func inParallel(ctx context.Context, n int, each func(i int) error) error {
	const chunk = 64
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for start := 0; start < n; start += chunk {
		group.Go(func() error {
			for i := start; i < min(start+chunk, n); i++ {
				if err := running.Err(); err != nil {
					return err
				}
				if err := recovered(i, each); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// recovered calls the function and makes an error of a panic, which would end the
// process in a goroutine of its own.
func recovered(i int, each func(i int) error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	return each(i)
}
