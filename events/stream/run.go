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
	text        int                 // the length of the text that its items become, roughly
	size        int64               // of its items and of that text
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
	// is made into one text, which the slowest of them keeps. joinedBytes bounds what is joined for those that
	// are late. aloneBytes bounds a run of one client, of whose events is known only what they take in memory.
	runEvents   = 256
	runBytes    = 32 << 10
	joinedBytes = 64 << 10
	aloneBytes  = 16 << 10
	// classRuns is how many runs a class keeps for clients that are late, and allRunBytes what those of all
	// classes have, of which there may be many with few clients in each. itemBytes is what an item has beside
	// its JSON, and what a run takes itself, roughly.
	classRuns   = 1024
	allRunBytes = 64 << 20
	itemBytes   = 256
)

// firstRun is the entries with which a run of entries begins that one client gets.
func firstRun(entries []*entry) []*entry {
	size := 0
	for i, e := range entries {
		if size += e.size - overhead; i > 0 && (size > aloneBytes || i == runEvents) {
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
	items := c.rule.items(kept)
	for len(items) > 0 {
		n := firstItems(items)
		r := &keptRun{first: kept[0].offset, next: kept[n-1].offset + 1}
		for _, item := range items[:n] {
			r.text += item.text()
			r.size += int64(itemBytes + len(item.Message) + 2*len(item.JSON)) // once in the item, once in the text
		}
		r.run.Store(c.hub.newRun(items[:n:n]))
		c.hub.kept.add(r)
		runs = append(runs, r)
		kept, items = kept[n:], items[n:]
	}
	return runs
}

// text is how long an item is for clients, roughly.
func (i *Item) text() int { return len(i.Cursor) + max(len(i.JSON), len(i.Message)) }

// firstItems is how many of the items are in the first run.
func firstItems(items []*Item) int {
	size := 0
	for i, item := range items {
		if size += item.text(); i > 0 && (size > runBytes || i == runEvents) {
			return i
		}
	}
	return len(items)
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
	if n := following(c.runs[i:]); n > 1 {
		return c.joined.of(c.hub, c.runs[i:i+n])
	}
	return place{c.runs[i].run.Load(), c.runs[i].first, c.runs[i].next}
}

// following is how many of the runs a client gets at once that is late for the first.
func following(runs []*keptRun) int {
	text, items := 0, 0
	for i, r := range runs {
		run := r.run.Load()
		if run == nil {
			return i
		}
		text, items = text+r.text, items+len(run.Items)
		if i > 0 && (text > joinedBytes || items > runEvents) {
			return i
		}
	}
	return len(runs)
}

// joinedRuns are the newest runs that were joined for clients that are late. Such clients stand where others do, as
// each turn has left some behind, and what they get is made once for all of them: one write in place of many is what
// has them catch up.
type joinedRuns struct {
	mu  sync.Mutex
	all [joins]*keptRun
	at  int // of the oldest
}

// joins is how many are kept.
const joins = 4

// of joins runs, of which some may not be kept any more.
func (j *joinedRuns) of(h *Hub, runs []*keptRun) place {
	first, next := runs[0].first, runs[len(runs)-1].next
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.all {
		if r != nil && r.first == first && r.next == next {
			if run := r.run.Load(); run != nil {
				return place{run, first, next}
			}
		}
	}
	made := &keptRun{first: first}
	var items []*Item
	for _, r := range runs {
		run := r.run.Load()
		if run == nil { // it was dropped just now
			break
		}
		items, made.next, made.size = append(items, run.Items...), r.next, made.size+r.size
	}
	if len(items) == 0 {
		return place{}
	}
	run := h.newRun(items)
	made.run.Store(run)
	h.kept.add(made)
	j.drop(j.at)
	j.all[j.at], j.at = made, (j.at+1)%joins
	return place{run, first, made.next}
}

// drop keeps one of the runs no longer. j.mu is locked.
func (j *joinedRuns) drop(i int) {
	if j.all[i] != nil {
		j.all[i].run.Store(nil)
		j.all[i] = nil
	}
}

// dropAll keeps none.
func (j *joinedRuns) dropAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.all {
		j.drop(i)
	}
}
