package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/ghost"
)

// Store keeps the answers of all methods, within a bound of memory (Traffic 120). It drops
// them by S3-FIFO: what is new stands in a small queue, and comes into the main one where
// it was asked for again, so that a scan of keys that are used once drops little of what
// is used often. It is safe for concurrent use.
type Store struct {
	mu      sync.RWMutex
	max     int64
	bytes   int64
	entries map[string]*entry
	tagged  map[string]map[*entry]struct{}
	flights map[string]*flight
	all     map[*flight]struct{} // those under way, also what is no longer to be joined
	small   queue
	main    queue
	ghosts  ghost.Keys

	methods  atomic.Uint64
	running  sync.WaitGroup
	evicted  atomic.Uint64
	isClosed bool
}

// newStore makes an empty Store.
func newStore(maxBytes int64) *Store {
	return &Store{
		max: maxBytes, entries: map[string]*entry{}, tagged: map[string]map[*entry]struct{}{},
		flights: map[string]*flight{}, all: map[*flight]struct{}{},
	}
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
	s.Purge(Purge{})
	return nil
}

// method is what entries of one method have in common. It is kept in the State by what it
// says, so that a reload which changes nothing of it keeps its entries (Traffic 128).
type method struct {
	id    uint64
	rpc   string
	store *Store
}

// methodKey is that of a method in the State.
type methodKey struct {
	rpc, upstream string
	digest        [32]byte
}

// Close implements io.Closer: the last configuration with the method has gone.
func (m *method) Close() error {
	m.store.purge(func(e *entry) bool { return e.method == m }, func(f *flight) bool { return f.part.method == m })
	return nil
}

// resize changes the bound.
func (s *Store) resize(maxBytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = maxBytes
	s.evict()
}

// get finds an entry that is of use at a moment.
func (s *Store) get(key []byte, now time.Time) *entry {
	s.mu.RLock()
	e := s.entries[string(key)]
	s.mu.RUnlock()
	if e == nil || e.expired(now) {
		return nil
	}
	if n := e.uses.Load(); n < maxUses {
		e.uses.Store(n + 1) // one lost to another is no harm
	}
	return e
}

// Len is how many entries there are, and Bytes what they take.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

// Bytes is the memory of all entries, as max_bytes counts it.
func (s *Store) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.bytes
}

// Evicted counts the entries that were dropped for want of memory.
func (s *Store) Evicted() uint64 { return s.evicted.Load() }

// put keeps an entry in place of the one with its key, and reports whether it does. The
// caller holds mu.
func (s *Store) put(e *entry) bool {
	if e.size = sizeOf(e); e.size > maxEntry || e.size > s.max || s.isClosed {
		return false
	}
	if old := s.entries[e.key]; old != nil {
		e.uses.Store(old.uses.Load())
		s.remove(old)
	}
	s.entries[e.key] = e
	for _, tag := range e.tags {
		set := s.tagged[tag]
		if set == nil {
			set = map[*entry]struct{}{}
			s.tagged[tag] = set
		}
		set[e] = struct{}{}
	}
	s.bytes += e.size
	if s.ghosts.Forget(e.key) {
		s.main.push(e)
	} else {
		s.small.push(e)
	}
	s.evict()
	return true
}

// remove drops an entry. The caller holds mu.
func (s *Store) remove(e *entry) {
	if s.entries[e.key] != e {
		return
	}
	delete(s.entries, e.key)
	for _, tag := range e.tags {
		if set := s.tagged[tag]; set != nil {
			if delete(set, e); len(set) == 0 {
				delete(s.tagged, tag)
			}
		}
	}
	e.queue.remove(e)
	s.bytes -= e.size
}

// Invalidate drops the answers that are about one of the tags, and has none kept that was
// asked for before (Traffic 127). It returns how many it dropped.
func (s *Store) Invalidate(tags []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := 0
	for _, tag := range tags {
		for e := range s.tagged[tag] {
			s.remove(e)
			dropped++
		}
	}
	for f := range s.all {
		f.heed(tags)
	}
	return dropped
}

// Purge says what is dropped by hand: what all fields that are set say, everything where
// none is.
type Purge struct{ RPC, Tag, Principal string }

// Purge drops answers, and has none kept that was asked for before. It returns how many it
// dropped.
func (s *Store) Purge(p Purge) int {
	return s.purge(func(e *entry) bool {
		return (p.RPC == "" || e.method.rpc == p.RPC) && (p.Principal == "" || e.principal == p.Principal) && (p.Tag == "" || slices.Contains(e.tags, p.Tag))
	}, func(f *flight) bool {
		// What a tag means for an answer that is not there yet nobody knows.
		return (p.RPC == "" || f.part.method.rpc == p.RPC) && (p.Principal == "" || f.caller.principal == p.Principal)
	})
}

func (s *Store) purge(which func(*entry) bool, under func(*flight) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped := 0
	for _, e := range s.entries {
		if which(e) {
			s.remove(e)
			dropped++
		}
	}
	for f := range s.all {
		if under(f) {
			f.outdate()
		}
	}
	return dropped
}

// entryBytes is what an entry takes beside its key, message, metadata and tags.
const entryBytes = 200

// sizeOf is the memory of an entry, not too small.
func sizeOf(e *entry) int64 {
	n := entryBytes + 2*len(e.key) + e.frame.Len() + len(e.principal) + mdSize(e.header) + mdSize(e.trailer)
	for _, tag := range e.tags {
		n += 3*len(tag) + 200
	}
	for _, v := range e.vary {
		n += len(v) + 16
	}
	return int64(n)
}

// mdSize is what a map of metadata takes: its table and the values.
func mdSize(md metadata.MD) int {
	if len(md) == 0 {
		return 0
	}
	n := 400
	for name, values := range md {
		n += len(name) + 48
		for _, v := range values {
			n += len(v) + 16
		}
	}
	return n
}
