package attempt

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// Hedge says when an attempt is made beside those that have not been answered.
type Hedge struct {
	// After is how long to wait for an answer; with Percentile, at least.
	After time.Duration
	// Percentile of the method's own latency is how long to wait; 0: After alone says.
	Percentile uint32
	// Latency is of the method's attempts. Nil without Percentile.
	Latency *Latency
}

// delay is how long to wait for an answer now; zero for no other attempt.
func (h *Hedge) delay() time.Duration {
	if h.Percentile == 0 {
		return h.After
	}
	if q := h.Latency.Quantile(h.Percentile); q > 0 {
		return max(q, h.After)
	}
	return 0
}

// began counts a call.
func (h *Hedge) began() {
	if h.Latency != nil {
		h.Latency.began()
	}
}

// may reports whether the method may have another hedge now, which is then counted.
func (h *Hedge) may() bool { return h.Percentile == 0 || h.Latency.mayHedge(h.Percentile) }

// took counts an attempt that took so long.
func (h *Hedge) took(d time.Duration) {
	if h.Latency != nil {
		h.Latency.record(d)
	}
}

// answer is what one of several attempts came to.
type answer struct {
	n       int // of the attempt, from 0
	err     error
	trailer metadata.MD
	within  context.Context // of the attempt
	placed  bool            // it had an endpoint
	began   bool            // it is of a stream that has sent its header
	turn    *upstream.Turn

	reply  transport.Reply   // of a unary call
	stream *transport.Stream // of a stream that began
	first  chan received     // what that stream sends first
}

// free gives up an answer that comes too late.
func (a *answer) free() {
	switch {
	case a.stream != nil:
		m := <-a.first // its context has ended
		m.frame.Free()
	case a.err == nil:
		frame := proxy.FrameOf(a.reply.Message)
		frame.Free()
	}
}

// race makes attempts of one call side by side, and takes the first answer that counts
// (Traffic 77). All but try run on the goroutine of the call.
type race struct {
	tries
	ctx    context.Context
	header proxy.Metadata // of the first attempt
	// request is the client's message, which each attempt has a reference to.
	request proxy.Frame
	// try makes an attempt, on a goroutine of its own, that ends with ctx. The request
	// is its own.
	try func(ctx context.Context, turn *upstream.Turn, header proxy.Metadata, request proxy.Frame) answer

	delay   time.Duration // until an attempt is made beside the others; 0: none is
	answers chan answer
	rivals  []*rival
	running int
	hedged  int
	at      string // the endpoint that the answer is of
	stopped bool   // no attempt more is made
	// ownFailed is set where an attempt at the endpoint of the client\'s ticket has failed.
	ownFailed bool
	failed    bool // the next attempt is made because one has failed
}

// run returns the answer. The attempt that it is of goes on until cancel is called.
func (r *race) run() (won answer, cancel context.CancelFunc) {
	// An attempt that lost may hold it a little longer than the call.
	r.header = slices.Clone(r.header)
	r.answers = make(chan answer, r.retry.Attempts+1)
	r.retry.Hedge.began()
	if wait, ok := r.ask(); !ok {
		return answer{err: r.circuit.Refusal(wait)}, func() {}
	}
	r.launch()
	r.delay = r.retry.Hedge.delay()
	timer := time.NewTimer(r.delay)
	defer timer.Stop()
	if r.delay == 0 {
		timer.Stop()
	}
	for {
		select {
		case won = <-r.answers:
			r.running--
			if r.final(&won) {
				r.tellTicket(&won)
				return won, r.settle(&won)
			}
			r.ownFailed = r.ownFailed || won.turn.Own()
			if r.repeat(&won) {
				continue
			}
			pause, again := r.mayRepeat(&won)
			switch {
			case again:
				r.failed = true
				timer.Reset(pause)
			case r.running == 0:
				return won, r.settle(&won)
			}
		case <-timer.C:
			if r.mayHedge() {
				r.launch()
			}
			r.failed = false
			if r.running == 0 {
				return won, r.settle(&won)
			}
			if r.delay > 0 && !r.stopped && r.made < r.retry.Attempts {
				timer.Reset(r.delay)
			}
		}
	}
}

// tellTicket has the client come back to the endpoint that has answered, unless that is
// another one than its own, which is only slow this once (Traffic 167).
func (r *race) tellTicket(won *answer) {
	if won.turn.Own() || r.ownFailed || !won.turn.OwnBeside() {
		won.turn.Told(won.err)
	}
}

// launch makes an attempt beside those under way.
func (r *race) launch() {
	turn, header, n := r.turn.Beside(), r.tries.header(r.header), len(r.rivals)
	rival := r.rival(turn)
	request := r.request.Ref() // before the call may end
	permit := r.permit
	r.permit = breaker.Permit{}
	r.count()
	header = r.watch(r.ctx, header)
	end := r.end
	r.rivals = append(r.rivals, rival)
	r.running++
	go func() {
		began := time.Now()
		a := r.try(rival.ctx, turn, header, request)
		a.n, a.placed, a.turn = n, turn.Begun(), turn
		said := a.err
		if a.began && rival.ctx.Err() == nil {
			said = nil // what comes after the header says nothing (Traffic 105)
		}
		if rival.state.CompareAndSwap(racing, ended) {
			r.report(r.ctx, a.within, turn, permit, said)
		} else {
			r.reportLost(rival, permit, &a, said)
		}
		if end != nil {
			end(proxy.AttemptEnd{Endpoint: turn.Endpoint(), Err: a.err})
		}
		if n == 0 && a.placed && status.Code(a.err) != codes.Unavailable {
			// One that was given up counts with the time that it had.
			r.retry.Hedge.took(time.Since(began))
		}
		r.answers <- a
	}()
}

// final reports whether an answer is the call's, whatever others will say.
func (r *race) final(a *answer) bool {
	return a.err == nil || r.ctx.Err() != nil || a.placed && !r.mayHelp(r.ctx, a.within, a.err)
}

// repeat makes an attempt again that the backend has not looked at.
func (r *race) repeat(a *answer) bool {
	if r.unseen || !errors.Is(a.err, transport.ErrUnprocessed) {
		return false
	}
	if _, ok := r.ask(); !ok {
		return false
	}
	r.unseen = true
	r.made-- // it is no attempt
	r.launch()
	return true
}

// mayRepeat reports whether another attempt is to follow one that failed, and when: at
// once where attempts are made side by side and the backend does not ask for a pause.
func (r *race) mayRepeat(a *answer) (pause time.Duration, again bool) {
	if r.stopped || !a.placed || r.made >= r.retry.Attempts {
		return 0, false
	}
	pause, exact, ok := r.asked(a.err, a.trailer)
	switch {
	case !ok:
		r.stop("pushback")
		return 0, false
	case r.delay == 0:
		pause = r.backoff(pause, exact)
	}
	if due, ok := r.ctx.Deadline(); ok && time.Until(due) <= pause {
		r.stop("deadline")
		return 0, false
	}
	return pause, true
}

func (r *race) stop(reason string) {
	r.stopped = true
	r.deny(reason)
}

// mayHedge reports whether an attempt is made now, which the budget then counts: beside
// others only at an endpoint of its own.
func (r *race) mayHedge() bool {
	if r.stopped || r.made >= r.retry.Attempts || r.ctx.Err() != nil || r.running > 0 && !r.conn.Other(&r.turn) {
		return false
	}
	if r.circuit != nil && r.circuit.Breaker.Refuses() {
		r.stop("circuit")
		return false
	}
	if !r.failed && !r.retry.Hedge.may() {
		return false // but perhaps after another delay
	}
	if !r.conn.Budget().Take(r.retry.BudgetPercent) {
		r.stop("budget")
		return false
	}
	if _, ok := r.ask(); !ok {
		r.stop("circuit")
		return false
	}
	if r.running > 0 {
		r.hedged++
	}
	return true
}

// settle ends all attempts but that of an answer, whose end it returns.
func (r *race) settle(won *answer) context.CancelFunc {
	r.at = won.turn.Endpoint()
	if r.ctx.Err() == nil { // otherwise none has lost: the call is over
		for n, rival := range r.rivals {
			if n != won.n {
				rival.lose(r.retry.PerTry)
			}
		}
	}
	if n := r.running; n > 0 {
		go func() {
			for range n {
				late := <-r.answers
				r.rivals[late.n].end()
				late.free()
			}
		}()
	}
	return r.rivals[won.n].end
}

// tell tells of the attempts so far.
func (r *race) tell() proxy.Tries {
	t := r.tries.tell()
	t.Hedged, t.Endpoint, t.Unsent = r.hedged, r.at, false // nobody asks of what is made twice
	return t
}

// callHedged makes a unary call that may be made. The request is the caller's.
func (g *GRPC) callHedged(ctx context.Context, t tries, method string, header proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	r := race{tries: t, ctx: ctx, header: header, request: request}
	r.try = func(ctx context.Context, turn *upstream.Turn, header proxy.Metadata, request proxy.Frame) (a answer) {
		defer request.Free()
		a.within = ctx
		if g.retry.PerTry > 0 {
			within, cancel := context.WithTimeoutCause(ctx, g.retry.PerTry, errLate)
			defer cancel()
			a.within = within
		}
		a.reply, a.err = g.conn.Call(a.within, turn, &transport.Request{Method: method, Header: header, Limit: g.limit, Message: request.Buffers()})
		if a.err != nil {
			a.err = late(a.within, a.err)
		}
		a.trailer = a.reply.Trailer
		return a
	}
	a, cancel := r.run()
	cancel()
	reply := proxy.Reply{Header: a.reply.Header, Trailer: a.reply.Trailer, Tries: r.tell()}
	if a.err != nil {
		return reply, g.failed(a.err)
	}
	reply.Message = proxy.FrameOf(a.reply.Message)
	return reply, nil
}
