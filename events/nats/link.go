package nats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

var errLost = errors.New("the connection was lost")

// link is a connection as it is at one time. It does not come back, unlike the client's.
type link struct {
	conn       *nats.Conn
	reconnects uint64 // how often it had come back
}

// link is the connection as it is now.
func (s *Source) link() link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return link{conn: s.sink.conn, reconnects: s.sink.conn.Stats().Reconnects}
}

// lost reports whether it is another by now.
func (l link) lost() bool { return l.conn.Stats().Reconnects != l.reconnects }

// watch is a context that ends with the connection too: the client waits for messages across it, and the server has
// forgotten that anybody does.
func (l link) watch(ctx context.Context) (connected context.Context, stop func()) {
	connected, cancel := context.WithCancelCause(ctx)
	changes := l.conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	var watching sync.WaitGroup
	watching.Go(func() {
		if _, ok := <-changes; ok {
			cancel(errLost)
		}
	})
	return connected, func() {
		l.conn.RemoveStatusListener(changes)
		watching.Wait()
		cancel(nil)
	}
}

// wait returns after some time, or with the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
