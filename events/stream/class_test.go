package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/events"
)

// TestTurns holds Events 184: clients of a class that were told something a moment ago wait for its next turn, the
// longer the more clients there are, and for nothing where it was quiet. The turns of classes lie apart.
func TestTurns(t *testing.T) {
	h := &Hub{began: time.Now()}
	for _, test := range []struct {
		clients, phase int
		at, told       time.Duration // since the hub began
		want           time.Duration
	}{
		{100, 0, time.Second, time.Second, 0},
		{10_000, 0, time.Second, time.Second - 180*time.Millisecond, 0},
		{10_000, 0, time.Second, time.Second, 80 * time.Millisecond}, // 6 turns of 180 ms
		{10_000, 0, time.Second, time.Second - 179*time.Millisecond, 80 * time.Millisecond},
		{10_000, 1, time.Second, time.Second, 68750 * time.Microsecond},
		{10_000, 15, time.Second, time.Second, 91250 * time.Microsecond},
		{1_000_000, 0, time.Second, time.Second, 80 * time.Millisecond},
		{1000, 0, time.Second, time.Second, 8 * time.Millisecond}, // 56 turns of 18 ms
	} {
		t.Run(fmt.Sprintf("Events 184: %d clients, phase %d, told %v ago", test.clients, test.phase, test.at-test.told), func(t *testing.T) {
			h.stats.clients.Store(int64(test.clients))
			c := &class{hub: h, phase: time.Duration(test.phase), told: h.began.Add(test.told)}
			if got := c.turn(h.began.Add(test.at)); got != test.want {
				t.Errorf("waits %v, want %v", got, test.want)
			}
		})
	}
}

// TestPhases holds Events 184: the turns of a few classes are spread over the time that one takes, and each phase is used.
func TestPhases(t *testing.T) {
	for n := 2; n <= phases; n++ {
		var all []int
		for made := range n {
			all = append(all, int(phaseOf(phases+made)))
		}
		slices.Sort(all)
		widest := all[0] + phases - all[n-1]
		for i := 1; i < n; i++ {
			widest = max(widest, all[i]-all[i-1])
			if all[i] == all[i-1] {
				t.Errorf("%d classes: two have the phase %d", n, all[i])
			}
		}
		if most := 2 * phases / n; widest > most {
			t.Errorf("%d classes have the phases %v: %d pass without one, want %d at most", n, all, widest, most)
		}
	}
}

// TestKeptRuns bounds what a class keeps, and all classes do.
func TestKeptRuns(t *testing.T) {
	h := &Hub{}
	one := &class{hub: h, rule: &rule{hub: h}}
	entries := func(n, bytes int) (all []*entry) {
		for i := range n {
			e := newEntry(uint64(i), &events.Event{DataContentType: events.JSON, Data: fmt.Appendf(nil, "%q", strings.Repeat("x", bytes))}) //nolint:gosec // it is small
			e.forms = []form{{item: &Item{JSON: e.event.Data}}}
			all = append(all, e)
		}
		return all
	}
	kept := func(c *class) (n int) {
		for _, r := range c.runs {
			if r.run.Load() != nil {
				n++
			}
		}
		return n
	}
	for i := range classRuns + 3 {
		e := entries(1, 100)
		e[0].offset = uint64(i) //nolint:gosec // it is small
		one.keepRuns(one.share(e), classRuns)
	}
	if len(one.runs) != classRuns || kept(one) != classRuns || one.shared(2).run != nil {
		t.Errorf("%d runs, %d kept", len(one.runs), kept(one))
	}
	two := &class{hub: h, rule: one.rule}
	large := int(allRunBytes / (&class{hub: &Hub{}, rule: one.rule}).share(entries(1, 200<<10))[0].size)
	two.keepRuns(two.share(entries(large+10, 200<<10)), large+10)
	if n := kept(two); h.kept.bytes > allRunBytes || h.kept.bytes < allRunBytes-(600<<10) || n < large-10 || n > large || kept(one) != 0 {
		t.Errorf("all runs have %d bytes, of %d; %d and %d are kept", h.kept.bytes, allRunBytes, kept(one), n)
	}
	two.keepRuns(nil, 0)
	if n := len(two.runs); n != 0 {
		t.Errorf("%d runs of a class that has ended", n)
	}
}

// TestFirstRun bounds what is sent at once.
func TestFirstRun(t *testing.T) {
	of := func(n, size int) (all []*entry) {
		for range n {
			all = append(all, &entry{size: overhead + size})
		}
		return all
	}
	for _, test := range []struct{ n, size, want int }{
		{1, 10 * aloneBytes, 1}, {2, aloneBytes, 1}, {5, aloneBytes / 2, 2}, {3, 1, 3}, {runEvents + 9, 1, runEvents},
	} {
		if got := len(firstRun(of(test.n, test.size))); got != test.want {
			t.Errorf("%d of %d bytes: %d at once, want %d", test.n, test.size, got, test.want)
		}
	}
}

// TestFirstItems bounds what is sent to many clients at once, by what they get.
func TestFirstItems(t *testing.T) {
	of := func(n, size int) (all []*Item) {
		for range n {
			all = append(all, &Item{JSON: make([]byte, size)})
		}
		return all
	}
	for _, test := range []struct{ n, size, want int }{
		{1, 10 * runBytes, 1}, {2, runBytes, 1}, {5, runBytes / 2, 2}, {3, 1, 3}, {runEvents + 9, 1, runEvents},
	} {
		if got := firstItems(of(test.n, test.size)); got != test.want {
			t.Errorf("%d of %d bytes: %d at once, want %d", test.n, test.size, got, test.want)
		}
	}
}

// TestJoinedRuns holds Events 184: clients that are late get several runs as one, which is made once for those that
// stand at one place, and is bounded.
func TestJoinedRuns(t *testing.T) {
	h := &Hub{}
	c := &class{hub: h, rule: &rule{hub: h}}
	add := func(offset uint64, bytes int) {
		e := &entry{offset: offset, forms: []form{{item: &Item{JSON: make([]byte, bytes)}}}}
		c.keepRuns(c.share([]*entry{e}), classRuns)
	}
	for i := range uint64(10) {
		add(i, joinedBytes/8)
	}
	at := func(first uint64) place { return c.shared(first) }
	if p := at(0); len(p.run.Items) != 8 || p.next != 8 {
		t.Errorf("from 0 on: %d events, up to %d", len(p.run.Items), p.next)
	}
	if p := at(7); len(p.run.Items) != 3 || p.next != 10 {
		t.Errorf("from 7 on: %d events, up to %d", len(p.run.Items), p.next)
	}
	if p := at(9); p.run != c.runs[9].run.Load() {
		t.Error("the newest run is made anew")
	}
	if one, two := at(7), at(7); one != two {
		t.Error("two clients at one place get different runs")
	}
	add(10, 1)
	if p := at(7); len(p.run.Items) != 4 || p.run.Items[3] != c.runs[10].run.Load().Items[0] {
		t.Errorf("with a new one: %d events", len(p.run.Items))
	}
	c.runs[8].run.Store(nil) // of too many bytes
	if p := at(7); len(p.run.Items) != 1 || p.next != 8 {
		t.Errorf("before one that is gone: %d events, up to %d", len(p.run.Items), p.next)
	}
	if p := at(8); p.run != nil {
		t.Error("one that is gone is given")
	}
	c.joined.dropAll()
	for _, r := range h.kept.all {
		if r.run.Load() != nil && len(r.run.Load().Items) > 1 {
			t.Error("a joined run is kept for nobody")
		}
	}
}
