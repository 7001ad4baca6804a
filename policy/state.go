package policy

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// StateOptions are the outside of a State.
type StateOptions struct {
	// Log is the application log. Nil: slog.Default().
	Log *slog.Logger
	// HTTP fetches what Kinds need from servers. Nil: clients of their own.
	HTTP *http.Client
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Offline keeps Kinds from starting anything: nothing is fetched. It is
	// for commands that compile policies and serve nothing.
	Offline bool
	// Report is told by Kinds how things are that they keep up to date, such as the
	// "keys of ISSUER", after each attempt and when nobody needs them any more: why they
	// could not be read, "" for nothing to say. Nil: nobody is told. It may be called from
	// several goroutines at once.
	Report func(what, why string)
}

// State is what outlives a reload: buckets, keys, sessions, connections to
// stores. Each thing is kept under a key that says what it is about, is counted
// by the generations that use it, and is closed when the last one lets go. It is
// safe for concurrent use.
type State struct {
	// StateOptions with nothing left out but HTTP; read only.
	StateOptions

	mu     sync.Mutex
	kept   map[any]*kept
	closed bool
	away   map[string]string // by store, why it cannot be used
}

// kept is one thing and how many use it.
type kept struct {
	key   any
	value io.Closer
	users int
}

// errStateClosed is what a Lease gets that comes too late.
var errStateClosed = errors.New("the gateway is shutting down")

// NewState makes an empty State.
func NewState(o StateOptions) *State {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &State{StateOptions: o, kept: map[any]*kept{}}
}

// Close ends everything, used or not. Call it after the last call has ended.
func (s *State) Close() error {
	s.mu.Lock()
	all := s.kept
	s.kept, s.closed = nil, true
	s.mu.Unlock()
	var first error
	for _, k := range all {
		if err := k.value.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// StoreAway notes why a store cannot be used; "" for one that can. The name holds no
// credentials.
func (s *State) StoreAway(store, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == "" {
		delete(s.away, store)
		return
	}
	if s.away == nil {
		s.away = map[string]string{}
	}
	s.away[store] = why
}

// AwayStores lists the stores that could not be used when they were asked last, each as
// "name: why".
func (s *State) AwayStores() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.away)) {
		all = append(all, name+": "+s.away[name])
	}
	return all
}

// Len is how many things are kept.
func (s *State) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// acquire counts one more user of a thing, which it opens if it is not there.
func (s *State) acquire(key any, open func() (io.Closer, error)) (*kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStateClosed
	}
	k := s.kept[key]
	if k == nil {
		value, err := open()
		if err != nil {
			return nil, err
		}
		k = &kept{key: key, value: value}
		s.kept[key] = k
	}
	k.users++
	return k, nil
}

// release counts one user less and closes what nobody uses.
func (s *State) release(k *kept) {
	s.mu.Lock()
	k.users--
	last := k.users == 0 && !s.closed
	if last {
		delete(s.kept, k.key)
	}
	s.mu.Unlock()
	if last {
		if err := k.value.Close(); err != nil {
			s.Log.Warn("closing the state of a policy", "error", err)
		}
	}
}
