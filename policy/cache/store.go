package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
)

// Store keeps the answers of all methods in the gateway's memory, and knows the calls under
// way for them. It is safe for concurrent use.
type Store struct {
	memory *memory.Memory

	// mu guards the flights, and what is put: whoever drops answers holds it, so that no
	// flight that began before is kept after.
	mu       sync.RWMutex
	flights  map[string]*flight
	all      map[*flight]struct{} // those under way, also what is no longer to be joined
	isClosed bool
	// refreshing counts those that nobody waits for.
	refreshing int

	methods atomic.Uint64
	running sync.WaitGroup
}

var _ peers.Answers = (*Store)(nil)

// newStore makes an empty Store.
func newStore(m *memory.Memory) *Store {
	return &Store{memory: m, flights: map[string]*flight{}, all: map[*flight]struct{}{}}
}

// storeKey is that of the Store in the State.
type storeKey struct{}

// Close implements io.Closer: it ends the calls under way, and keeps nothing any more.
func (s *Store) Close() error {
	s.mu.Lock()
	s.isClosed = true
	for f := range s.all {
		f.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()
	s.Purge(memory.Purge{})
	return nil
}

// method is what entries of one method have in common. It is kept in the State by what it
// says, so that a reload which changes nothing of it keeps its entries (Traffic 128).
type method struct {
	id    uint64
	store *Store
	methodKey
}

// methodKey is that of a method in the State.
type methodKey struct {
	rpc, upstream string
	digest        [32]byte
}

// Close implements io.Closer: the last configuration with the method has gone.
func (m *method) Close() error {
	m.store.purge(func(kept *memory.Entry) bool {
		e, ok := kept.Value.(*entry)
		return ok && e.method == m
	}, func(f *flight) bool { return f.part.method == m })
	return nil
}

// get finds an entry that is of use at a moment.
func (s *Store) get(key []byte, now time.Time) *entry {
	if e, ok := memory.Get[*entry](s.memory, key); ok && !e.Over(now) {
		return e
	}
	return nil
}

// peek finds an entry, whether it is of use or not, and counts no use of it.
func (s *Store) peek(key string) *entry {
	e, _ := memory.Peek[*entry](s.memory, key)
	return e
}

// put keeps an entry in place of the one with its key, and reports whether it does. The
// caller holds mu.
func (s *Store) put(e *entry) bool {
	e.Value = e
	if e.Size = sizeOf(e); e.Size > memory.MaxEntry || s.isClosed {
		return false
	}
	e.forms.Init(e)
	return s.memory.Put(&e.Entry)
}

// Invalidate implements peers.Answers (Traffic 127).
func (s *Store) Invalidate(tags []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := s.memory.DropTagged(tags)
	for f := range s.all {
		f.heed(tags)
	}
	return dropped
}

// Purge says what is dropped by hand.
type Purge = memory.Purge

// Purge drops answers, and has none kept that was asked for before. It returns how many it
// dropped.
func (s *Store) Purge(p Purge) int {
	tag, answers := tier.TagText(p.Tag), 0
	s.purge(func(kept *memory.Entry) bool {
		fits := kept.Value.Matches(p) && (p.Tag == "" || slices.Contains(kept.Tags, tag))
		if e, ok := kept.Value.(*entry); ok && fits && !e.marker && !e.pass {
			answers++
		}
		return fits
	}, func(f *flight) bool {
		// What a tag means for an answer that is not there yet nobody knows.
		return (p.RPC == "" || f.part.method.rpc == p.RPC) && (p.Principal == "" || f.caller.Principal == p.Principal)
	})
	return answers
}

func (s *Store) purge(which func(*memory.Entry) bool, under func(*flight) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.DropFunc(which)
	for f := range s.all {
		if under(f) {
			f.outdate()
		}
	}
}

// entryBytes is what an entry takes beside its key, message, metadata and tags: itself, the
// message's buffer, the fields that are made for it once a second, its place in the map and
// among the ghosts, and what the allocator rounds up.
const entryBytes = 600

// sizeOf is the memory of an entry, not too small.
func sizeOf(e *entry) int64 {
	n := entryBytes + 2*len(e.Key) + e.message.Len() + len(e.principal) + memory.MetadataSize(e.header) + memory.MetadataSize(e.more.trailer) + memory.TagsSize(e.Tags)
	for _, v := range slices.Concat(e.more.vary, e.more.told) {
		n += len(v) + 16
	}
	return int64(n)
}
