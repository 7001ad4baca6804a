package stream

import (
	"math/bits"
	"slices"
	"sort"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
)

// classKey is what clients have in common that get the same events.
type classKey struct {
	topic, rule            string
	types, subject, filter string
	principal              string
}

// How many events of a class are at hand, as long as the ring has them: classEvents, and more where there are few
// classes, which share allEvents.
const (
	classEvents = 1 << 10
	allEvents   = 1 << 20
)

const (
	// turnOf is how long a class waits for each client of the hub before it tells its clients something again:
	// what many clients get is written in few writes, each of several events. longestTurn is the most, and
	// with fewer than shortestTurn nobody waits.
	turnOf       = 18 * time.Microsecond
	longestTurn  = 180 * time.Millisecond
	shortestTurn = 2 * time.Millisecond
	// phases are how the turns of classes lie side by side.
	phases = 16
)

// class are clients that get the same events. One goroutine of it asks of each event whether it is one
// of them.
type class struct {
	hub     *Hub
	key     classKey
	rule    *rule
	types   typeSet
	subject string
	filter  cel.Program // nil for all
	caller  *Caller     // one of those that allow says the same of
	clients int         // guarded by hub.mu
	stop    chan struct{}
	phase   time.Duration // of its turns, of phases
	told    time.Time     // when its clients were told something; run has it

	mu sync.RWMutex
	// entries are those that clients get with offsets from low up to head.
	entries   []*entry
	low, head uint64
	runs      []*keptRun    // the newest
	joined    joinedRuns    // of these
	grown     chan struct{} // closed when entries come
}

// join returns the class of a key, which compile makes where there is none. leave follows.
func (h *Hub) join(key classKey, compile func() (*class, error)) (*class, error) {
	if c := h.joinClass(key, nil); c != nil {
		return c, nil
	}
	made, err := compile()
	if err != nil {
		return nil, err
	}
	if c := h.joinClass(key, made); c != nil {
		return c, nil
	}
	return nil, ErrTooMany
}

// joinClass is join, where made is a new class or nil. It returns nil where there is none.
func (h *Hub) joinClass(key classKey, made *class) *class {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.classes[key]
	if c == nil && made != nil && len(h.classes) < maxClasses && h.ctx.Err() == nil {
		c = made
		c.hub, c.key, c.stop, c.grown = h, key, newSignal(), newSignal()
		c.head, _ = h.ring.end()
		c.phase = phaseOf(h.made)
		h.made++
		c.low = c.head
		h.classes[key] = c
		h.stats.classes.Add(1)
		h.done.Go(c.run)
	}
	if c != nil {
		c.clients++
		h.stats.clients.Add(1)
	}
	return c
}

func newSignal() chan struct{} { return make(chan struct{}) }

func (c *class) leave() {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	c.hub.stats.clients.Add(-1)
	if c.clients--; c.clients == 0 {
		delete(c.hub.classes, c.key)
		c.hub.stats.classes.Add(-1)
		close(c.stop)
	}
}

// run looks at the events of the ring as they come.
func (c *class) run() {
	var batch, kept []*entry
	next := c.head
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.keepRuns(nil, 0)
		c.joined.dropAll()
	}()
	for {
		_, grown := c.hub.ring.end()
		var ok bool
		before := next
		if batch, next, ok = c.hub.ring.from(batch[:0], next, readBatch); !ok {
			// The class itself is behind; its clients look at the log.
			next, _ = c.hub.ring.end()
			c.add(nil, next, true)
			continue
		}
		kept = kept[:0]
		for _, e := range batch {
			if c.matches(e) {
				kept = append(kept, e)
			}
		}
		if next > before {
			c.add(kept, next, false)
		}
		if len(kept) > 0 {
			c.told = time.Now()
		}
		if len(batch) == readBatch {
			continue
		}
		clear(batch[:cap(batch)])
		select {
		case <-grown:
		case <-c.stop:
			return
		case <-c.hub.ctx.Done():
			return
		}
		if !c.await(c.turn(time.Now())) {
			return
		}
	}
}

// turn is how long the class waits at a time before it tells its clients something: until its next turn, where
// they were told something within the last. Their turns lie side by side, so that not all are written to at once.
func (c *class) turn(now time.Time) time.Duration {
	every := min(time.Duration(c.hub.stats.clients.Load())*turnOf, longestTurn)
	if every < shortestTurn || now.Sub(c.told) >= every {
		return 0
	}
	return every - (now.Sub(c.hub.began)+c.phase*every/phases)%every
}

// phaseOf is the phase of a class by how many were made before it: of however many classes, the turns lie as far apart as
// they can, and not one behind the other with a rest for all at the end.
func phaseOf(made int) time.Duration {
	return time.Duration(bits.Reverse8(uint8(made%phases)) / (1 << 8 / phases)) //nolint:gosec // it is small
}

// await reports false where the class or the hub ends first.
func (c *class) await(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.stop:
	case <-c.hub.ctx.Done():
	}
	return false
}

// add appends entries, and says that all before head were looked at, or that some were not.
func (c *class) add(kept []*entry, head uint64, gap bool) {
	runs := c.share(kept)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = head
	if gap {
		clear(c.entries)
		c.entries, c.low = c.entries[:0], head
		c.keepRuns(nil, 0)
	}
	c.keepRuns(runs, classRuns)
	c.entries = append(c.entries, kept...)
	most := min(max(classEvents, allEvents/max(int(c.hub.stats.classes.Load()), 1)), c.hub.options.RingEvents)
	if n := max(len(c.entries)-most, c.search(c.hub.ring.lowest())); n > 0 {
		c.low = c.entries[n-1].offset + 1
		c.entries = c.entries[:copy(c.entries, c.entries[n:])]
		clear(c.entries[len(c.entries):cap(c.entries)])
	}
	if len(kept) > 0 || gap {
		c.wakeAll()
	}
}

// wake has the clients of the class look what there is.
func (c *class) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAll()
}

// wakeAll is wake where c.mu is locked.
func (c *class) wakeAll() {
	close(c.grown)
	c.grown = newSignal()
}

// next returns the entries from an offset on that are sent at once, shared where many clients stand there; or
// what is closed when some may have come. It reports false for an offset whose events are not at hand.
func (c *class) next(offset uint64) (run place, alone []*entry, grown <-chan struct{}, head uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if offset < c.low {
		return place{}, nil, nil, c.low, false
	}
	i := c.search(offset)
	if i == len(c.entries) {
		return place{}, nil, c.grown, c.head, true
	}
	if run := c.shared(c.entries[i].offset); run.run != nil {
		return run, nil, nil, c.head, true
	}
	return place{}, slices.Clone(firstRun(c.entries[i:])), nil, c.head, true
}

// has reports whether next returns events for an offset. Whether there are some among those that are not at hand, it
// does not know.
func (c *class) has(offset uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return offset >= c.low && c.search(offset) < len(c.entries)
}

// search is the place of the first entry from an offset on.
func (c *class) search(offset uint64) int {
	return sort.Search(len(c.entries), func(i int) bool { return c.entries[i].offset >= offset })
}

// matches reports whether clients of the class get an event.
func (c *class) matches(e *entry) bool {
	v, r := e.event, c.rule
	if v.Topic != r.topic || !r.types.has(v.Type) || !c.types.has(v.Type) || c.subject != "" && c.subject != v.Subject {
		return false
	}
	if r.allow != nil && !yes(r.allow, c.caller.variables(e.everything())) {
		return false
	}
	return c.filter == nil || c.hub.filtered(c.filter, e, r)
}
