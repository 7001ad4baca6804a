package auth

import (
	"context"
	"sync"
	"time"

	"github.com/transom-gateway/transom/policy"
)

// expiryInterval is how often the credentials of open streams are looked at.
const expiryInterval = time.Second

// Ending is when a credential ends.
type Ending struct {
	// At is the moment, at the latest; zero: the store alone knows.
	At time.Time
	// Store knows whether the credential of the key has ended before that; nil: nothing
	// ends it.
	Store EndingStore
	Key   any
}

// EndingStore knows which credentials have ended. It is comparable: what is equal is
// asked for all at once.
type EndingStore interface {
	// EndedOf reports for each key whether its credential has ended. Errors mean that
	// the store cannot be reached.
	EndedOf(ctx context.Context, keys []any) ([]bool, error)
}

// credential is what let the caller of a stream in.
type credential struct {
	watch *Watch
	Ending
}

var _ policy.Credential = (*credential)(nil)

// Watch implements Credential: a token ends at its `exp` plus leeway, a session at
// its end, both at logout.
func (c *credential) Watch(end context.CancelCauseFunc) (stop func()) {
	s := &watchedStream{Ending: c.Ending, end: end}
	c.watch.add(s)
	return func() { c.watch.remove(s) }
}

// watchedStream is one stream and what ends it.
type watchedStream struct {
	Ending
	end context.CancelCauseFunc
}

// Watch looks at the credentials of all open streams, once in
// expiryInterval and at each logout, and at nothing while there are none. Stores are
// asked for all of them together.
type Watch struct {
	now func() time.Time

	mu      sync.Mutex
	streams map[*watchedStream]struct{}
	running bool
	logout  chan struct{} // somebody logged out

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// NewWatch makes a watch that goes by a clock.
func NewWatch(now func() time.Time) *Watch {
	w := &Watch{now: now, streams: map[*watchedStream]struct{}{}, logout: make(chan struct{}, 1)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// watchKey is the key of the watch in State.
type watchKey struct{}

// WatchOf is the watch of all generations.
func WatchOf(g *policy.Generation) (*Watch, error) {
	return policy.Lease(g, watchKey{}, func() (*Watch, error) { return NewWatch(g.State.Now), nil })
}

// Close ends the watch. No stream may be watched any more.
func (w *Watch) Close() error {
	w.cancel()
	w.work.Wait()
	return nil
}

// Credential is one whose end is watched.
func (w *Watch) Credential(e Ending) policy.Credential { return &credential{watch: w, Ending: e} }

func (w *Watch) add(s *watchedStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streams[s] = struct{}{}
	if !w.running && w.ctx.Err() == nil {
		w.running = true
		w.work.Go(w.run)
	}
}

func (w *Watch) remove(s *watchedStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.streams, s)
}

// Look has the credentials looked at now, as somebody logged out.
func (w *Watch) Look() {
	select {
	case w.logout <- struct{}{}:
	default: // they will be, anyhow
	}
}

func (w *Watch) run() {
	ticker := time.NewTicker(expiryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-w.logout:
		case <-w.ctx.Done():
			return
		}
		streams := w.all()
		if streams == nil {
			return
		}
		w.check(streams)
	}
}

// all lists the streams; nil where there are none, and the watch has ended.
func (w *Watch) all() []*watchedStream {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.streams) == 0 {
		w.running = false
		return nil
	}
	streams := make([]*watchedStream, 0, len(w.streams))
	for s := range w.streams {
		streams = append(streams, s)
	}
	return streams
}

// check ends the streams whose credential has ended. Where a store cannot be reached
// nothing is known, and its streams go on.
func (w *Watch) check(streams []*watchedStream) {
	now := w.now()
	byStore := map[EndingStore]map[any][]*watchedStream{}
	for _, s := range streams {
		switch {
		case !s.At.IsZero() && !now.Before(s.At):
			w.expire(s)
		case s.Store != nil:
			if byStore[s.Store] == nil {
				byStore[s.Store] = map[any][]*watchedStream{}
			}
			byStore[s.Store][s.Key] = append(byStore[s.Store][s.Key], s)
		}
	}
	for store, keys := range byStore {
		w.askInParts(store, keys)
	}
}

// askInParts asks a store which of the credentials have ended, a few at a time, as one
// command has only so long.
func (w *Watch) askInParts(store EndingStore, of map[any][]*watchedStream) {
	const part = 200
	keys := make([]any, 0, min(len(of), part))
	ask := func() {
		over, err := store.EndedOf(w.ctx, keys)
		for i := 0; err == nil && i < len(over); i++ {
			if over[i] {
				for _, s := range of[keys[i]] {
					w.expire(s)
				}
			}
		}
		keys = keys[:0]
	}
	for key := range of {
		if keys = append(keys, key); len(keys) == part {
			ask()
		}
	}
	if len(keys) > 0 {
		ask()
	}
}

// expire ends a stream, unless it has ended meanwhile.
func (w *Watch) expire(s *watchedStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.streams[s]; open {
		delete(w.streams, s)
		s.end(policy.ErrExpired)
	}
}
