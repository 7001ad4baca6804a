package subscription

import (
	"context"
	"sync"
)

// Switch is on until it is turned off, for all partitions of a subscription. The zero Switch is
// on.
type Switch struct {
	mu sync.Mutex
	on chan struct{} // closed when it is turned on; nil while it is
}

// Turn turns it on or off.
func (s *Switch) Turn(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case on && s.on != nil:
		close(s.on)
		s.on = nil
	case !on && s.on == nil:
		s.on = make(chan struct{})
	}
}

// On reports whether it is on.
func (s *Switch) On() bool { return s.wait() == nil }

// wait is a channel that is closed when it is on again; nil where it is. A nil Switch is on.
func (s *Switch) wait() <-chan struct{} {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

// waitOn waits until the switch is on, or reports false if ctx ends before.
func (s *Switch) waitOn(ctx context.Context) bool {
	for {
		on := s.wait()
		if on == nil {
			return ctx.Err() == nil
		}
		select {
		case <-on:
		case <-ctx.Done():
			return false
		}
	}
}

// gate is closed for those who wait at it, until it is opened once.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{}
	waiters int
}

// wait returns when the gate is opened, or false if ctx ends before.
func (g *gate) wait(ctx context.Context) bool {
	g.mu.Lock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	opened := g.opened
	g.waiters++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.waiters--
		g.mu.Unlock()
	}()
	select {
	case <-opened:
		return true
	case <-ctx.Done():
		return false
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiters
}
