package httpcache

import (
	"maps"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// patience is how long one who waits does so for a body whose length nobody knows, once it has
// begun: what is made while it is read may have no end.
const patience = 5 * time.Second

// errGone is why an answer cannot be written.
var errGone = status.Error(codes.Canceled, "the client went away while its answer was written")

// follower is a request that waits for a flight, and writes its answer as it comes.
type follower struct {
	*request
	f       *flight
	primary []byte
	leads   bool

	informed int         // of the informational answers
	status   int         // that was written; 0: none
	bodily   bool        // the client gets the body
	written  int         // of the body
	flushed  int         // of what was to be flushed
	late     *time.Timer // nil: not set
	failed   bool        // the flight did, and one of those who waited for it asks next
}

// fetch asks the server, once for all who ask for the same at the time. again reports that
// the flight brought no answer to this one, or that there is one by now; failed, that it is
// because the request of the one who asked first has failed.
func (q *request) fetch(primary, key []byte, old *answer) (_ httpbackend.Result, again, failed bool) {
	f, leads, again := q.flights.join(q, primary, key, old)
	if again {
		return httpbackend.Result{}, true, false
	}
	if f == nil { // the process ends, or the request is one to be refused
		return q.alone(sharing.PassedBy), false, false
	}
	w := &follower{request: q, f: f, primary: primary, leads: leads}
	defer w.leave()
	for {
		next, changed := w.look()
		if next != nil {
			if result, over, again := next(); over || again {
				return result, again, again && w.failed
			}
			continue
		}
		var late <-chan time.Time
		if w.late != nil {
			late = w.late.C
		}
		select {
		case <-changed:
		case <-late:
			return w.apart(), false, false
		case <-q.ctx.Done():
			return w.end(status.FromContextError(q.ctx.Err()).Err()), false, false
		}
	}
}

// leave has the follower gone from the flight.
func (w *follower) leave() {
	if w.late != nil {
		w.late.Stop()
	}
	f := w.f
	if w.leads {
		f.mu.Lock()
		f.lead = nil
		f.notify()
		f.mu.Unlock()
	}
	w.flights.leave(f)
}

// step does something that the flight's state asks for, without holding its lock. over says
// that result is what became of the request, and again that the flight brought nothing for it.
type step func() (result httpbackend.Result, over, again bool)

// look finds what is to be done next; nil for nothing until changed is closed.
func (w *follower) look() (next step, changed <-chan struct{}) {
	f := w.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.leads && w.informed < len(f.informed) && w.status == 0 {
		i := f.informed[w.informed]
		w.informed++
		return func() (result httpbackend.Result, over, again bool) {
			w.x.Inform(i.status, i.header)
			return result, false, false
		}, nil
	}
	switch f.stage {
	case copying:
		if step := w.copies(); step != nil {
			return step, nil
		}
	case passing:
		return w.passes(), nil
	case done:
		return w.ends(), nil
	case asking:
	}
	return nil, f.changed
}

// copies is the step while the answer comes; nil for none. The caller holds f.mu.
func (w *follower) copies() step {
	f := w.f
	switch {
	case w.status != 0:
		return w.more()
	case w.leads:
		return w.heads(f.head.Header, sharing.Miss)
	case !w.now().Before(f.answer.FreshUntil()) || !f.isFor(f.answer, w.primary, w.request):
		return w.parts
	case f.length >= 0:
		header := maps.Clone(f.answer.Header)
		header["Content-Length"] = f.head.Header["Content-Length"]
		header["Age"] = rfc9111.AgeLine(f.answer.AgeAt(w.now()))
		return w.heads(header, sharing.Collapsed)
	case w.late == nil:
		w.late = time.NewTimer(patience)
	}
	return nil
}

// heads is the step that writes the head of the answer. The caller holds f.mu.
func (w *follower) heads(header http.Header, result string) step {
	a, code, server := w.f.answer, w.f.head.Status, w.f.head.Server
	return func() (_ httpbackend.Result, over, again bool) {
		w.tell(result, a, w.now())
		w.status, w.bodily = writeHead(w.x, code, server, header)
		return httpbackend.Result{}, false, false
	}
}

// more is the step that writes what has come of the body; nil for nothing. The caller holds
// f.mu.
func (w *follower) more() step {
	piece, flushed := w.f.body.Bytes[w.written:], w.f.flushed
	if len(piece) == 0 && (flushed <= w.flushed || flushed <= w.written) {
		return nil
	}
	return func() (result httpbackend.Result, over, again bool) {
		if w.bodily && len(piece) > 0 {
			if _, err := w.x.W.Write(piece); err != nil {
				return w.end(errGone), true, false
			}
		}
		if w.written += len(piece); flushed > w.flushed && flushed > w.written {
			w.flushed = flushed
			_ = http.NewResponseController(w.x.W).Flush() // where it fails, the next write does, too
		}
		return result, false, false
	}
}

// passes is the step where the answer is for the one who asked first alone. The caller holds
// f.mu.
func (w *follower) passes() step {
	f := w.f
	if !w.leads {
		return w.parts
	}
	switch {
	case w.status == 0 && f.begun: // it was to be kept at first
		return w.heads(f.head.Header, sharing.Miss)
	case w.status != 0 && w.written < len(f.body.Bytes):
		return w.more()
	}
	return func() (httpbackend.Result, bool, bool) {
		if w.status == 0 {
			w.tell(sharing.Miss, nil, time.Time{})
		}
		f.mu.Lock()
		f.parked, f.headed = true, w.status != 0 && !w.bodily
		f.notify()
		f.mu.Unlock()
		select {
		case <-f.over:
		case <-w.ctx.Done():
			f.cancel()
			<-f.over
		}
		result := f.result
		result.Status = f.recorder.wrote
		if w.status != 0 {
			result.Status = w.status
		}
		switch {
		case result.Err == nil:
		case f.headed, f.recorder.wrote != 0 && !f.recorder.bodily: // it has all that is for it
			result.Err, result.Aborted = nil, false
		case w.ctx.Err() != nil:
			result.Err = status.FromContextError(w.ctx.Err()).Err()
		}
		return result, true, false
	}
}

// parts is the step of one who waits no longer.
func (w *follower) parts() (result httpbackend.Result, over, again bool) {
	return w.apart(), true, false
}

// apart has the request go its way.
func (w *follower) apart() httpbackend.Result { return w.alone(sharing.NotKept) }

// ends is the step when all is there. The caller holds f.mu.
func (w *follower) ends() step {
	f := w.f
	if w.status != 0 {
		if w.written < len(f.body.Bytes) {
			return w.more()
		}
		return w.complete
	}
	switch {
	case f.stale:
		return func() (httpbackend.Result, bool, bool) {
			return w.with(w.give(sharing.Stale, f.old, w.now())), true, false
		}
	case f.err == errOther, f.err != nil && !w.leads:
		w.failed = f.err != errOther
		return func() (result httpbackend.Result, over, again bool) { return result, false, true }
	case f.err != nil:
		return func() (httpbackend.Result, bool, bool) { return w.fails(), true, false }
	case w.leads && !f.renewed:
		return w.heads(f.head.Header, sharing.Miss) // then the rest of it
	case f.answer == nil:
		return w.parts
	case !w.leads && (!w.now().Before(f.answer.FreshUntil()) || !f.isFor(f.answer, w.primary, w.request)):
		return w.parts
	}
	result := sharing.Collapsed
	if w.leads {
		result = sharing.Revalidated
	}
	return func() (httpbackend.Result, bool, bool) {
		out := w.with(w.give(result, f.answer, w.now()))
		return out, true, false
	}
}

// with is a result with what became of the flight.
func (w *follower) with(result httpbackend.Result) httpbackend.Result {
	of := &w.f.result
	result.Tries, result.Resent, result.Server, result.Received = of.Tries, of.Resent, of.Server, of.Received
	return result
}

// fails is what became of a request whose flight has.
func (w *follower) fails() httpbackend.Result {
	w.tell(sharing.Miss, nil, time.Time{})
	result := w.f.result
	result.Status = 0
	return result
}

// complete ends an answer whose body is written, as its flight did.
func (w *follower) complete() (result httpbackend.Result, over, again bool) {
	f := w.f
	result = w.with(httpbackend.Result{Status: w.status})
	if f.err != nil {
		result.Err, result.Aborted = f.err, true
		return result, true, false
	}
	maps.Copy(w.x.W.Header(), f.trailer)
	return result, true, false
}

// end is what became of a request that does not wait for its flight.
func (w *follower) end(err error) httpbackend.Result {
	result := httpbackend.Result{Status: w.status, Err: err, Aborted: w.status != 0}
	if w.status == 0 {
		w.tell(sharing.Miss, nil, time.Time{})
	}
	return result
}
