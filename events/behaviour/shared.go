package behaviour

import (
	"context"
	"time"
)

// Shared remembers the ids of events for all gateways, for Window. It is safe for concurrent use.
type Shared interface {
	// Has reports which ids are remembered.
	Has(ctx context.Context, ids []string) ([]bool, error)
	// Add has ids remembered.
	Add(ctx context.Context, ids []string) error
}

// unseen drops events that came to another gateway before. Where Shared does not answer, none did: an event that is
// published twice has the same id.
func (c *Collector) unseen(ctx context.Context, made []taken, result *Result) []taken {
	ids := c.shared(made)
	if len(ids) == 0 {
		return made
	}
	has, err := c.Shared.Has(ctx, ids)
	if err != nil {
		return made
	}
	rest := made[:0]
	for _, t := range made {
		if t.again {
			seen := has[0]
			if has = has[1:]; seen {
				c.Count("dropped", duplicate, 1)
				result.Accepted++
				continue
			}
		}
		rest = append(rest, t)
	}
	return rest
}

// remember has other gateways know events, now that these are published: one that a gateway took and lost may come
// again, and then to any.
func (c *Collector) remember(ctx context.Context, made []taken) {
	ids := c.shared(made)
	if ids = ids[:c.Memory.share(len(ids), c.Now())]; len(ids) > 0 {
		ctx = context.WithoutCancel(ctx) // a page that is left sends its last events
		_ = c.Shared.Add(ctx, ids)       // what is not remembered is published again, with the same id
	}
}

// shared are the ids of those that may come again.
func (c *Collector) shared(made []taken) (ids []string) {
	if c.Shared == nil {
		return nil
	}
	for _, t := range made {
		if t.again {
			ids = append(ids, t.event.ID)
		}
	}
	return ids
}

// share returns how many of n ids may be remembered for all: as many in a Window as Memory has itself.
func (m *Memory) share(n int, now time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.sharing) >= Window {
		m.sharing, m.shared = now, 0
	}
	n = min(n, 2*m.most-m.shared)
	m.shared += n
	return n
}
