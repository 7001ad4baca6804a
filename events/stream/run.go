package stream

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

// sharedRun is a run that all clients of a class get that stand before its first event.
type sharedRun struct {
	run *Run // nil for none
	// first is the offset of its first event, and next the one behind its last.
	first, next uint64
}

const (
	// runEvents and runBytes bound a run, but for a single event that is larger: what many clients get at once
	// is made into one text, which the slowest of them keeps.
	runEvents = 256
	runBytes  = 16 << 10
	// keptRuns is how many runs a class keeps for clients that are late, and allRuns how many all classes
	// keep, of which there may be many with few clients in each.
	keptRuns = 64
	allRuns  = 4096
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
func (c *class) share(kept []*entry) (runs []sharedRun) {
	for len(kept) > 0 && c.hub.stats.runs.Load() < allRuns {
		part := firstRun(kept)
		kept = kept[len(part):]
		runs = append(runs, sharedRun{c.hub.newRun(c.rule.items(part)), part[0].offset, part[len(part)-1].offset + 1})
	}
	return runs
}

// keepRuns adds runs, of which the newest n are kept. c.mu is locked.
func (c *class) keepRuns(runs []sharedRun, n int) {
	before := len(c.runs)
	c.runs = append(c.runs, runs...)
	if drop := len(c.runs) - n; drop > 0 {
		c.runs = c.runs[:copy(c.runs, c.runs[drop:])]
		clear(c.runs[len(c.runs):cap(c.runs)])
	}
	c.hub.stats.runs.Add(int64(len(c.runs) - before))
}
