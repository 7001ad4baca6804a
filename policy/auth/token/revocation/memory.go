package revocation

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// memoryMax bounds what this process remembers; each takes some 150
// bytes.
const memoryMax = 1 << 18

// errRevocationsFull refuses a logout: to forget an older one would bring its
// token back.
var errRevocationsFull = errors.New("too many tokens have been logged out before they expired")

// Memory remembers revoked tokens in this process. It lives in the
// State.
type Memory struct {
	now func() time.Time
	max int

	mu   sync.RWMutex
	over map[[sha256.Size]byte]revocation
	// ends has the name that may be forgotten next in front, each name once.
	ends endsOfNames
}

// revocation is what is known of one name.
type revocation struct {
	// at is until which moment of issue a holder's tokens are over; of a token it
	// says nothing.
	at    time.Time
	until time.Time
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty one.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{now: now, max: memoryMax, over: map[[sha256.Size]byte]revocation{}}
}

// Close implements io.Closer for State; there is nothing to close.
func (m *Memory) Close() error { return nil }

// Revoke implements Store.
func (m *Memory) Revoke(_ context.Context, name Name, until time.Time) error {
	return m.add(name.Token, revocation{until: until})
}

// Moment implements Store.
func (m *Memory) Moment(context.Context) (time.Time, error) { return m.now(), nil }

// RevokeAll implements Store.
func (m *Memory) RevokeAll(_ context.Context, holder [sha256.Size]byte, until time.Time) error {
	return m.add(holder, revocation{m.now(), until})
}

func (m *Memory) add(name [sha256.Size]byte, r revocation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	if _, there := m.over[name]; !there {
		if len(m.over) >= m.max {
			return errRevocationsFull
		}
		heap.Push(&m.ends, endOfName{r.until, name})
	}
	m.over[name] = r
	return nil
}

// sweep forgets what is over. A name that was added again since has another end
// by now.
func (m *Memory) sweep() {
	now := m.now()
	for len(m.ends) > 0 && !now.Before(m.ends[0].until) {
		e := heap.Pop(&m.ends).(endOfName)
		if until := m.over[e.name].until; now.Before(until) {
			heap.Push(&m.ends, endOfName{until, e.name})
		} else {
			delete(m.over, e.name)
		}
	}
}

// Revoked implements Store.
func (m *Memory) Revoked(_ context.Context, name Name, issued time.Time) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, over := m.over[name.Token]; over {
		return true, nil
	}
	r, over := m.over[name.Holder]
	return over && !issued.After(r.at), nil
}

// RevokedOf implements Store.
func (m *Memory) RevokedOf(ctx context.Context, names []Name, issued []time.Time) ([]bool, error) {
	over := make([]bool, len(names))
	for i, name := range names {
		over[i], _ = m.Revoked(ctx, name, issued[i]) // memory is always in reach
	}
	return over, nil
}

// endOfName is when a name may be forgotten.
type endOfName struct {
	until time.Time
	name  [sha256.Size]byte
}

// endsOfNames is a heap, the earliest first.
type endsOfNames []endOfName

var _ heap.Interface = (*endsOfNames)(nil)

// Len implements Store.
func (e endsOfNames) Len() int { return len(e) }

// Less implements Store.
func (e endsOfNames) Less(i, j int) bool { return e[i].until.Before(e[j].until) }

// Swap implements Store.
func (e endsOfNames) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements Store.
func (e *endsOfNames) Push(x any) { *e = append(*e, x.(endOfName)) }

// Pop implements Store.
func (e *endsOfNames) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
