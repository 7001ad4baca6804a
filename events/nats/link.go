package nats

import (
	"context"
	"errors"
	"slices"
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

// answers are the last ones that a server was told of messages. Those that got lost with a connection are told again by the
// next: until then the server would give the messages nobody for ackWait, and hold the later ones of their keys up. The zero
// value has none.
type answers struct {
	mu      sync.Mutex
	created time.Time // when the consumer was made that they are for
	last    []answer
	oldest  int // where the next one goes
}

type answer struct {
	to   string // the subject on which the server waits for it
	body string
}

// ended notes that a message has been acknowledged, or has ended otherwise.
func (a *answers) ended(to string) { a.note(answer{to, "+ACK"}) }

// givenBack notes that the server could not be told that a message is for another member.
func (a *answers) givenBack(to string) { a.note(answer{to, "-NAK"}) }

func (a *answers) note(one answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.last) < mostPending {
		a.last = append(a.last, one)
		return
	}
	a.last[a.oldest] = one
	a.oldest = (a.oldest + 1) % len(a.last)
}

// again tells them again, unless they were for a consumer that is no more, and reports whether there were any. Of a message
// that the server knows the end of it takes none.
func (a *answers) again(conn *nats.Conn, created time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Concat(a.last[a.oldest:], a.last[:a.oldest])
	a.last, a.oldest = nil, 0
	if was := a.created; !was.Equal(created) {
		a.created = created
		return false
	}
	for _, one := range all {
		_ = conn.Publish(one.to, []byte(one.body)) // what gets lost again comes again after ackWait
	}
	return len(all) > 0
}
