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

	"github.com/transom-gateway/transom/internal/counted"
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
	// Overload says what there is no memory for. It is safe for concurrent use. Nil: there is
	// for everything.
	Overload interface {
		// Saving reports whether nothing is to be kept that calls can do without.
		Saving() bool
		// Refuses reports whether calls are to be refused, those that are streams or others.
		Refuses(streams bool) bool
	}
	// Report is told by Kinds how things are that they keep up to date, such as the
	// "keys of ISSUER", after each attempt and when nobody needs them any more: why they
	// could not be read, "" for nothing to say. Nil: nobody is told. It may be called from
	// several goroutines at once.
	Report func(what, why string)
	// ReportNever is told instead of Report why something could not be read that never
	// was read before, so that nothing of it is in use.
	ReportNever func(what, why string)
}

// State is what outlives a reload: buckets, keys, sessions, connections to
// stores. Each thing is kept under a key that says what it is about, is counted
// by the generations that use it, and is closed when the last one lets go. It is
// safe for concurrent use.
type State struct {
	// StateOptions with nothing left out but HTTP; read only.
	StateOptions

	kept  *counted.Pool[any, io.Closer]
	begun time.Time // by its clock

	mu   sync.Mutex
	away map[string]string // by store, why it cannot be used
}

// NewState makes an empty State.
func NewState(o StateOptions) *State {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &State{StateOptions: o, begun: o.Now(), kept: counted.NewPool[any](io.Closer.Close)}
}

// Close ends everything, used or not. Call it after the last call has ended.
func (s *State) Close() error { return s.kept.Close() }

// Elapsed is how long the State had been there at a moment of its clock. Unlike the moment's date it does not
// change when somebody sets the machine's clock: intervals are measured by it.
func (s *State) Elapsed(at time.Time) time.Duration { return at.Sub(s.begun) }

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
func (s *State) Len() int { return s.kept.Len() }

// acquire counts one more user of a thing, which it opens if it is not there.
func (s *State) acquire(key any, open func() (io.Closer, error)) (io.Closer, error) {
	value, err := s.kept.Get(key, open)
	if errors.Is(err, counted.ErrClosed) {
		return nil, errors.New("the gateway is shutting down")
	}
	return value, err
}

// release counts one user less and closes what nobody uses.
func (s *State) release(key any) {
	if err := s.kept.Release(key); err != nil {
		s.Log.Warn("closing the state of a policy", "error", err)
	}
}
