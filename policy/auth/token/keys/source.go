package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/store"
)

const (
	// DefaultRefresh is how often a URL is fetched without being asked to.
	DefaultRefresh = 15 * time.Minute
	// keyFileRefresh is how often a file is looked at.
	keyFileRefresh = 2 * time.Second
	// keyFetchTimeout bounds one fetch.
	keyFetchTimeout = 10 * time.Second
	// keyFirstPause bounds the time between two tries at the first keys.
	keyFirstPause = 5 * time.Second
	// keyWait bounds how long a call waits for keys it does not know.
	keyWait = 5 * time.Second
	// AskBurst is how often unknown `kid`s ask for a fetch at once: whoever makes tokens
	// up cannot make us fetch more.
	AskBurst = 3
	// AskEvery is how often they do from there on.
	AskEvery = 10 * time.Second
)

// Source keeps the key set of a URL or a file: it reads it in the
// background, keeps the last good one, and reads it before its time when a
// token names an unknown key. It lives in the State.
type Source struct {
	name      string
	read      func(context.Context) ([]byte, error)
	symmetric bool
	every     time.Duration
	log       *slog.Logger
	report    func(what, why string) // nil for nobody; why is "" where all is well
	// reportNever is told instead while there are no keys at all; nil for nobody.
	reportNever func(what, why string)
	now         func() time.Time

	current atomic.Pointer[Set]
	last    []byte    // what current was made of; the loop's own
	failing time.Time // since when there are no keys because they cannot be read; as above
	ask     chan struct{}
	stop    context.CancelFunc
	stopped chan struct{}

	mu      sync.Mutex
	attempt chan struct{} // closed when the attempt that is under way, or the next, has ended
	reading bool
	pending bool // asked, but not yet begun
	tried   bool
	asks    float64 // how many more asks are granted
	asked   time.Time
}

var _ io.Closer = (*Source)(nil)

// keySourceKey is what a key source is about; generations share it.
type keySourceKey struct {
	kind, address string
	every         time.Duration
}

// OpenFile reads a file and goes on to look at it; an error is one of its own.
func OpenFile(g *policy.Generation, name string) (*Source, error) {
	read := readKeyFile(name)
	data, err := read(context.Background())
	if err != nil {
		return nil, err
	}
	set, err := ParseSet(data, true)
	if err != nil {
		return nil, err
	}
	return policy.Lease(g, keySourceKey{"file", name, keyFileRefresh}, func() (*Source, error) {
		s := &Source{name: name, read: read, symmetric: true, every: keyFileRefresh, last: data,
			log: g.State.Log, report: g.State.Report, reportNever: g.State.ReportNever, now: g.State.Now}
		s.current.Store(set)
		return startKeySource(s, g.State.Offline), nil
	})
}

// OpenURL begins to fetch a URL; name is who it is of, for the log.
func OpenURL(g *policy.Generation, name, address string, every time.Duration) (*Source, error) {
	return policy.Lease(g, keySourceKey{"url", address, every}, func() (*Source, error) {
		client := g.State.HTTP
		if client == nil {
			client = newClient()
		}
		return startKeySource(&Source{name: name, read: fetch(client, address), every: every,
			log: g.State.Log, report: g.State.Report, reportNever: g.State.ReportNever, now: g.State.Now}, g.State.Offline), nil
	})
}

// startKeySource begins to read; offline it never does, and has the keys that
// it was made with.
func startKeySource(s *Source, offline bool) *Source {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.ask, s.stopped, s.attempt = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	s.asks, s.asked = AskBurst, s.now()
	if offline {
		s.tried, s.asks = true, 0
		close(s.stopped)
		return s
	}
	go s.run(ctx)
	return s
}

// Close stops reading and waits for it.
func (s *Source) Close() error {
	s.stop()
	<-s.stopped
	if s.report != nil {
		s.report("keys of "+s.name, "") // nobody needs the keys any more
	}
	return nil
}

func (s *Source) run(ctx context.Context) {
	defer close(s.stopped)
	failures := 0
	for {
		if s.readOnce(ctx) {
			failures = 0
		} else {
			failures++
		}
		timer := time.NewTimer(s.pause(failures))
		select {
		case <-timer.C:
		case <-s.ask:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// pause is the time until the next read: the interval give or take a tenth, so
// that gateways do not ask in step; after a failure a second, doubled each time
// up to a minute, or to keyFirstPause while there are no keys at all: until then
// no token is taken.
func (s *Source) pause(failures int) time.Duration {
	if failures == 0 {
		return s.every - s.every/10 + rand.N(s.every/5+1)
	}
	longest := time.Minute
	if s.current.Load() == nil {
		longest = keyFirstPause
	}
	return min(time.Second<<min(failures-1, 6), longest, s.every)
}

// readOnce reads the keys and tells those who wait.
func (s *Source) readOnce(ctx context.Context) bool {
	s.mu.Lock()
	s.reading, s.pending = true, false
	s.mu.Unlock()
	err := s.refresh(ctx)
	s.mu.Lock()
	close(s.attempt)
	s.attempt, s.reading, s.tried = make(chan struct{}), false, true
	s.mu.Unlock()
	if ctx.Err() == nil {
		s.tell(err)
	}
	return err == nil
}

// tell says how the last read ended.
func (s *Source) tell(err error) {
	why := ""
	report := s.report
	if err != nil {
		until := "the last good ones stay in use"
		if s.current.Load() == nil {
			until = "there are none yet, so its tokens cannot be checked and are refused"
		}
		why = "the keys of a token issuer cannot be read; " + until
		s.log.Warn(why, "keys", s.name, "error", err)
		if s.current.Load() == nil {
			report = s.reportNever
			if s.failing.IsZero() {
				s.failing = s.now()
			}
			why = "the keys of a token issuer cannot be read since " + s.failing.UTC().Format(time.RFC3339) + "; " + until
		}
		why += ": " + err.Error()
	}
	if report != nil {
		report("keys of "+s.name, why)
	}
}

func (s *Source) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keyFetchTimeout)
	defer cancel()
	data, err := s.read(ctx)
	if err != nil {
		return err
	}
	if s.current.Load() != nil && bytes.Equal(data, s.last) {
		return nil
	}
	set, err := ParseSet(data, s.symmetric)
	if err != nil {
		return err
	}
	s.last = data
	s.current.Store(set)
	return nil
}

// Set is the current set; nil if there is none yet.
func (s *Source) Set() *Set { return s.current.Load() }

// keys gives the current set; where none has been read yet it waits for the
// first attempt. Nil: there never were any.
func (s *Source) keys(ctx context.Context) *Set {
	if set := s.current.Load(); set != nil {
		return set
	}
	s.mu.Lock()
	attempt, tried := s.attempt, s.tried
	s.mu.Unlock()
	if !tried {
		waitFor(ctx, attempt)
	}
	return s.current.Load()
}

// KeysWith gives a set that knows the key, if a fetch can bring one; else the
// current one.
func (s *Source) KeysWith(ctx context.Context, kid string) *Set {
	set := s.keys(ctx)
	// An attempt under way may have begun before the key was published: it is
	// worth a second one.
	for range 2 {
		if set == nil || set.knows(kid) {
			return set
		}
		attempt := s.nextAttempt(set)
		if attempt == nil {
			return set
		}
		waitFor(ctx, attempt)
		set = s.current.Load()
	}
	return set
}

// nextAttempt gives the end of the attempt under way, or asks for one; nil if
// that has been asked too often. Where another set than the one that was seen
// has come meanwhile, nothing needs to be asked.
func (s *Source) nextAttempt(seen *Set) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading || s.pending {
		return s.attempt
	}
	if s.current.Load() != seen {
		return noWait
	}
	now := s.now()
	s.asks = min(AskBurst, s.asks+float64(now.Sub(s.asked))/float64(AskEvery))
	s.asked = now
	if s.asks < 1 {
		return nil
	}
	s.asks--
	s.pending = true
	select {
	case s.ask <- struct{}{}:
	default: // asked already
	}
	return s.attempt
}

// noWait is an attempt that has ended.
var noWait = func() <-chan struct{} {
	ended := make(chan struct{})
	close(ended)
	return ended
}()

func waitFor(ctx context.Context, done <-chan struct{}) {
	timer := time.NewTimer(keyWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// fetch reads a URL, SetBytes at most.
func fetch(client *http.Client, address string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", "application/jwk-set+json, application/json")
		response, err := client.Do(request)
		if err != nil {
			return nil, store.WithoutURL(err)
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the server answers %s, expected 200", response.Status)
		}
		return readKeys(response.Body)
	}
}

// readKeyFile reads a regular file, SetBytes at most.
func readKeyFile(name string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) { return regularfile.ReadContext(ctx, name, SetBytes) }
}

func readKeys(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, SetBytes+1))
	if err == nil && len(data) > SetBytes {
		err = fmt.Errorf("the key set has more than %d bytes", SetBytes)
	}
	return data, err
}

// newClient fetches keys: few redirects, never from https to http.
func newClient() *http.Client {
	return &http.Client{Timeout: keyFetchTimeout, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > 3 {
			return errors.New("more than 3 redirects")
		}
		if via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
			return errors.New("a redirect from https to cleartext")
		}
		return nil
	}}
}

// CheckURL tells what is wrong with the URL of a key set.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("found no URL of a key set, expected https://host/path")
	}
	return nil
}

// Cleartext reports whether a URL is fetched without TLS from another machine.
func Cleartext(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
}
