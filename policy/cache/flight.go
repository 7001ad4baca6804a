package cache

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/proxy"
)

// flight is a call to the backend that all who ask for the same wait for (Traffic 124). It
// ends when the last of them has gone.
type flight struct {
	part         *part
	next         proxy.Backend
	path         string
	primary, key string
	caller       sharing.Caller
	frame        proxy.Frame
	tags         []string // those that the request tells
	unread       bool     // the tags could not be told
	ctx          context.Context
	cancel       context.CancelFunc
	stamps       *tier.Stamps // of the moment before the backend was asked; nil without Redis
	found        bool         // what Redis has is not wanted
	refreshes    bool         // it was begun for nobody
	hasStale     bool         // its waiters have a stale answer for want of another

	// Store.mu guards what follows.
	waiters  []*waiter
	outdated bool
	written  []string // tags that were dropped meanwhile
}

// waiter is one who waits for a flight.
type waiter struct {
	flight  *flight
	out     chan outcome // has room for the one outcome
	header  proxy.Metadata
	request *policy.Request
	values  context.Context // the call's own, for what it holds: its place, its span
	// refreshes tells that nobody waits for it.
	refreshes bool
	led       bool // the call was made for it; read it when there is an outcome
}

// outcome is what a waiter is told.
type outcome struct {
	entry  *entry
	stored bool
	again  bool // look in the memory again
	alone  bool // the answer is not for others: make a call of your own
	reply  proxy.Reply
	err    error
}

// maxWritten bounds flight.written.
const maxWritten = 64

// heed notes that answers about tags were dropped: who asks from now on must not get what
// was asked for before, nor may it be kept. The caller holds Store.mu.
func (f *flight) heed(tags []string) {
	if f.outdated || len(tags) == 0 {
		return
	}
	for _, tag := range tags {
		if slices.Contains(f.tags, tag) {
			f.outdate()
			return
		}
	}
	if f.part.answers == nil {
		return
	}
	// What else it is about, its answer will tell.
	f.leave()
	if f.written = append(f.written, tags...); len(f.written) > maxWritten {
		f.outdate()
	}
}

// outdate has the answer go to those who wait, and to nobody else.
func (f *flight) outdate() {
	f.outdated = true
	f.leave()
}

// leave has nobody join it any more.
func (f *flight) leave() {
	if s := f.part.store; s.flights[f.key] == f {
		delete(s.flights, f.key)
	}
}

// join waits for the flight of a key, which it begins where there is none. It returns nil
// when the store is closed. again reports that a flight has ended since the memory was looked
// at, and what it brought is there.
func (s *Store) join(a *asked, primary, key string, old, seen *entry) (_ *waiter, again bool) {
	w := &waiter{out: make(chan outcome, 1), header: slices.Clone(a.header), request: a.r.Detached(), values: a.ctx}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed {
		return nil, false
	}
	f := s.flights[key]
	if f == nil && s.changed(key, seen, a.part.now()) {
		return nil, true
	}
	if f == nil {
		f = s.begin(a, primary, key, false)
	}
	f.hasStale = f.hasStale || old != nil
	w.flight = f
	f.waiters = append(f.waiters, w)
	return w, false
}

// changed reports whether something else than what was seen is kept under a key, which is of
// use. The caller holds mu.
func (s *Store) changed(key string, seen *entry, now time.Time) bool {
	e := s.peek(key)
	return e != nil && e != seen && !e.Over(now)
}

// refresh begins a flight that nobody waits for, unless there is one or was one since the
// stale answer was seen.
func (s *Store) refresh(a *asked, primary, key string, seen *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed || s.refreshing >= sharing.MaxRefreshes || s.flights[key] != nil || s.changed(key, seen, a.part.now()) {
		return
	}
	f := s.begin(a, primary, key, true)
	f.waiters = append(f.waiters, &waiter{flight: f, out: make(chan outcome, 1), header: slices.Clone(a.header), request: a.r.Detached(), values: a.ctx, refreshes: true})
}

// begin makes a flight and has it run. The caller holds mu.
func (s *Store) begin(a *asked, primary, key string, refreshes bool) *flight {
	f := s.prepare(a, primary, key, refreshes)
	s.flights[key] = f
	if !refreshes {
		s.running.Go(f.run)
		return f
	}
	s.refreshing++
	s.running.Go(func() {
		f.run()
		s.mu.Lock()
		s.refreshing--
		s.mu.Unlock()
	})
	return f
}

// prepare makes a flight, which heeds what is dropped from now on. The caller holds mu.
func (s *Store) prepare(a *asked, primary, key string, refreshes bool) *flight {
	f := &flight{part: a.part, next: a.Backend, path: a.path, primary: primary, key: key, caller: a.caller, frame: a.request.Ref(), found: a.found == key, refreshes: refreshes}
	var ok bool
	if f.tags, ok = render(nil, f.part.tags, f.part.form, a.request.Bytes(), false); !ok {
		f.unread = true
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	s.all[f] = struct{}{}
	return f
}

// look looks in Redis for a call that is to be answered from a store alone, and reports
// whether those who ask may look in the memory again.
func (s *Store) look(a *asked, primary, key string) bool {
	if !a.part.inRedis || a.found == key {
		return false
	}
	s.mu.Lock()
	f := s.prepare(a, primary, key, false)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, f)
		f.cancel()
		f.frame.Free()
	}()
	a.found = key
	return f.find()
}

// leave has a waiter gone; the call ends with the last one.
func (s *Store) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := w.flight
	if i := slices.Index(f.waiters, w); i >= 0 {
		f.waiters = slices.Delete(f.waiters, i, i+1)
	}
	if len(f.waiters) == 0 {
		f.leave()
		f.cancel()
	}
	select {
	case out := <-w.out: // it came just now, and nobody takes it
		if out.entry == nil {
			out.reply.Message.Free()
		}
	default:
	}
}

// holds reports whether an entry is there still.
func (s *Store) holds(e *entry) bool { return s.peek(e.Key) == e }

// run calls the backend for the first who waits, and for the next one where that failed
// without the backend's word.
func (f *flight) run() {
	defer f.frame.Free()
	defer f.cancel()
	if f.part.inRedis && f.find() {
		return
	}
	for {
		lead := f.lead()
		if lead == nil {
			return
		}
		sent := f.part.now()
		reply, err := f.call(lead)
		if err == nil || proxy.FromBackend(err) || f.hasStaleFor(err) {
			f.complete(lead, reply, err, sent)
			return
		}
		f.fail(lead, reply, err)
	}
}

// lead returns the waiter whose call is next; nil for none, and then the flight is over.
func (f *flight) lead() *waiter {
	s := f.part.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(f.waiters) > 0 && f.ctx.Err() == nil {
		f.waiters[0].led = true
		return f.waiters[0]
	}
	f.leave()
	delete(s.all, f)
	for _, w := range f.waiters { // the store was closed
		w.out <- outcome{alone: true}
	}
	f.waiters = nil
	return nil
}

func (f *flight) call(lead *waiter) (proxy.Reply, error) {
	most := sharing.MaxFlight
	if lead.refreshes {
		most = sharing.RefreshTime
	}
	ctx, cancel := context.WithTimeout(&leadContext{f.ctx, lead.values}, cmp.Or(f.part.timeout, most))
	defer cancel()
	return f.next.Call(policy.NewContext(ctx, lead.request), f.path, sharing.Unconditional(lead.header), f.frame.Ref())
}

// leadContext ends with the flight and holds what the call that leads it does.
type leadContext struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (c *leadContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

func (f *flight) hasStaleFor(err error) bool {
	f.part.store.mu.RLock()
	defer f.part.store.mu.RUnlock()
	return f.hasStale && sharing.MayBeStale(err)
}

// fail tells the one whose call it was that it failed.
func (f *flight) fail(lead *waiter, reply proxy.Reply, err error) {
	s := f.part.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(f.waiters, lead); i >= 0 {
		f.waiters = slices.Delete(f.waiters, i, i+1)
		lead.out <- outcome{reply: reply, err: err}
		return
	}
	reply.Message.Free()
}

// complete keeps the answer where it may be kept, and tells all who wait.
func (f *flight) complete(lead *waiter, reply proxy.Reply, err error, sent time.Time) {
	p, s, now := f.part, f.part.store, f.part.now()
	e := p.judge(&reply, err, f.caller, sent, now)
	if e != nil && (f.unread || !f.tag(e, &reply, err)) {
		e = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.outdated = f.outdated || reply.Substitute // the method's own backend may say something else
	stored := false
	switch {
	case e != nil:
		f.name(e, lead)
		if !f.outdated && !slices.ContainsFunc(e.Tags, func(tag string) bool { return slices.Contains(f.written, tag) }) {
			stored = s.put(e)
			f.share(e)
		}
	case err == nil && !f.outdated:
		s.put(&entry{Entry: memory.Entry{Key: f.key}, method: p.method, principal: f.caller.Principal, pass: true, more: noMore, Life: sharing.Life{Came: now, Fresh: sharing.PassFor}})
	}
	f.leave()
	delete(s.all, f)
	for _, w := range f.waiters {
		w.out <- f.outcome(w == lead, e, stored, reply, err)
	}
	if e != nil || !slices.Contains(f.waiters, lead) {
		reply.Message.Free() // nobody has it
	}
	f.waiters = nil
}

// outcome is what one waiter is told.
func (f *flight) outcome(led bool, e *entry, stored bool, reply proxy.Reply, err error) outcome {
	switch {
	case e != nil:
		return outcome{entry: e, stored: stored, reply: proxy.Reply{Tries: reply.Tries}}
	case led:
		return outcome{reply: reply, err: err}
	case err != nil:
		return outcome{reply: proxy.Reply{Header: reply.Header, Trailer: reply.Trailer, Tries: reply.Tries}, err: err}
	}
	return outcome{alone: true}
}

// tag finds the tags of an answer, and reports whether it could.
func (f *flight) tag(e *entry, reply *proxy.Reply, err error) bool {
	e.Tags = f.tags
	if err != nil {
		return f.part.answers == nil // what it is not, nobody could drop
	}
	var ok bool
	e.Tags, ok = render(slices.Clip(f.tags), f.part.tags, f.part.answers, reply.Message.Bytes(), true)
	return ok
}

// name gives an entry its key, and notes what answers vary by. The caller holds Store.mu.
func (f *flight) name(e *entry, lead *waiter) {
	if e.Key = f.key; len(e.more.vary) == 0 {
		return
	}
	s := f.part.store
	if old := s.peek(f.primary); old != nil && old.marker {
		e.more = moreOf(more{e.more.trailer, e.more.err, sharing.Varying(e.more.vary, old.more.vary), nil})
	}
	e.Key = string(appendVariant([]byte(f.primary), e.more.vary, lead.request, lead.header))
	if !f.outdated {
		m := &entry{
			Entry: memory.Entry{Key: f.primary}, method: f.part.method, principal: f.caller.Principal, more: &more{vary: e.more.vary},
			marker: true, shared: e.shared, Life: sharing.Life{Came: e.Came, Fresh: sharing.MaxTTL},
		}
		s.put(m)
		f.share(m)
	}
}
