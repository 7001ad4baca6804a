package regularfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// ErrStalled is wrapped by the errors of files whose file system does not answer, such as
// that of a server which is away.
var ErrStalled = errors.New("the file system does not answer")

// waiter waits for a file system, but not for ever: what it has begun goes on by
// itself, as nobody can break it off.
type waiter struct {
	// patience is how long nothing may come.
	patience time.Duration
	// under has a place for each call that is under way, those included for which nobody
	// waits any more.
	under chan struct{}
}

// files is the waiter of this package's functions. The number of places bounds the
// threads that a stalled file system can hold.
var files = &waiter{patience: 10 * time.Second, under: make(chan struct{}, 64)}

// progress is told how far a call has come.
type progress struct{ atomic.Int64 }

// Stat is os.Stat that does not wait for ever; then its error is an ErrStalled.
func Stat(name string) (fs.FileInfo, error) {
	return await(context.Background(), files, "stat", name, func(*progress) (fs.FileInfo, error) { return os.Stat(name) })
}

// ReadDir is os.ReadDir that does not wait for ever; then its error is an ErrStalled.
func ReadDir(name string) ([]os.DirEntry, error) {
	return await(context.Background(), files, "read", name, func(*progress) ([]os.DirEntry, error) { return os.ReadDir(name) })
}

// EvalSymlinks is filepath.EvalSymlinks that does not wait for ever; then its error is an
// ErrStalled.
func EvalSymlinks(name string) (string, error) {
	return await(context.Background(), files, "lstat", name, func(*progress) (string, error) { return filepath.EvalSymlinks(name) })
}

// await returns what call does, or an error if ctx ends before, or if the call does not
// come further for w's patience.
func await[T any](ctx context.Context, w *waiter, op, name string, call func(*progress) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	timer := time.NewTimer(w.patience)
	defer timer.Stop()
	fail := func(err error) (T, error) {
		var none T
		return none, &fs.PathError{Op: op, Path: name, Err: err}
	}
	select {
	case w.under <- struct{}{}:
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	case <-timer.C:
		return fail(stalled(w.patience))
	}
	done := make(chan result, 1)
	var come progress
	go func() {
		defer func() { <-w.under }()
		value, err := call(&come)
		done <- result{value, err}
	}()
	for before := come.Load(); ; {
		select {
		case r := <-done:
			return r.value, r.err
		case <-ctx.Done():
			return fail(context.Cause(ctx))
		case <-timer.C:
			now := come.Load()
			if now == before {
				return fail(stalled(w.patience))
			}
			before = now
			timer.Reset(w.patience)
		}
	}
}

// stalled is an ErrStalled that says how long nothing came.
type stalled time.Duration

func (s stalled) Error() string {
	return fmt.Sprintf("%v for %v; is a server away that it is mounted from?", ErrStalled, time.Duration(s))
}
func (s stalled) Is(target error) bool { return target == ErrStalled }
