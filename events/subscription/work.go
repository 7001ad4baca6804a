package subscription

import (
	"context"
	"strings"
	"sync"
	"time"
)

// Work is what a Source works on while it runs.
type Work struct {
	s *Subscription

	mu   sync.Mutex
	open map[*Partition]int32
	cut  []context.CancelFunc // of the calls under way
}

// Open makes a partition whose messages begin with an offset. committed is called when what is
// done has moved, with the offset that a reader would go on with; nil for nobody.
func (w *Work) Open(partition int32, from int64, committed func(next int64)) *Partition {
	o := w.s.setup.Options
	var p *Partition
	ready := make(chan struct{})
	o.Committed = func() {
		<-ready
		w.s.committed()
		if committed != nil {
			committed(p.Committed())
		}
	}
	p = NewPartition(o, from)
	close(ready)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[p] = partition
	return p
}

// Close closes a partition: calls under way may end, for as long as the subscription has, and
// within. 0 is no bound of its own; that of a subscription that goes on is Setup.Grace.
func (w *Work) Close(p *Partition, within time.Duration) {
	ctx, cancel := context.WithCancel(w.s.cut)
	defer cancel()
	if within <= 0 && w.s.stopped.Err() == nil {
		within = w.s.grace()
	}
	if within > 0 {
		defer time.AfterFunc(within, cancel).Stop()
	}
	w.mu.Lock()
	w.cut = append(w.cut, cancel)
	w.mu.Unlock()
	p.Close(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, p)
}

// cutNow ends the calls of partitions that are being closed, and of those that will be.
func (w *Work) cutNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.cut {
		cancel()
	}
}

// Well notes that the source gets messages.
func (w *Work) Well() {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		s.setup.Logger.Info("a subscription gets events again", "subscription", s.setup.Name, "after", time.Since(s.since).Round(time.Millisecond).String())
	}
	s.failure = nil
}

// Failed notes that the source gets no messages for now.
func (w *Work) Failed(err error) { w.s.failed(err) }

// Takes reports whether events of a type are taken.
func (w *Work) Takes(kind string) bool { return w.s.Takes(kind) }

func (s *Subscription) committed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commit = time.Now()
}

func (w *Work) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.open {
		p.Resume()
	}
}

// look adds what partitions say of themselves.
func (w *Work) look(st *Status) map[int32]time.Time {
	oldest := map[int32]time.Time{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, n := range w.open {
		st.InFlight += p.InFlight()
		st.Waiting = st.Waiting || p.Paused()
		oldest[n] = p.Oldest()
	}
	return oldest
}

// Takes reports whether a type is one of some patterns; none are all.
func Takes(types []string, kind string) bool {
	for _, t := range types {
		if prefix, open := strings.CutSuffix(t, "*"); t == kind || open && strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return len(types) == 0
}
