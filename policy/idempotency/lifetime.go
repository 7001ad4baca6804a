package idempotency

import (
	"context"
	"sync"
	"time"
)

// lifetime is the context of a request that does not end with its client, but with its time
// (Traffic 87). Once the answer passes as it comes, it is the other way round: nobody else
// is to get it.
type lifetime struct {
	context.Context // the client's, without its end
	client          context.Context
	timer           *time.Timer
	done            chan struct{}

	mu     sync.Mutex
	err    error
	unbind func() bool // nil while the client does not matter
}

var _ context.Context = (*lifetime)(nil)

// newLifetime begins a time. stop must be called.
func newLifetime(client context.Context, limit time.Duration) *lifetime {
	l := &lifetime{Context: context.WithoutCancel(client), client: client, done: make(chan struct{})}
	l.timer = time.AfterFunc(limit, func() { l.end(context.DeadlineExceeded) })
	return l
}

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} { return l.done }

// Err implements context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// end ends it for a reason.
func (l *lifetime) end(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = why
		close(l.done)
	}
}

// late reports whether the time was over.
func (l *lifetime) late() bool { return l.Err() == context.DeadlineExceeded }

// endWithClient has it end with the client from here on.
func (l *lifetime) endWithClient() {
	l.timer.Stop()
	unbind := context.AfterFunc(l.client, func() { l.end(l.client.Err()) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unbind = unbind
}

// stop ends it.
func (l *lifetime) stop() {
	l.timer.Stop()
	l.mu.Lock()
	unbind := l.unbind
	l.mu.Unlock()
	if unbind != nil {
		unbind()
	}
	l.end(context.Canceled)
}
