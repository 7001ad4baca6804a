package tier

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxLate bounds what Redis is still to be told of: beyond it, it is told that everything
	// was dropped.
	maxLate = 1000
	// lateEvery is how often it is tried to tell it.
	lateEvery = 100 * time.Millisecond
)

// pending is what was dropped and Redis may not know of, with how many drops it was. It is
// not changed.
type pending map[Digest]int

// concerns reports whether an answer with the stamps was dropped.
func (p *pending) concerns(stamps []stamp) bool {
	return p != nil && len(*p) > 0 && slices.ContainsFunc(stamps, func(s stamp) bool { return (*p)[s.of] > 0 })
}

// drops are those that Redis is being told of.
type drops struct {
	pending atomic.Pointer[pending]

	mu       sync.Mutex // of changes
	late     map[Digest]int
	lateWide bool // there are others than tags among them
	wake     chan struct{}
}

// add notes that answers are dropped, or, with -1, that Redis knows of it.
func (d *drops) add(about []Digest, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.change(about, n)
}

// change is add for whoever holds mu.
func (d *drops) change(about []Digest, n int) {
	next := pending{}
	if old := d.pending.Load(); old != nil {
		maps.Copy(next, *old)
	}
	for _, a := range about {
		if next[a] += n; next[a] <= 0 {
			delete(next, a)
		}
	}
	d.pending.Store(&next)
}

// postpone has Redis told later.
func (d *drops) postpone(about []Digest, wide bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lateWide = d.lateWide || wide
	if d.late == nil {
		d.late = map[Digest]int{}
	}
	for _, a := range about {
		d.late[a]++
	}
	if len(d.late) > maxLate {
		for a, n := range d.late {
			d.change([]Digest{a}, -n)
		}
		d.late, d.lateWide = map[Digest]int{All: 1}, true
		d.change([]Digest{All}, 1)
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Drop drops answers: at once for this gateway, by local, and for the others before it
// returns, if Redis answers in time. Else they learn it when it does, and until then this
// gateway reads nothing there that it is about. wide reports whether there are others than
// tags among them. It returns what local does, and whether the others were told.
func (t *Tier) Drop(about []Digest, wide bool, local func() int) (n int, told bool) {
	t.drops.add(about, 1)
	n = local()
	if len(about) > 0 && t.tell(about, wide) != nil {
		t.drops.postpone(about, wide)
		return n, false
	}
	t.drops.add(about, -1)
	return n, true
}

// Announce is Drop of answers that are in no Redis, but in memories alone: nothing is written
// there, and the others are told.
func (t *Tier) Announce(about []Digest, local func() int) int {
	n := local()
	if len(about) > 0 && t.announce(about) != nil {
		t.drops.add(about, 1)
		t.drops.postpone(about, false)
	}
	return n
}

func (t *Tier) announce(about []Digest) error {
	if !t.redis.Health.Ask() {
		return ErrAway
	}
	ctx, cancel := t.redis.Bound(context.Background())
	defer cancel()
	if err := t.redis.Client.Publish(ctx, t.channel(), t.message(about, false)).Err(); err != nil {
		return t.failed(context.Background(), err)
	}
	return nil
}

// tell writes new generations, and has the other gateways drop what they have.
func (t *Tier) tell(about []Digest, wide bool) error {
	if !t.redis.Health.Ask() {
		return ErrAway
	}
	ctx, cancel := t.redis.Bound(context.Background())
	defer cancel()
	message := about
	if wide {
		mark, err := t.mark(ctx)
		if err != nil {
			return t.failed(context.Background(), err)
		}
		message = slices.Concat([]Digest{mark}, about)
	}
	count, err := t.count(ctx, 1)
	if err != nil {
		return t.failed(context.Background(), err)
	}
	p := t.redis.Client.Pipeline()
	for _, d := range about {
		g := newGeneration(count)
		p.Set(ctx, t.generationKey(d), g[:], generationLife)
	}
	p.Publish(ctx, t.channel(), t.message(message, wide))
	if _, err := p.Exec(ctx); err != nil {
		return t.failed(context.Background(), err)
	}
	return nil
}

// mark leaves a new mark of a drop that others than tags are among. Who has not heard of it finds
// the mark: most answers in memory have nothing else by which it could be seen that they were dropped.
func (t *Tier) mark(ctx context.Context) (Digest, error) {
	var m Digest
	_, _ = rand.Read(m[:])
	return m, t.redis.Client.Set(ctx, t.markKey(), m[:], 0).Err()
}

// deliverLate tells Redis what it could not be told at once, until the Tier is closed.
func (t *Tier) deliverLate() {
	tick := time.NewTicker(lateEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.drops.wake:
		case <-t.ctx.Done():
			return
		}
		for t.deliver() {
			select {
			case <-tick.C:
			case <-t.ctx.Done():
				t.log.Warn("answers were dropped, and the shared store could not be told: other gateways may give them until their time is over")
				return
			}
		}
	}
}

// deliver tries once to tell all that is late, and reports whether something is left.
func (t *Tier) deliver() bool {
	t.drops.mu.Lock()
	late, wide := maps.Clone(t.drops.late), t.drops.lateWide
	t.drops.mu.Unlock()
	for about := range slices.Chunk(slices.Collect(maps.Keys(late)), maxTold-1) { // and the mark
		if t.tell(about, wide) != nil {
			return true
		}
		t.drops.mu.Lock()
		for _, d := range about {
			// Where everything was dropped instead, it is another one's count.
			n := min(late[d], t.drops.late[d])
			t.drops.change([]Digest{d}, -n)
			if t.drops.late[d] -= n; t.drops.late[d] <= 0 {
				delete(t.drops.late, d)
			}
		}
		t.drops.mu.Unlock()
	}
	t.drops.mu.Lock()
	defer t.drops.mu.Unlock()
	t.drops.lateWide = t.drops.lateWide && len(t.drops.late) > 0
	return len(t.drops.late) > 0
}
