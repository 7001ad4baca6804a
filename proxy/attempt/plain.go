package attempt

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// attemptField tells a plain HTTP server which attempt at a request it is, from the second
// on.
const attemptField = "X-Transom-Attempt"

// maxUnsent is how many servers in a row, to which there was no connection, are each
// followed by another one at once.
const maxUnsent = 10

// Plain says how the requests of a route are made at plain HTTP servers. It is immutable.
// By the zero Plain a request is made once, and at another server where there was no
// connection to the first.
type Plain struct {
	// Retry says which attempts are followed by another one; nil for none. Its codes are
	// statuses of HTTP, besides 502, 503 and 504.
	Retry *Retry
	// Circuit stands before each attempt; nil for none. Its codes are statuses of HTTP,
	// besides 502, 503 and 504.
	Circuit *Circuit
	// Watcher sees each attempt; nil for nobody.
	Watcher proxy.Watcher
}

// Servers are those of an upstream, and the choice among them.
type Servers interface {
	// Begin picks a server for an attempt and counts it as under way. Its error is a gRPC
	// status error. Where there is none, End is owed.
	Begin(ctx context.Context, t *upstream.Turn) (upstream.Server, error)
	// End gives the place of the attempt back; a second time it does nothing.
	End(t *upstream.Turn)
	// Judge takes down what the attempt says of its server.
	Judge(t *upstream.Turn, v upstream.Verdict)
	// Untried reports whether there is a server with room that no attempt was made at.
	Untried(t *upstream.Turn) bool
	// Budget bounds the attempts beyond the first ones.
	Budget() *upstream.Budget
}

var _ Servers = (*upstream.Conn)(nil)

// Request is where the attempts of one plain HTTP request are: for each of them Begin, then
// Again, and in the end End. It is used by one goroutine.
type Request struct {
	tries
	servers    Servers
	repeatable bool // a server may see it twice
	unsent     int  // attempts that no server has seen
	within     context.Context
	cancel     context.CancelCauseFunc // nil: the attempt has no time of its own
	timer      *time.Timer
	extra      proxy.Metadata // what the watcher adds to the header
}

// Outcome is how an attempt ended: with the header of a final answer, or without one.
type Outcome struct {
	// Status is that of the answer, 0 where there is none; RetryAfter are its fields of that
	// name.
	Status     int
	RetryAfter []string
	// Err is why there is no answer, a gRPC status error. Faulty: that is the server's fault.
	Err    error
	Faulty bool
	// Unsent: the server has seen nothing of the request. Consumed: its body cannot be sent
	// again, as it was not kept.
	Unsent, Consumed bool
}

// Start begins a request by its method, which is best made at a place. p may be nil.
func (r *Request) Start(p *Plain, servers Servers, method string, at upstream.Place) {
	r.servers = servers
	r.turn.At(at)
	if p == nil {
		return
	}
	r.budget = servers.Budget()
	r.retry, r.circuit, r.watcher = p.Retry, p.Circuit, p.Watcher
	r.repeatable = r.retry != nil && (r.retry.AnyMethod || Idempotent(method))
}

// Idempotent reports whether a request of a method may be made twice (Traffic 79; RFC 9110,
// 9.2.2).
func Idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// Keeps is how much of the request's body is to be kept for another attempt, in bytes; 0:
// nothing, as there will be none once a part of it was sent.
func (r *Request) Keeps() int {
	if !r.repeatable || r.retry.Attempts < 2 || saving.Load() {
		return 0
	}
	return r.retry.Buffer
}

// Answered notes that the answer of the last attempt is the client's: its server is the one
// that the client's ticket brings it back to.
func (r *Request) Answered() { r.turn.Told(nil) }

// Ask returns the refusal of a request that is not made, as the circuit breaker is open; nil
// where it may be made.
func (r *Request) Ask() error {
	if wait, ok := r.ask(); !ok {
		return r.circuit.Refusal(wait)
	}
	return nil
}

// Begin picks a server for an attempt, which is to be made within the context that it
// returns. Where it fails, the request has ended. Otherwise Again is owed.
func (r *Request) Begin(ctx context.Context) (context.Context, upstream.Server, error) {
	r.count()
	r.within = ctx
	if r.bounded() {
		r.within, r.cancel = context.WithCancelCause(ctx)
		cancel := r.cancel
		r.timer = time.AfterFunc(r.retry.PerTry, func() { cancel(errLate) })
	}
	r.extra = r.watch(ctx, nil)
	server, err := r.servers.Begin(r.within, &r.turn)
	if err == nil {
		return r.within, server, nil
	}
	r.stopTimer()
	err = late(r.within, err)
	r.seen(err)
	result := breaker.Nothing
	if errors.Is(err, upstream.ErrNoServer) {
		result = breaker.Failure
	}
	r.conclude(upstream.NoVerdict, result)
	r.cancelAttempt()
	return nil, upstream.Server{}, err
}

// Header adds what the attempt that has begun tells the server to the header of its
// request.
func (r *Request) Header(h http.Header) {
	for i := 0; i+1 < len(r.extra); i += 2 {
		h[http.CanonicalHeaderKey(r.extra[i])] = []string{r.extra[i+1]}
	}
	delete(h, attemptField)
	if r.made > 1 {
		h[attemptField] = []string{strconv.Itoa(r.made)} // Traffic 74
	}
}

// Again reports whether the request is to be made again after an attempt that ended so, and
// waits until then. Where it is not, the outcome is the request's, and End is owed. One that
// came too late has no status any more. ctx is the request's.
func (r *Request) Again(ctx context.Context, o *Outcome) bool {
	if !r.stopTimer() {
		o.Status, o.Err = 0, errLate // what comes after the header would not be read any more
	} else if o.Status == 0 {
		o.Err = late(r.within, o.Err)
	}
	r.answered(o.Status, o.err())
	if r.elsewhere(ctx, o) || r.afterwards(ctx, o) {
		r.turn.Elsewhere()
		r.End()
		return true
	}
	if o.Status != 0 {
		r.turn.Told(nil)
	}
	return false
}

// err is the outcome as the end of an attempt.
func (o *Outcome) err() error {
	switch {
	case o.Status == 0:
		return o.Err
	case badGateway(o.Status):
		return status.Errorf(codes.Unavailable, "HTTP status %d", o.Status)
	case o.Status >= http.StatusInternalServerError:
		return status.Errorf(codes.Unknown, "HTTP status %d", o.Status)
	}
	return nil
}

// End says that nothing of the last attempt is under way any more.
func (r *Request) End() {
	r.servers.End(&r.turn)
	r.cancelAttempt()
}

// cancelAttempt ends the context of the attempt.
func (r *Request) cancelAttempt() {
	if r.cancel != nil {
		r.cancel(nil)
		r.cancel = nil
	}
}

// Tries tells of the attempts so far.
func (r *Request) Tries() proxy.Tries { return r.tell() }

// elsewhere reports whether an attempt that no server has seen is to be made at another
// server at once (Traffic 58).
func (r *Request) elsewhere(ctx context.Context, o *Outcome) bool {
	if !o.Unsent || ctx.Err() != nil || isLate(r.within) || r.unsent >= maxUnsent || !r.servers.Untried(&r.turn) {
		return false
	}
	r.unsent++
	r.unseen = true
	r.made-- // it is no attempt
	r.turn.Because(o.err())
	r.servers.Judge(&r.turn, upstream.Faulty)
	return true
}

// afterwards reports whether another attempt is to follow by the Retry (Traffic 60, 79).
func (r *Request) afterwards(ctx context.Context, o *Outcome) bool {
	r.judge(ctx, o)
	if !r.mayFollow(ctx) || !r.repeatable && !o.Unsent || !r.mayHelp(ctx, o) {
		return false
	}
	if o.Consumed {
		r.deny("buffer")
		return false
	}
	asked := retryAfter(o.RetryAfter, time.Now())
	return r.follows(ctx, asked, false, asked <= maxAsked)
}

// mayHelp reports whether another attempt may end otherwise.
func (r *Request) mayHelp(ctx context.Context, o *Outcome) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case o.Status == 0:
		return o.Faulty || o.Unsent || isLate(r.within)
	}
	return badGateway(o.Status) || among(r.retry.Codes, o.Status)
}

// judge tells the server and the breaker how the attempt has ended (Traffic 99, 100).
func (r *Request) judge(ctx context.Context, o *Outcome) {
	verdict, result := upstream.NoVerdict, breaker.Nothing
	switch {
	case o.Status != 0 && badGateway(o.Status):
		verdict, result = upstream.Faulty, breaker.Failure
	case o.Status != 0:
		verdict, result = upstream.Sound, r.byStatus(o.Status)
	case o.Faulty && ctx.Err() != context.DeadlineExceeded:
		verdict, result = upstream.Faulty, breaker.Failure
	case ctx.Err() == context.DeadlineExceeded && context.Cause(ctx) != proxy.ErrClientTime:
		result = r.byStatus(http.StatusGatewayTimeout) // the request's own time is over
	case ctx.Err() != nil: // the client has gone
	case o.Unsent, isLate(r.within):
		verdict, result = upstream.Faulty, breaker.Failure
	}
	if verdict == upstream.Faulty {
		r.turn.Because(o.err())
	}
	r.conclude(verdict, result)
}

// conclude tells the server and the breaker of the attempt that is under way.
func (r *Request) conclude(verdict upstream.Verdict, result breaker.Result) {
	r.servers.Judge(&r.turn, verdict)
	if r.circuit != nil {
		r.circuit.Breaker.Tell(r.permit, result)
		r.permit = breaker.Permit{}
	}
}

// byStatus is what an answer says of the route.
func (r *Request) byStatus(httpStatus int) breaker.Result {
	if r.circuit != nil && (badGateway(httpStatus) || among(r.circuit.Codes, httpStatus)) {
		return breaker.Failure
	}
	return breaker.Success
}

// stopTimer ends the time of the attempt, but not the attempt. It reports false where it is
// over.
func (r *Request) stopTimer() bool {
	timer := r.timer
	r.timer = nil
	return timer == nil || timer.Stop()
}

// badGateway reports whether a status says that a server, or the one behind it, does not
// do its work.
func badGateway(httpStatus int) bool {
	return httpStatus >= http.StatusBadGateway && httpStatus <= http.StatusGatewayTimeout
}

// among reports whether a status of HTTP is one of those.
func among(statuses []codes.Code, httpStatus int) bool {
	if httpStatus < http.StatusBadRequest {
		return false
	}
	for _, s := range statuses {
		if int(s) == httpStatus {
			return true
		}
	}
	return false
}

// retryAfter is the pause that fields of the name Retry-After ask for, in seconds or until
// a date (RFC 9110, 10.2.3); zero for nothing that can be read.
func retryAfter(values []string, now time.Time) time.Duration {
	if len(values) != 1 {
		return 0
	}
	text := strings.Trim(values[0], " \t")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
