package policy

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// expiryInterval is how often the credentials of open streams are looked at.
const expiryInterval = time.Second

// ErrExpired ends a stream whose credential has ended (Semantics 308).
var ErrExpired = status.Error(codes.Unauthenticated, "the credentials have expired or were revoked")

// Credential is what let the caller of a stream in: a token or a session.
type Credential struct {
	watch *credentialWatch
	// token and what knows of its logout; nil for a session.
	token   *verified
	revoked *revocations
	// sessions and the key of the session; nil for a token.
	sessions sessionStore
	key      sessionKey
}

// Watch calls end with ErrExpired when the credential ends: a token at its `exp` plus
// leeway, a session at its end, both at logout. It is called once at most, by another
// goroutine, and not after stop has returned.
func (c *Credential) Watch(end context.CancelCauseFunc) (stop func()) {
	s := &watchedStream{Credential: c, end: end}
	c.watch.add(s)
	return func() { c.watch.remove(s) }
}

// revocable reports whether a store is to be asked for the token.
func (c *Credential) revocable() bool {
	return c.token != nil && c.revoked.used && c.token.issuer.issues
}

// watchedStream is one stream and what ends it.
type watchedStream struct {
	*Credential
	end context.CancelCauseFunc
}

// credentialWatch looks at the credentials of all open streams, once in
// expiryInterval and at each logout, and at nothing while there are none. Stores are
// asked for all of them together.
type credentialWatch struct {
	now func() time.Time

	mu      sync.Mutex
	streams map[*watchedStream]struct{}
	running bool
	logout  chan struct{} // somebody logged out

	ctx   context.Context
	close context.CancelFunc
	work  sync.WaitGroup
}

func newCredentialWatch(now func() time.Time) *credentialWatch {
	w := &credentialWatch{now: now, streams: map[*watchedStream]struct{}{}, logout: make(chan struct{}, 1)}
	w.ctx, w.close = context.WithCancel(context.Background())
	return w
}

// stop ends the watch. No stream may be watched any more.
func (w *credentialWatch) stop() {
	w.close()
	w.work.Wait()
}

func (w *credentialWatch) add(s *watchedStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streams[s] = struct{}{}
	if !w.running && w.ctx.Err() == nil {
		w.running = true
		w.work.Go(w.run)
	}
}

func (w *credentialWatch) remove(s *watchedStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.streams, s)
}

// look has the credentials looked at now, as somebody logged out.
func (w *credentialWatch) look() {
	select {
	case w.logout <- struct{}{}:
	default: // they will be, anyhow
	}
}

func (w *credentialWatch) run() {
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
func (w *credentialWatch) all() []*watchedStream {
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
func (w *credentialWatch) check(streams []*watchedStream) {
	now := w.now()
	bySessions := map[sessionStore]map[sessionKey][]*watchedStream{}
	byTokens := map[revocationStore]map[*verified][]*watchedStream{}
	for _, s := range streams {
		switch {
		case s.token != nil && !now.Before(s.token.until):
			w.expire(s)
		case s.sessions != nil:
			put(bySessions, s.sessions, s.key, s)
		case s.revocable():
			put(byTokens, s.revoked.store, s.token, s)
		}
	}
	for store, keys := range bySessions {
		askInParts(w, keys, store.ended)
	}
	for store, tokens := range byTokens {
		askInParts(w, tokens, func(ctx context.Context, all []*verified) ([]bool, error) {
			names, issued := make([]tokenName, len(all)), make([]time.Time, len(all))
			for i, v := range all {
				names[i], issued[i] = v.name, v.issued
			}
			return store.revokedOf(ctx, names, issued)
		})
	}
}

func put[S, K comparable](m map[S]map[K][]*watchedStream, store S, key K, s *watchedStream) {
	if m[store] == nil {
		m[store] = map[K][]*watchedStream{}
	}
	m[store][key] = append(m[store][key], s)
}

// askInParts asks a store which of the credentials have ended, a few at a time, as one
// command has only so long.
func askInParts[K comparable](w *credentialWatch, of map[K][]*watchedStream, ended func(context.Context, []K) ([]bool, error)) {
	const part = 200
	keys := make([]K, 0, min(len(of), part))
	ask := func() {
		over, err := ended(w.ctx, keys)
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
func (w *credentialWatch) expire(s *watchedStream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.streams[s]; open {
		delete(w.streams, s)
		s.end(ErrExpired)
	}
}
