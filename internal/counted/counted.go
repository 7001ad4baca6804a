// Package counted keeps what several users share, such as connections that outlive a
// reload: each thing under a key that says what it is about, until its last user has let
// it go. It does not know what it keeps.
//
//	pool := counted.NewPool[string](func(f *os.File) error { return f.Close() })
//	f, err := pool.Get("data", func() (*os.File, error) { return os.Open("data") })
//	…
//	err = pool.Release("data")
package counted

import (
	"errors"
	"sync"
)

// ErrClosed is what Get returns once the pool is closed.
var ErrClosed = errors.New("the pool is closed")

// Pool keeps values by their keys. It is safe for concurrent use.
type Pool[K comparable, V any] struct {
	end func(V) error

	mu     sync.Mutex
	kept   map[K]*entry[V]
	closed bool
}

// entry is one value and how many use it.
type entry[V any] struct {
	value V
	users int
}

// NewPool returns an empty pool. A value that nobody uses any more is passed to end,
// outside the pool's lock.
func NewPool[K comparable, V any](end func(V) error) *Pool[K, V] {
	return &Pool[K, V]{end: end, kept: map[K]*entry[V]{}}
}

// Get returns the value of the key and counts one user more, who owes one Release. If
// there is none, open makes it; nobody else is served meanwhile, so open must not wait
// for others. Its error is returned, and nothing is kept then.
func (p *Pool[K, V]) Get(key K, open func() (V, error)) (V, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var none V
	if p.closed {
		return none, ErrClosed
	}
	if e := p.kept[key]; e != nil {
		e.users++
		return e.value, nil
	}
	value, err := open()
	if err != nil {
		return none, err
	}
	p.kept[key] = &entry[V]{value, 1}
	return value, nil
}

// Release counts one user less, and ends the value if that was the last one. It does
// nothing for what Close has ended.
func (p *Pool[K, V]) Release(key K) error {
	p.mu.Lock()
	e := p.kept[key]
	if e == nil {
		p.mu.Unlock()
		return nil
	}
	e.users--
	last := e.users == 0
	if last {
		delete(p.kept, key)
	}
	p.mu.Unlock()
	if last {
		return p.end(e.value)
	}
	return nil
}

// Close ends all values, in use or not, and returns the first error. Nothing can be had
// of the pool afterwards.
func (p *Pool[K, V]) Close() error {
	p.mu.Lock()
	all := p.kept
	p.kept, p.closed = nil, true
	p.mu.Unlock()
	var first error
	for _, e := range all {
		if err := p.end(e.value); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Len is how many values are kept.
func (p *Pool[K, V]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.kept)
}
