package httpcache

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
)

// flights are the answers of all routes in the gateway's memory, and the requests to servers
// that are under way for them. They outlive reloads. They are safe for concurrent use.
type flights struct {
	memory *memory.Memory
	groups atomic.Uint64

	// mu guards what follows, what is put, and flight.outdated: whoever drops answers holds
	// it, so that none is kept after that was asked for before.
	mu         sync.Mutex
	under      map[string]*flight   // those that may be joined, by key
	all        map[*flight]struct{} // those under way
	isClosed   bool
	running    sync.WaitGroup
	refreshing int // how many are under way that nobody waits for
}

var _ peers.Answers = (*flights)(nil)

func newFlights(m *memory.Memory) *flights {
	return &flights{memory: m, under: map[string]*flight{}, all: map[*flight]struct{}{}}
}

// flightsKey is that of the flights in the State.
type flightsKey struct{}

// Close implements io.Closer: it ends the requests under way, and keeps nothing any more.
func (s *flights) Close() error {
	s.mu.Lock()
	s.isClosed = true
	for f := range s.all {
		f.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
	s.purge(memory.Purge{})
	return nil
}

// group is what the answers of one route have in common. It is kept in the State by what it
// says, so that a reload which changes nothing of it keeps its answers (Traffic 128).
type group struct {
	id      uint64
	rpc     string
	flights *flights
}

// groupKey is that of a group in the State.
type groupKey struct {
	rpc, upstream string
	digest        [32]byte
}

// Close implements io.Closer: the last configuration with the route has gone.
func (g *group) Close() error {
	g.flights.drops(func(e *memory.Entry) bool {
		a, ok := e.Value.(*answer)
		return ok && a.of == g
	}, func(f *flight) bool { return f.part.group == g })
	return nil
}

// get finds what is of use at a moment.
func (s *flights) get(key []byte, now time.Time) *answer {
	if a, ok := memory.Get[*answer](s.memory, key); ok && !a.Expired(now) {
		return a
	}
	return nil
}

// peek finds what is kept and counts no use of it.
func (s *flights) peek(key string) *answer {
	a, _ := memory.Peek[*answer](s.memory, key)
	return a
}

// put keeps what a flight has brought, unless it was asked for before something was dropped
// that it may be, or is not of the route's own upstream. The caller holds mu.
func (s *flights) put(f *flight, a *answer) bool {
	return !f.outdated && !f.x.Substitute && !s.isClosed && a.Size <= memory.MaxEntry && s.memory.Put(&a.Entry)
}

// mark keeps what is known of answers. The caller holds mu.
func (s *flights) mark(f *flight, a *answer, key string) {
	a.of, a.principal, a.Key, a.Tags = f.part.group, f.caller.Principal, key, []string{f.tag}
	a.Size, a.Value = a.size(), a
	s.put(f, a)
}

// markPassing remembers that what a flight asked for is not kept.
func (s *flights) markPassing(f *flight, now time.Time) {
	a := note(now, sharing.PassFor)
	a.pass = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(f, a, f.key)
}

// keep is put.
func (s *flights) keep(f *flight, a *answer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(f, a)
}

// drop drops one answer.
func (s *flights) drop(a *answer) { s.memory.Remove(&a.Entry) }

// Invalidate implements peers.Answers. Tags are of URIs, and none is kept that was asked for
// before (RFC 9111 4.4).
func (s *flights) Invalidate(tags []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := s.memory.DropTagged(tags)
	for f := range s.all {
		if slices.Contains(tags, f.tag) {
			s.outdate(f)
		}
	}
	return dropped
}

// DropWhere implements peers.Answers.
func (s *flights) DropWhere(which func(rpc, principal string) bool) {
	s.drops(func(e *memory.Entry) bool {
		a, ok := e.Value.(*answer)
		return ok && which(a.of.rpc, a.principal)
	}, func(f *flight) bool { return which(f.part.rpc, f.caller.Principal) })
}

// DropTagged implements peers.Answers: each answer has the tag of its URI.
func (s *flights) DropTagged() { s.DropWhere(func(_, _ string) bool { return true }) }

// purge drops answers by hand. It returns how many.
func (s *flights) purge(p memory.Purge) int {
	tag, answers := tier.TagText(p.Tag), 0
	s.drops(func(e *memory.Entry) bool {
		fits := e.Value.Matches(p) && (p.Tag == "" || slices.Contains(e.Tags, tag))
		if a, ok := e.Value.(*answer); ok && fits && !a.marker && !a.pass {
			answers++
		}
		return fits
	}, func(f *flight) bool {
		return (p.RPC == "" || f.part.rpc == p.RPC) && (p.Principal == "" || f.caller.Principal == p.Principal) && (p.Tag == "" || f.tag == tag)
	})
	return answers
}

func (s *flights) drops(which func(*memory.Entry) bool, under func(*flight) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.DropFunc(which)
	for f := range s.all {
		if under(f) {
			s.outdate(f)
		}
	}
}

// outdate has what a flight brings go to those who wait, and to nobody else. The caller
// holds mu.
func (s *flights) outdate(f *flight) {
	f.outdated = true
	s.close(f)
}

// close has nobody join a flight any more. The caller holds mu.
func (s *flights) close(f *flight) {
	if s.under[f.key] == f {
		delete(s.under, f.key)
	}
}

func (s *flights) isOutdated(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.outdated
}

// end forgets a flight. unread reports whether nobody reads what it has brought.
func (s *flights) end(f *flight) (unread bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(f)
	delete(s.all, f)
	if f.refreshes {
		f.readers--
		s.refreshing--
	}
	f.ended = true
	return f.readers == 0
}

// join waits for the flight of a key, which it begins where there is none. leads reports
// whether it did. It returns nil where there can be none. again reports that a flight has
// ended since the memory was looked at, and what it brought is there.
func (s *flights) join(q *request, primary, key []byte, old *answer) (f *flight, leads, again bool) {
	// Of an answer that is never fresh, each request has its own: to wait for another's is
	// to wait for nothing.
	shared := old == nil || old.EverFresh()
	if shared {
		if f = s.seat(key); f != nil {
			return f, false, false
		}
	}
	if f = q.flight(string(primary), string(key), old, sharing.MaxFlight); f == nil {
		return nil, false, false
	}
	other, again := s.start(f, shared)
	if other != f {
		f.cancel()
	}
	return other, other == f, again
}

// seat joins a flight, if there is one.
func (s *flights) seat(key []byte) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.under[string(key)]
	if f != nil {
		f.readers++
	}
	return f
}

// start has a flight begin, unless another one has meanwhile, which it joins. It returns nil
// where there are none any more, or, with again set, where another one has ended.
func (s *flights) start(f *flight, shared bool) (_ *flight, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed || f.refreshes && s.refreshing >= sharing.MaxRefreshes {
		return nil, false
	}
	if shared {
		if other := s.under[f.key]; other != nil {
			other.readers++
			return other, false
		}
		if a := s.peek(f.key); a != nil && a != f.old && !a.Expired(f.sent) {
			return nil, true
		}
		s.under[f.key] = f
	}
	if f.old != nil && s.peek(f.old.Key) != f.old {
		f.old, f.asksOld = nil, false // it was dropped just now
		rfc9111.Unconditioned(f.x.R.Header)
	}
	f.readers = 1
	s.all[f] = struct{}{}
	if f.refreshes {
		s.refreshing++
	}
	s.running.Go(f.run)
	return f, false
}

// refresh begins a flight that nobody waits for, unless there is one.
func (s *flights) refresh(q *request, primary, key []byte, old *answer) {
	s.mu.Lock()
	f, closed := s.under[string(key)], s.isClosed
	s.mu.Unlock()
	if f != nil || closed {
		return
	}
	if f = q.flight(string(primary), string(key), old, sharing.RefreshTime); f == nil {
		return
	}
	f.lead, f.refreshes = nil, true
	other, _ := s.start(f, true)
	if other != f {
		f.cancel()
	}
	if other != nil && other != f {
		s.leave(other)
	}
}

// leave has one who waits gone; a flight ends with the last one.
func (s *flights) leave(f *flight) {
	s.mu.Lock()
	f.readers--
	last, ended := f.readers == 0, f.ended
	if last {
		s.close(f)
		f.cancel()
	}
	s.mu.Unlock()
	if last && ended {
		f.release()
	}
}

// flight makes one for a request, which leads it; nil where the request would be refused. most
// bounds its time where the route has no timeout.
func (q *request) flight(primary, key string, old *answer, most time.Duration) *flight {
	x := q.way.Detach(q.x)
	if x == nil {
		return nil
	}
	x.R.Method = http.MethodGet
	f := &flight{
		part: q.part, way: q.way, x: x, primary: primary, key: key, tag: tier.TagText(q.uri()), caller: q.caller,
		varied: q.r.HTTP.Header, metadata: slices.Clone(q.r.Metadata),
		old: old, asksOld: old != nil && old.Condition(x.R.Header),
		sent: q.now(), changed: make(chan struct{}), over: make(chan struct{}), length: -1, lead: q.x,
	}
	if q.timeout > 0 {
		most = q.timeout
	}
	f.ctx, f.cancel = context.WithTimeout(context.WithoutCancel(q.ctx), most)
	return f
}
