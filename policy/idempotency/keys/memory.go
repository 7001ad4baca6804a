package keys

import (
	"cmp"
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// defaultMemory is what all records take at most, in bytes; one owner has a tenth.
const (
	defaultMemory = 64 << 20
	ownersPart    = 10
)

// memory keeps records in this process. What is there stays until its time is over: to drop
// it would have a call made twice.
type memory struct {
	now    func() time.Time
	log    *slog.Logger
	remind atomic.Pointer[time.Time] // the log says nothing of a full memory until then

	mu     sync.Mutex
	max    int64
	used   int64
	owners map[Digest]int64
	all    map[Digest]*entry
	due    dueEntries
}

// ErrFull refuses a new key for which there is no memory.
var ErrFull = Refusal(codes.Unavailable, "STORE_FULL", "no more keys can be kept for now; try again later")

// entry is what is known of one key.
type entry struct {
	id, owner Digest
	about     About
	begun     time.Time
	record    *Record
	size      int64
	due       time.Time     // zero while a call is under way
	at        int           // in the heap, once it has a due
	ended     chan struct{} // closed when it is not any more, and nil then
}

// memoryKey is that of the memory in the State: all methods share it.
type memoryKey struct{}

// InMemory is the memory of a generation.
func InMemory(g *policy.Generation) (Store, error) {
	m, err := policy.Lease(g, memoryKey{}, func() (*memory, error) {
		return &memory{now: g.State.Now, log: g.State.Log, owners: map[Digest]int64{}, all: map[Digest]*entry{}}, nil
	})
	if err == nil {
		m.mu.Lock()
		m.max = int64(cmp.Or(g.Config.GetIdempotency().GetMaxBytes(), defaultMemory)) //nolint:gosec // checked with the configuration
		m.mu.Unlock()
	}
	return m, err
}

// Close implements io.Closer.
func (m *memory) Close() error { return nil }

// Begin implements Store.
func (m *memory) Begin(_ context.Context, c *Call) (Lease, *Record, error) {
	full := false
	defer func() {
		if full {
			m.warn("new idempotency keys are refused: there is no memory left for them, or not for one caller; raise idempotency.max_bytes, or shorten their ttl")
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	if kept := m.known(c.ID); kept != nil {
		return nil, kept, nil
	}
	owner, size := c.Owner(), int64(overhead+len(c.Key)+len(c.Principal))
	if !m.fits(owner, size) {
		full = true
		return nil, nil, ErrFull
	}
	e := &entry{id: c.ID, owner: owner, about: c.About, begun: m.now(), record: &Record{State: Running, Fingerprint: c.Fingerprint}, ended: make(chan struct{})}
	m.all[e.id] = e
	m.charge(e, size)
	return &memoryLease{m, e}, nil, nil
}

// Known implements Rememberer.
func (m *memory) Known(id Digest) *Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known(id)
}

// known returns what is known of a key; nil for nothing. m.mu is held.
func (m *memory) known(id Digest) *Record {
	m.expire()
	e := m.all[id]
	if e == nil {
		return nil
	}
	m.keepForms(e)
	return e.record
}

// fits reports whether there is room. m.mu is held.
func (m *memory) fits(owner Digest, more int64) bool {
	return m.used+more <= m.max && m.owners[owner]+more <= m.max/ownersPart
}

// formsBytes is what Forms take without any, and the copy of a record that has them.
const formsBytes = 352

// keepForms has what is made of an answer that is given again be kept, where more than half of the
// memory is free: the other half is for keys. m.mu is held.
func (m *memory) keepForms(e *entry) {
	if r := e.record; r.State != Answered || r.HTTPStatus != 0 || r.Forms != nil || !m.hasSpare(e, formsBytes) {
		return
	}
	known := *e.record
	known.Forms = proxy.NewForms(&room{m, e})
	e.record = &known
	m.charge(e, formsBytes)
}

// room is the memory for what is made of an entry's answer.
type room struct {
	*memory
	of *entry
}

// Take implements proxy.Room.
func (r *room) Take(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[r.of.id] != r.of || n > 0 && !r.hasSpare(r.of, int64(n)) {
		return false
	}
	r.charge(r.of, int64(n))
	return true
}

// hasSpare reports whether there is memory that keys do not need. m.mu is held.
func (m *memory) hasSpare(e *entry, more int64) bool {
	return m.used+more <= m.max/2 && m.owners[e.owner]+more <= m.max/ownersPart/2
}

// reminder is how often the log repeats that the memory is full.
const reminder = time.Minute

// warn says in the log that the memory is full, once in a reminder at most. m.mu is not held.
func (m *memory) warn(text string) {
	now, next := m.now(), m.remind.Load()
	if until := now.Add(reminder); (next == nil || !now.Before(*next)) && m.remind.CompareAndSwap(next, &until) {
		m.log.Warn(text)
	}
}

// charge notes that an entry takes more memory, or less. m.mu is held.
func (m *memory) charge(e *entry, more int64) {
	e.size += more
	m.used += more
	if m.owners[e.owner] += more; m.owners[e.owner] == 0 {
		delete(m.owners, e.owner)
	}
}

// drop forgets an entry. m.mu is held.
func (m *memory) drop(e *entry) {
	delete(m.all, e.id)
	m.charge(e, -e.size)
}

// expire forgets what is over. m.mu is held.
func (m *memory) expire() {
	for now := m.now(); len(m.due) > 0 && !m.due[0].due.After(now); {
		if e, ok := heap.Pop(&m.due).(*entry); ok {
			m.drop(e)
		}
	}
}

// Wait implements Store.
func (m *memory) Wait(ctx context.Context, id Digest) (*Record, bool) {
	m.mu.Lock()
	var ended chan struct{}
	if e := m.all[id]; e != nil {
		ended = e.ended
	}
	m.mu.Unlock()
	if ended == nil {
		return nil, true
	}
	select {
	case <-ended:
		return nil, true
	case <-ctx.Done():
		return nil, false
	}
}

// memoryLease is a key that a call has taken.
type memoryLease struct {
	of *memory
	e  *entry
}

// End implements Lease.
func (l *memoryLease) End(kept *Record, ttl time.Duration) {
	m, e := l.of, l.e
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all[e.id] != e {
		return // it was released by hand
	}
	close(e.ended) // who waits finds what is kept once m.mu is free
	e.ended = nil
	if kept == nil {
		m.drop(e)
		return
	}
	if more := int64(kept.Size() - overhead); m.fits(e.owner, more) {
		m.charge(e, more)
		e.record = kept
	} else {
		e.record = &Record{State: Bodyless, Fingerprint: kept.Fingerprint}
	}
	e.due = m.now().Add(ttl)
	heap.Push(&m.due, e)
}

// dueEntries are entries by the end of their time, a heap.
type dueEntries []*entry

func (d dueEntries) Len() int           { return len(d) }
func (d dueEntries) Less(i, j int) bool { return d[i].due.Before(d[j].due) }

// Swap implements heap.Interface.
func (d dueEntries) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].at, d[j].at = i, j
}

// remove takes an entry out.
func (d *dueEntries) remove(e *entry) { heap.Remove(d, e.at) }

// Push implements heap.Interface.
func (d *dueEntries) Push(x any) {
	if e, ok := x.(*entry); ok {
		e.at = len(*d)
		*d = append(*d, e)
	}
}

// Pop implements heap.Interface.
func (d *dueEntries) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return e
}
