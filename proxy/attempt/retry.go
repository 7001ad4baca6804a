package attempt

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

const (
	// previousAttempts tells the backend how often the call was tried before.
	previousAttempts = "grpc-previous-rpc-attempts"
	// pushback is the trailer by which a backend says when it wants the next attempt,
	// in milliseconds.
	pushback = "grpc-retry-pushback-ms"
	// maxAsked is the longest pause that a backend may ask for; a call that would have to
	// wait longer ends.
	maxAsked = 5 * time.Second
)

// Retry says which attempts of a method's calls are followed by another one. It is
// immutable.
type Retry struct {
	// Attempts is how many there are in all, the first included.
	Attempts int
	// PerTry bounds each attempt; for streams, the wait for the first message. Zero: only
	// the call's own deadline does.
	PerTry time.Duration
	// Codes are those of the backend's status that another attempt may change.
	Codes []codes.Code
	// InitialBackoff is the pause before the second attempt; each one after that is
	// twice as long, up to MaxBackoff.
	InitialBackoff, MaxBackoff time.Duration
	// BudgetPercent is the share of the calls to the backend that may be retries.
	BudgetPercent uint32
	// Hedge has attempts made side by side. Nil: one after the other.
	Hedge *Hedge
	// Buffer bounds what is kept of a client's stream, or of the body of a plain HTTP request,
	// for another attempt, in bytes.
	Buffer int
	// AnyMethod: each plain HTTP request may be made again, whatever HTTP says of its method.
	AnyMethod bool
}

// tries is where the attempts of one call are.
type tries struct {
	retry *Retry // nil: there is one attempt
	conn  *upstream.Conn
	turn  upstream.Turn
	// budget is the upstream's.
	budget *upstream.Budget
	made   int // attempts so far
	grown  int // pauses since the backoff began anew
	// unseen is set once the call was made again because the backend had not looked at
	// it, which is done once (Traffic 58).
	unseen bool
	denied string // why there is not one more, "" for any other reason

	circuit *Circuit       // nil: none
	permit  breaker.Permit // of the attempt that is under way
	judged  bool           // what its end says has been told

	watcher proxy.Watcher          // nil: none
	end     func(proxy.AttemptEnd) // to be told of the attempt's end; nil: nobody is
}

// count counts an attempt. The first one is counted as a call.
func (t *tries) count() {
	t.made++
	t.judged = false
	if t.retry != nil && t.made == 1 && !t.unseen {
		t.budget.Began()
	}
}

// bounded reports whether each attempt has a time of its own.
func (t *tries) bounded() bool { return t.retry != nil && t.retry.PerTry > 0 }

// begin counts and bounds an attempt of a unary call.
func (t *tries) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	t.count()
	if !t.bounded() {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, t.retry.PerTry, errLate)
}

// errLate is why an attempt ended that took too long.
var errLate = status.Error(codes.DeadlineExceeded, "no attempt was answered within retry.per_try_timeout")

// late is the error of an attempt as its time makes it: what the gateway says of one
// that it ended is that it took too long.
func late(within context.Context, err error) error {
	var told *transport.ToldError
	if isLate(within) && !errors.As(err, &told) {
		return errLate
	}
	return err
}

// isLate reports whether an attempt was ended for it took too long.
func isLate(within context.Context) bool { return context.Cause(within) == errLate }

// soonLate reports whether a DEADLINE_EXCEEDED is of the attempt's time, and not of the
// call's: servers look at the clock before we do, and round.
func (t *tries) soonLate(ctx, within context.Context) bool {
	due, bounded := within.Deadline()
	if last, ok := ctx.Deadline(); !bounded || ok && !due.Before(last) {
		return false
	}
	return time.Until(due) < t.retry.PerTry/10
}

// again reports whether the call is to be made again after an attempt that ended with
// err, and waits until then. within is the attempt's context, ctx the call's.
func (t *tries) again(ctx, within context.Context, err error, trailer metadata.MD) bool {
	if errors.Is(err, transport.ErrUnprocessed) && !t.unseen {
		t.unseen = true
		t.made-- // it is no attempt
		t.turn.Elsewhere()
		return true
	}
	t.judge(ctx, within, err)
	if !t.mayFollow(ctx) || !t.mayHelp(ctx, within, err) {
		return false
	}
	asked, exact, ok := t.asked(err, trailer)
	if !t.follows(ctx, asked, exact, ok) {
		return false
	}
	t.turn.Elsewhere()
	return true
}

// mayFollow reports whether the Retry has another attempt in it, after one that had a
// server.
func (t *tries) mayFollow(ctx context.Context) bool {
	return t.retry != nil && t.made < t.retry.Attempts && ctx.Err() == nil && t.turn.Begun()
}

// follows reports whether another attempt follows one that failed, and waits until then.
// The backend asks for a pause, the exact one or the least, or for none (ok is not set).
func (t *tries) follows(ctx context.Context, asked time.Duration, exact, ok bool) bool {
	if !ok {
		t.deny("pushback")
		return false
	}
	pause := t.backoff(asked, exact)
	if due, ok := ctx.Deadline(); ok && time.Until(due) <= pause {
		t.deny("deadline")
		return false
	}
	if t.circuit != nil && t.circuit.Breaker.Refuses() {
		t.deny("circuit")
		return false
	}
	if !t.budget.Take(t.retry.BudgetPercent) {
		t.deny("budget")
		return false
	}
	if !sleep(ctx, pause) {
		return false
	}
	if _, ok := t.ask(); !ok {
		t.deny("circuit")
		return false
	}
	return true
}

func (t *tries) deny(reason string) {
	if t.retry != nil {
		t.denied = reason
	}
}

// tell tells of the attempts so far.
func (t *tries) tell() proxy.Tries {
	return proxy.Tries{
		Attempts: max(1, t.made), Denied: t.denied, Endpoint: t.turn.Endpoint(), Unsent: t.made <= 1 && !t.turn.Begun(),
	}
}

// mayHelp reports whether another attempt may end otherwise (Traffic 60 to 62): of what
// the gateway itself says, only that the backend was lost, or took too long for one
// attempt.
func (t *tries) mayHelp(ctx, within context.Context, err error) bool {
	code := status.Code(err)
	if isLate(within) || code == codes.DeadlineExceeded && t.soonLate(ctx, within) {
		return true
	}
	var told *transport.ToldError
	if !errors.As(err, &told) {
		return code == codes.Unavailable
	}
	if proxy.NotModified(err) {
		return false
	}
	for _, c := range t.retry.Codes {
		if c == code {
			return true
		}
	}
	return false
}

// asked is the pause that the backend asks for, the exact one or the least; false where
// it wants no attempt more, or none soon (Traffic 70, 71).
func (t *tries) asked(err error, trailer metadata.MD) (pause time.Duration, exact, ok bool) {
	if said := trailer[pushback]; len(said) > 0 {
		ms, bad := strconv.ParseUint(said[0], 10, 31)
		pause = time.Duration(ms) * time.Millisecond
		return pause, true, bad == nil && len(said) == 1 && pause <= maxAsked
	}
	pause = retryDelay(err)
	return pause, false, pause <= maxAsked
}

// backoff is the pause before the next attempt, given the one that the backend asks for
// (Traffic 69).
func (t *tries) backoff(asked time.Duration, exact bool) time.Duration {
	if exact {
		t.grown = 0
		return asked
	}
	pause := t.retry.InitialBackoff
	for n := t.grown; n > 0 && pause < t.retry.MaxBackoff; n-- {
		pause *= 2
	}
	t.grown++
	pause = min(pause, t.retry.MaxBackoff)
	pause = time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))
	return max(pause, asked)
}

// retryDelay is what a google.rpc.RetryInfo of the status asks for.
func retryDelay(err error) time.Duration {
	s, _ := status.FromError(err)
	if len(s.Proto().GetDetails()) == 0 {
		return 0
	}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok && info.GetRetryDelay().IsValid() {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// RetryAfter is how long a client is asked to wait by the status and the trailer of a
// call; zero for nothing (Traffic 72).
func RetryAfter(err error, trailer metadata.MD) time.Duration {
	if code := status.Code(err); code != codes.Unavailable && code != codes.ResourceExhausted {
		return 0
	}
	if said := trailer[pushback]; len(said) == 1 {
		if ms, err := strconv.ParseUint(said[0], 10, 31); err == nil {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return retryDelay(err)
}

// sleep reports whether the pause ended before the call did.
func sleep(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// header is the metadata of the next attempt.
func (t *tries) header(of []string) []string {
	if t.made == 0 || t.retry == nil {
		return of
	}
	return append(of[:len(of):len(of)], previousAttempts, strconv.Itoa(t.made))
}
