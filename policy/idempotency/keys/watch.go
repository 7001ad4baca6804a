package keys

import (
	"context"
	"slices"
	"sync"
	"time"
)

// watches are the keys in a store that calls of this process wait for. However many wait for a
// key, it is looked at once in a pollEvery.
type watches struct {
	look func(ctx context.Context, id Digest) (sight, *Record)

	mu      sync.Mutex
	all     map[Digest]*watch
	running sync.WaitGroup
}

// sight is what is seen of a key.
type sight int

const (
	held    sight = iota // a call is under way
	free                 // one of those who wait can take the key
	settled              // there is a record, which all of them get
	unclear              // each of them has to ask for itself
)

// watch is a key that calls wait for.
type watch struct {
	of      *watches
	id      Digest
	waiting []chan *Record // each has room for what its call is told
	cancel  context.CancelFunc
}

func newWatches(look func(context.Context, Digest) (sight, *Record)) *watches {
	return &watches{look: look, all: map[Digest]*watch{}}
}

// Close implements io.Closer.
func (w *watches) Close() error {
	w.mu.Lock()
	for _, one := range w.all {
		one.cancel()
	}
	w.mu.Unlock()
	w.running.Wait()
	return nil
}

// wait is Store.Wait.
func (w *watches) wait(ctx context.Context, id Digest) (*Record, bool) {
	told := make(chan *Record, 1)
	one := w.join(id, told)
	select {
	case r := <-told:
		return r, true
	case <-ctx.Done():
		one.leave(told)
		return nil, false
	}
}

func (w *watches) join(id Digest, told chan *Record) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.all[id]
	if one == nil {
		ctx, cancel := context.WithCancel(context.Background())
		one = &watch{of: w, id: id, cancel: cancel}
		w.all[id] = one
		w.running.Go(func() { one.run(ctx) })
	}
	one.waiting = append(one.waiting, told)
	return one
}

// leave has a call wait no longer. The watch ends with the last one.
func (o *watch) leave(told chan *Record) {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	if i := slices.Index(o.waiting, told); i >= 0 {
		o.waiting = slices.Delete(o.waiting, i, i+1)
	}
	o.endIfUnused()
}

// endIfUnused ends the watch if nobody waits. The caller holds watches.mu.
func (o *watch) endIfUnused() {
	if len(o.waiting) == 0 && o.of.all[o.id] == o {
		delete(o.of.all, o.id)
		o.cancel()
	}
}

// run looks at the key until nobody waits for it.
func (o *watch) run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			o.tell(unclear, nil) // the process ends
			return
		}
		seen, r := o.of.look(ctx, o.id)
		o.tell(seen, r)
	}
}

// tell tells those who wait what was seen.
func (o *watch) tell(seen sight, r *Record) {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	n := len(o.waiting)
	switch seen {
	case held:
		n = 0
	case free:
		n = min(n, 1)
	case settled, unclear:
	}
	for _, told := range o.waiting[:n] {
		told <- r
	}
	o.waiting = slices.Delete(o.waiting, 0, n)
	o.endIfUnused()
}
