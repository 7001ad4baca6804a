package httpcache

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// stage is how far a flight is.
type stage int

const (
	asking  stage = iota // the server has not answered
	copying              // its answer may be kept, and comes
	passing              // it is for the one who asked first alone
	done                 // all is there, or it failed
)

// flight is a request to the server that all who ask for the same wait for (Traffic 124). It
// ends when the last of them has gone. What it asks for goes into memory at the pace of the
// server, so that nobody waits for the client of another.
type flight struct {
	part         *part
	way          httpbackend.Way
	x            *httpbackend.Exchange // detached
	primary, key string
	tag          string // of the URI
	caller       sharing.Caller
	varied       http.Header // of the one who asked first, for what answers vary by
	metadata     proxy.Metadata
	old          *answer // stale; nil for none
	asksOld      bool    // whether it still holds
	refreshes    bool    // it was begun for nobody
	ctx          context.Context
	cancel       context.CancelFunc
	sent         time.Time
	recorder     recorder // of the goroutine that runs the flight

	mu       sync.Mutex
	changed  chan struct{} // closed when what follows has changed
	stage    stage
	lead     *httpbackend.Exchange // of the one who asked first; nil when it has gone
	parked   bool                  // it leaves its answer to the flight
	headed   bool                  // it has all of its answer, which has no body
	informed []informed
	head     rfc9111.Head
	begun    bool    // the one who asked first writes it
	answer   *answer // nil where it is not kept
	length   int64   // of the body, -1 while it is not known
	body     memory.Body
	flushed  int // how much of the body there was when the server had no more
	trailer  http.Header
	err      error // it failed
	stale    bool  // the old answer stands in for the server's
	renewed  bool  // the old answer holds
	stored   bool
	result   httpbackend.Result // when it is done
	over     chan struct{}      // closed when nothing of it runs any more

	// flights.mu guards what follows.
	readers  int
	outdated bool
	ended    bool
}

// informed is an informational answer.
type informed struct {
	status int
	header http.Header
}

// notify tells those who wait. The caller holds mu.
func (f *flight) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// run asks the server.
func (f *flight) run() {
	defer close(f.over)
	defer f.cancel()
	f.recorder = recorder{f: f, header: http.Header{}}
	f.x.W = &f.recorder
	f.x.Answer = func(_ int, server string, _ http.Header) { f.recorder.server = server }
	result := f.way.Forward(f.ctx, f.x)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finish(&result)
	if f.part.flights.end(f) {
		f.body.Forget()
	}
	f.stage = done
	f.notify()
}

// finish takes down what became of the flight. The caller holds mu.
func (f *flight) finish(result *httpbackend.Result) {
	f.result = *result
	switch {
	case f.stage == passing, f.stale, f.renewed, f.err != nil:
	case result.Err != nil:
		f.stale = f.stage == asking && sharing.MayBeStale(result.Err) && f.mayStandIn(f.part.now())
		f.err = result.Err
	default:
		f.trailer = f.recorder.behind()
		f.complete()
	}
}

// mayStandIn reports whether the old answer may stand in for an error.
func (f *flight) mayStandIn(now time.Time) bool {
	return f.old != nil && now.Before(f.old.ErrorUntil()) && !f.part.flights.isOutdated(f)
}

// begin is told the head of the server's answer, and says what becomes of it.
func (f *flight) begin(code int) stage {
	h := rfc9111.Head{Status: code, Server: f.recorder.server, Header: f.recorder.header, Sent: f.sent, Came: f.part.now()}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.notify()
	f.head = h
	switch {
	case (code == http.StatusInternalServerError || code >= 502 && code <= 504) && f.mayStandIn(h.Came):
		f.stale = true
		f.cancel() // nobody reads it
		return f.stage
	case code == http.StatusNotModified && f.asksOld:
		f.revalidate(&h)
		return f.stage
	}
	f.length = rfc9111.Length(h.Header)
	kept := f.part.Judge(&h, f.caller)
	switch {
	case kept == nil || f.length > memory.MaxEntry:
		f.pass()
	case !f.body.Begin(f.part.flights.memory, f.length):
		f.stage = passing // the next one may be kept
	default:
		f.answer = f.part.answer(f, kept)
		f.stage, f.begun = copying, true
	}
	return f.stage
}

// pass has the answer go to the one who asked first alone, and remembers for a time that such
// answers are not kept (Traffic 125). The caller holds mu.
func (f *flight) pass() {
	f.stage, f.answer = passing, nil
	if f.head.Status < http.StatusInternalServerError {
		f.part.flights.markPassing(f, f.head.Came)
	}
}

// revalidate takes a 304 for what was asked. The caller holds mu.
func (f *flight) revalidate(h *rfc9111.Head) {
	if !f.old.Meant(h.Header) {
		f.part.flights.drop(f.old)
		f.err = errOther
		return
	}
	fresh, kept := f.part.Renew(f.old.Kept, h, f.caller)
	f.answer, f.renewed = f.part.answer(f, fresh), true
	f.answer.Key, f.answer.Tags = f.old.Key, f.old.Tags
	f.answer.withBody(f.old.body)
	f.body.Hold(f.part.flights.memory, &f.answer.Entry)
	if f.stored = kept && f.part.flights.keep(f, f.answer); !f.stored && !f.x.Substitute {
		f.part.flights.drop(f.old)
	}
}

// complete keeps an answer that came whole. The caller holds mu.
func (f *flight) complete() {
	a := f.answer
	if a == nil {
		return
	}
	f.length = int64(len(f.body.Bytes))
	if f.trailer != nil {
		f.answer = nil // it is not kept without what came behind it
		return
	}
	s := f.part.flights
	s.mu.Lock()
	defer s.mu.Unlock()
	f.name(a)
	if b := f.body.Bytes; len(b)+len(b)/8 < cap(b) {
		f.body.Bytes = bytes.Clone(b)
	}
	a.withBody(slices.Clip(f.body.Bytes))
	f.body.Hold(s.memory, &a.Entry)
	f.stored = s.put(f, a)
}

// name gives an answer its key, and notes what answers vary by. The caller holds mu and
// flights.mu.
func (f *flight) name(a *answer) {
	a.Key, a.Tags = f.key, []string{f.tag}
	if len(a.Vary) == 0 {
		return
	}
	s := f.part.flights
	names := a.Vary
	if old := s.peek(f.primary); old != nil && old.marker {
		names = sharing.Varying(names, old.Vary)
	}
	marker := note(a.Came, sharing.MaxTTL)
	marker.Vary, marker.marker = names, true
	s.mark(f, marker, f.primary)
	a.Vary = names
	a.Key = string(f.variant(a.Vary))
}

// variant is the key of an answer to the one who asked first.
func (f *flight) variant(names []string) []byte {
	return sharing.AppendVariant([]byte(f.primary), names, f.varied, f.metadata)
}

// isFor reports whether an answer of the flight is one to a request, too.
func (f *flight) isFor(a *answer, primary []byte, q *request) bool {
	return len(a.Vary) == 0 || bytes.Equal(q.appendVariant(primary, a.Vary), f.variant(a.Vary))
}

// answer is one that a flight brings, still without a key and a body.
func (p *part) answer(f *flight, kept *rfc9111.Kept) *answer {
	return &answer{Kept: kept, of: p.group, principal: f.caller.Principal, public: !p.Principal}
}
