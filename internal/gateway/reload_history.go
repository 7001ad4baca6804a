package gateway

import (
	"slices"
	"sync"
	"time"
)

// Bounds of what is remembered of reloads: the process may live for years, and a file may be
// broken in many places.
const (
	maxReloads  = 50
	maxRemember = 100 // routes and problems of one reload
)

// Reloaded is one reload as it is remembered.
type Reloaded struct {
	At   time.Time
	Took time.Duration
	// Generation is that in service afterwards.
	Generation int
	// ConfigSum is the SHA-256 of the configuration in service afterwards.
	ConfigSum string
	// Refused reports whether what was in service before has stayed there.
	Refused  bool
	Problems Problems
	// Change has the first routes that changed, and Counts how many there were:
	// added, removed, changed.
	Change Change
	Counts [3]int
}

// reloadHistory remembers the last reloads. Safe for concurrent use.
type reloadHistory struct {
	mu   sync.Mutex
	list []Reloaded // the oldest first
}

func (h *reloadHistory) add(r Reloaded) {
	r.Counts = [3]int{len(r.Change.Added), len(r.Change.Removed), len(r.Change.Changed)}
	for _, list := range []*[]string{&r.Change.Added, &r.Change.Removed, &r.Change.Changed} {
		*list = slices.Clone((*list)[:min(len(*list), maxRemember)])
	}
	r.Problems = slices.Clone(r.Problems[:min(len(r.Problems), maxRemember)])
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == maxReloads {
		h.list = slices.Delete(h.list, 0, 1)
	}
	h.list = append(h.list, r)
}

// Reloads lists the last reloads that changed what is in service or were refused, the newest
// first.
func (g *Gateway) Reloads() []Reloaded {
	g.history.mu.Lock()
	defer g.history.mu.Unlock()
	list := slices.Clone(g.history.list)
	slices.Reverse(list)
	return list
}
