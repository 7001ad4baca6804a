package stream

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// Run is items that a client gets at once. It is shared by clients, and is not to be changed.
type Run struct {
	Items []*Item
	// Outer is what Options.OuterRun has made of it.
	Outer any
}

func (h *Hub) newRun(items []*Item) *Run {
	r := &Run{Items: items}
	if h.options.OuterRun != nil {
		r.Outer = h.options.OuterRun(items)
	}
	return r
}

// place is a run with its offsets.
type place struct {
	run *Run // nil for none
	// first is the offset of its first event, and next the one behind its last.
	first, next uint64
}

// keptRun is a run that all clients of a class get that stand before its first event.
type keptRun struct {
	first, next uint64
	size        int64               // of its items and of the text that they become, roughly
	run         atomic.Pointer[Run] // nil once it is not kept any more
}

// keptRuns are the newest runs of all classes.
type keptRuns struct {
	mu    sync.Mutex
	all   []*keptRun // the oldest first
	bytes int64
}

// add keeps a run, and drops the oldest of too many bytes.
func (k *keptRuns) add(r *keptRun) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, r)
	for k.bytes += r.size; k.bytes > allRunBytes; {
		k.bytes -= k.all[0].size
		k.all[0].run.Store(nil)
		k.all[0] = nil
		k.all = k.all[1:]
	}
}

const (
	// runEvents and runBytes bound a run, but for a single event that is larger: what many clients get at once
	// is made into one text, which the slowest of them keeps.
	runEvents = 256
	runBytes  = 16 << 10
	// classRuns is how many runs a class keeps for clients that are late, and allRunBytes what those of all
	// classes have, of which there may be many with few clients in each. itemBytes is what an item has beside
	// its JSON, and what a run takes itself, roughly.
	classRuns   = 1024
	allRunBytes = 64 << 20
	itemBytes   = 256
)

// firstRun is the entries with which a run of entries begins.
func firstRun(entries []*entry) []*entry {
	size := 0
	for i, e := range entries {
		if size += e.size - overhead; i > 0 && (size > runBytes || i == runEvents) {
			return entries[:i]
		}
	}
	return entries
}

// items are entries as clients of a rule get them.
func (r *rule) items(entries []*entry) []*Item {
	items := make([]*Item, len(entries))
	for i, e := range entries {
		items[i] = e.form(r).item
	}
	return items
}

// share makes runs of entries.
func (c *class) share(kept []*entry) (runs []*keptRun) {
	for len(kept) > 0 {
		part := firstRun(kept)
		kept = kept[len(part):]
		r := &keptRun{first: part[0].offset, next: part[len(part)-1].offset + 1}
		items := c.rule.items(part)
		for _, item := range items {
			r.size += int64(itemBytes + len(item.Message) + 2*len(item.JSON)) // once in the item, once in the text
		}
		r.run.Store(c.hub.newRun(items))
		c.hub.kept.add(r)
		runs = append(runs, r)
	}
	return runs
}

// keepRuns adds runs, of which the newest n are kept. c.mu is locked.
func (c *class) keepRuns(runs []*keptRun, n int) {
	c.runs = append(c.runs, runs...)
	drop := max(len(c.runs)-n, 0)
	for _, r := range c.runs[:drop] {
		r.run.Store(nil)
	}
	c.runs = slices.Delete(c.runs, 0, drop)
}

// shared is the run that begins at an offset; none if it is not kept. c.mu is locked.
func (c *class) shared(first uint64) place {
	i, ok := slices.BinarySearchFunc(c.runs, first, func(r *keptRun, first uint64) int { return cmp.Compare(r.first, first) })
	if !ok {
		return place{}
	}
	return place{c.runs[i].run.Load(), c.runs[i].first, c.runs[i].next}
}
