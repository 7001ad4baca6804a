package session

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// memorySessionsMax bounds the sessions of this process; one more ends the one
// that was not used for longest.
const memorySessionsMax = 100_000

// memorySessions keeps sessions in this process. It lives in the State. One
// lock serves all: it is held for a lookup, not for a call.
type memorySessions struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	byKey map[Key]*list.Element
	// used has the most recently used in front.
	used list.List
	// byPrincipal has the oldest first.
	byPrincipal map[string][]Key
}

var _ Store = (*memorySessions)(nil)

// liveSession is one element of memorySessions.used.
type liveSession struct {
	key   Key
	until time.Time
	*Session
}

func newMemorySessions(now func() time.Time) *memorySessions {
	return &memorySessions{now: now, max: memorySessionsMax,
		byKey: map[Key]*list.Element{}, byPrincipal: map[string][]Key{}}
}

// Close implements io.Closer for State; there is nothing to close.
func (m *memorySessions) Close() error { return nil }

func (m *memorySessions) create(_ context.Context, key Key, s *Session, idle time.Duration) error {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if own := m.byPrincipal[s.Principal]; len(own) >= sessionsPerPrincipal {
		m.remove(m.byKey[own[0]])
	}
	m.byKey[key] = m.used.PushFront(&liveSession{key: key, until: earlier(now.Add(idle), s.Ends), Session: s})
	m.byPrincipal[s.Principal] = append(m.byPrincipal[s.Principal], key)
	for m.used.Len() > m.max {
		m.remove(m.used.Back())
	}
	m.sweep(now)
	return nil
}

// sweep removes some of those at the back that have expired: each login clears
// away more than it brings.
func (m *memorySessions) sweep(now time.Time) {
	for range 4 {
		e := m.used.Back()
		if e == nil || now.Before(e.Value.(*liveSession).until) {
			return
		}
		m.remove(e)
	}
}

// Use implements Store.
func (m *memorySessions) Use(_ context.Context, key Key, idle time.Duration) (*Session, error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byKey[key]
	if e == nil {
		return nil, nil
	}
	live := e.Value.(*liveSession)
	if !now.Before(live.until) {
		m.remove(e)
		return nil, nil
	}
	live.until = earlier(now.Add(idle), live.Ends)
	m.used.MoveToFront(e)
	return live.Session, nil
}

func (m *memorySessions) ended(_ context.Context, keys []Key) ([]bool, error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	over := make([]bool, len(keys))
	for i, key := range keys {
		e := m.byKey[key]
		over[i] = e == nil || !now.Before(e.Value.(*liveSession).until)
	}
	return over, nil
}

// Revoke implements Store.
func (m *memorySessions) Revoke(_ context.Context, key Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byKey[key]; e != nil {
		m.remove(e)
	}
	return nil
}

// RevokeAll implements Store.
func (m *memorySessions) RevokeAll(_ context.Context, principal string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range slices.Clone(m.byPrincipal[principal]) {
		m.remove(m.byKey[key])
	}
	return nil
}

func (m *memorySessions) remove(e *list.Element) {
	live := e.Value.(*liveSession)
	m.used.Remove(e)
	delete(m.byKey, live.key)
	own := m.byPrincipal[live.Principal]
	own = slices.DeleteFunc(own, func(k Key) bool { return k == live.key })
	if len(own) == 0 {
		delete(m.byPrincipal, live.Principal)
	} else {
		m.byPrincipal[live.Principal] = own
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
