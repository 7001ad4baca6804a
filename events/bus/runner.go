package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/log"
)

// How much goes to a sink at once, and how long after a failure.
const (
	maxBatch      = 1024
	maxBatchBytes = 1 << 20
	firstBackoff  = 100 * time.Millisecond
	longestWait   = 30 * time.Second
	// drainTime is what a sink that is no longer configured has for what it has been given.
	drainTime = 5 * time.Second
)

// Runner is one sink at work.
type Runner struct {
	bus    *Bus
	name   string
	sink   events.Sink
	reads  bool          // the log
	linger time.Duration // how long a batch waits for more
	health health

	queue   *queue
	durable chan batch
	// ctx ends what is under way, and closing before that what is begun.
	ctx     context.Context
	cancel  context.CancelFunc
	closing context.Context
	close   context.CancelFunc
	// handOver is closed where another runner of the name goes on with what is left.
	handOver chan struct{}
	once     sync.Once // for that
	// drained is closed when closing has ended and the queue is empty, done at the end.
	drained, done chan struct{}
}

// Add has a sink sent what is published and stored for it. The name is its cursor's. Of two runners
// of one name, as during a reload, the later one reads the log only when the earlier one
// has ended. The sink is closed with the runner.
func (b *Bus) Add(name string, sink events.Sink) *Runner {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.start(name, sink, true)
}

// start starts a runner, which may read the log. The bus is locked.
func (b *Bus) start(name string, sink events.Sink, reads bool) *Runner {
	r := &Runner{bus: b, name: name, sink: sink, reads: reads, queue: newQueue(), durable: make(chan batch), handOver: make(chan struct{}), drained: make(chan struct{}), done: make(chan struct{})}
	if l, ok := sink.(interface{ Linger() time.Duration }); ok {
		r.linger = l.Linger()
	}
	r.ctx, r.cancel = context.WithCancel(b.ctx)
	r.closing, r.close = context.WithCancel(b.stopping)
	b.runners[r] = true
	if b.log != nil {
		if err := r.place(b.log); err != nil {
			r.health.failed(b.options.Logger, name, err)
		}
		r.read(b.log)
	}
	go r.run()
	return r
}

// place has the log keep what is appended from now on for the sink, unless it does already.
func (r *Runner) place(l *log.Log) error {
	if _, has := l.Cursor(r.name); has || !r.reads {
		return nil
	}
	sink, err := l.Sink(r.name)
	if err != nil {
		return err
	}
	return sink.Close()
}

// Close ends the sink. What it was given best effort is still sent, for a while, or handed to another
// runner of the name, as after a reload that has changed the sink. Close does not wait for that.
func (r *Runner) Close() error {
	r.close()
	if r.bus.successor(r) != nil {
		r.once.Do(func() { close(r.handOver) })
	}
	go func() {
		timer := time.NewTimer(drainTime)
		defer timer.Stop()
		select {
		case <-r.drained:
		case <-timer.C:
		}
		r.cancel()
	}()
	return nil
}

// offer queues an event, or counts it as dropped.
func (r *Runner) offer(e *events.Event) {
	switch {
	case r.closing.Err() != nil:
		r.bus.options.Observer.Dropped(r.name, e.Topic, "shutdown", 1)
	case !r.queue.offer(e):
		r.bus.options.Observer.Dropped(r.name, e.Topic, "queue_full", 1)
	}
}

func (r *Runner) run() {
	defer close(r.done)
	r.send()
	close(r.drained)
	r.cancel()
	if err := r.sink.Close(); err != nil {
		r.bus.options.Logger.Warn("closing the sink of events "+r.name, "error", err)
	}
	r.bus.mu.Lock()
	delete(r.bus.runners, r)
	r.bus.mu.Unlock()
}

// send sends what comes, until the runner is closed and the queue is empty. What a sink does not take is sent again
// beside what comes later, which need not wait for it.
func (r *Runner) send() {
	w, wait := &work{}, firstBackoff
	for r.fill(w) {
		before := len(w.events)
		if before == 0 {
			continue // nothing of what was read is for this sink
		}
		r.attempt(w)
		if len(w.events) < before {
			wait = firstBackoff // it goes forward
		}
		if len(w.events) == 0 {
			r.health.recovered(r.bus.options.Logger, r.name)
			continue
		}
		if r.over(w) || !r.pause(wait/2+rand.N(wait/2+1)) { //nolint:gosec // it spreads attempts
			break
		}
		wait = min(2*wait, longestWait)
		r.bus.observe("retried", r.name, w.events)
	}
	r.drop(w.given())
}

// over reports whether the runner is closed and has nothing more to send but what the log keeps.
func (r *Runner) over(w *work) bool {
	if r.closing.Err() == nil {
		return false
	}
	r.queued(w)
	return len(w.given()) == 0
}

// fill adds what there is to send, and waits for that where nothing is left. It reports false when the runner ends.
func (r *Runner) fill(w *work) bool {
	select {
	case <-r.handOver:
		return false
	default:
	}
	if len(w.events) > 0 {
		r.ahead(w)
		return true
	}
	select {
	case b := <-r.durable:
		w.store(b)
	case e := <-r.queue.events:
		r.queue.took(e)
		w.give(e)
		if r.queued(w); len(w.events) < maxBatch && r.linger > 0 {
			r.wait(r.linger)
			r.queued(w)
		}
	case <-r.closing.Done():
		r.queued(w)
		return len(w.events) > 0
	}
	return true
}

// ahead adds what is at hand to what is sent again, as far as there is room.
func (r *Runner) ahead(w *work) {
	if !w.room() {
		return
	}
	r.queued(w)
	select {
	case b := <-r.durable:
		w.store(b)
	default:
	}
}

// queued adds what waits in the queue.
func (r *Runner) queued(w *work) { w.give(r.queue.more(nil, maxBatch-len(w.events))...) }

// drop counts events that were published best effort and will not be sent, and those in the
// queue. A successor gets them instead.
func (r *Runner) drop(some []*events.Event) {
	n, next := 0, r.bus.successor(r)
	for some = r.queue.more(some, maxBatch); len(some) > 0; some = r.queue.more(nil, maxBatch) {
		if next != nil {
			for _, e := range some {
				next.offer(e)
			}
			continue
		}
		n += len(some)
		r.bus.dropped("shutdown", r.name, some)
	}
	if n == 0 {
		return
	}
	r.bus.options.Logger.Warn("events were dropped, as the gateway stops or no longer has the sink", "sink", r.name, "events", n)
}

// wait waits, or less where the runner is closed meanwhile.
func (r *Runner) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.closing.Done():
	}
}

// pause waits until the next attempt, which is made at once when the runner is closed meanwhile, and reports false if it ends.
func (r *Runner) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	closing := r.closing.Done()
	if r.closing.Err() != nil {
		closing = nil
	}
	select {
	case <-timer.C:
		return true
	case <-closing:
		return true
	case <-r.ctx.Done():
		return false
	case <-r.handOver:
		return false
	}
}

// attempt sends events once, and leaves those that are to be sent again.
func (r *Runner) attempt(w *work) {
	pending, errs := w.events, w.begin()
	r.health.hears()
	if sink, ok := r.sink.(teller); ok {
		sink.SendTelling(r.ctx, pending, errs, func(i int) {
			r.health.hears()
			w.taken(i)
		})
	} else {
		r.sink.Send(r.ctx, pending, errs)
	}
	r.health.answered()
	var sent, refused, left []*events.Event
	var whys []error
	var why error // of the first, for which others may wait
	for i, e := range pending {
		switch err := errs[i]; {
		case err == nil:
			sent = append(sent, e)
		case errors.Is(err, events.ErrRejected):
			refused, whys = append(refused, e), append(whys, err)
		default:
			left = append(left, e)
			if why == nil {
				why = err
			}
		}
	}
	r.bus.observe("sent", r.name, sent)
	if len(sent) > 0 {
		r.health.succeeded()
	}
	if still := r.reject(refused, whys); len(still) > 0 {
		why, left = whys[0], inOrder(pending, left, still)
	}
	if why != nil && r.ctx.Err() == nil {
		r.health.failed(r.bus.options.Logger, r.name, why)
	}
	w.keep(left)
}

// inOrder are the events of both in the order of all.
func inOrder(all, a, b []*events.Event) (both []*events.Event) {
	for _, e := range all {
		if slices.Contains(a, e) || slices.Contains(b, e) {
			both = append(both, e)
		}
	}
	return both
}

// reject puts events aside, and returns those for which that has not worked.
func (r *Runner) reject(refused []*events.Event, whys []error) (still []*events.Event) {
	if len(refused) == 0 {
		return nil
	}
	var aside []*events.Event
	for i, err := range r.bus.reject(r.name, refused, whys) {
		e := refused[i]
		if err != nil {
			r.bus.options.Logger.Error("a rejected event cannot be put aside", "sink", r.name, "id", e.ID, "type", e.Type, "error", err)
			still = append(still, e)
			continue
		}
		aside = append(aside, e)
		r.health.refused(r.bus.options.Logger, r.name, e, whys[i])
	}
	r.bus.observe("rejected", r.name, aside)
	return still
}

// read has the runner get what the log has for its sink.
func (r *Runner) read(l *log.Log) {
	if r.reads {
		go r.pump(l)
	}
}

// pump reads batches for send.
func (r *Runner) pump(l *log.Log) {
	turn := r.bus.turn(r.name)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-r.closing.Done():
		return
	}
	sink := r.open(l)
	if sink == nil {
		return
	}
	defer func() {
		<-r.done // it may acknowledge until then
		_ = sink.Close()
	}()
	for {
		b, ok := r.next(sink)
		if !ok {
			return
		}
		select { // also where nothing of it is for this sink: what is before it may be under way
		case r.durable <- b:
		case <-r.closing.Done():
			return
		}
	}
}

// open opens the sink of the log, as often as that takes; nil if the runner ends before.
func (r *Runner) open(l *log.Log) *log.Sink {
	for r.closing.Err() == nil {
		sink, err := l.Sink(r.name)
		if err == nil {
			return sink
		}
		r.health.failed(r.bus.options.Logger, r.name, err)
		r.pause(time.Second)
	}
	return nil
}

// ended is a context that has ended, for reads that do not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// next reads the next batch; it waits for its first record alone. It reports false when the
// runner ends.
func (r *Runner) next(sink *log.Sink) (b batch, ok bool) {
	b.from = sink
	ctx, lingered := r.closing, false
	for n, bytes := 0, 0; n < maxBatch && bytes < maxBatchBytes; {
		record, err := sink.Next(ctx)
		switch {
		case err == nil:
		case n > 0 && !lingered && r.linger > 0 && r.closing.Err() == nil:
			lingered = true
			r.wait(r.linger)
			continue
		case n > 0:
			return b, true
		case r.closing.Err() != nil || errors.Is(err, log.ErrClosed):
			return b, false
		default:
			r.health.failed(r.bus.options.Logger, r.name, err)
			r.pause(time.Second)
			continue
		}
		n, bytes = n+1, bytes+len(record.Body)
		ctx, b.last = ended, record.Offset
		parsed, err := events.ParseRecord(record.Body)
		if err != nil {
			r.bus.options.Logger.Error("a record of the events log is no event, and is skipped", "sink", r.name, "offset", record.Offset, "error", err)
			continue
		}
		if e := parsed.Event; e != nil && e.For(r.name) {
			b.events, b.offsets = append(b.events, late(e)), append(b.offsets, record.Offset)
		}
	}
	return b, true
}

// late adds the extension recordedtime to an event that has waited for a second.
func late(e *events.Event) *events.Event {
	const name = "recordedtime"
	if time.Since(e.Time) < time.Second || e.Extension(name) != "" {
		return e
	}
	e.SetExtension(name, e.Time.UTC().Format(time.RFC3339Nano))
	return e
}
