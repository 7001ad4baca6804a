package attempt

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// Circuit is what stands before each attempt of a method's calls. It is immutable.
type Circuit struct {
	// Breaker decides which attempts are made.
	Breaker *breaker.Breaker
	// Codes are those of the backend's status that are failures, besides UNAVAILABLE.
	Codes []codes.Code
	// Refusal makes the error of a call that is not made, a gRPC status error: the client
	// is to come again after a while.
	Refusal func(wait time.Duration) error
	// Fallback answers the calls that are not made; nil: they are refused.
	Fallback proxy.Backend
}

// Breaking returns a backend whose attempts are made as c allows.
func (g *GRPC) Breaking(c *Circuit) *GRPC {
	breaking := *g
	breaking.circuit = c
	return &breaking
}

// closeToDeadline is how long before the end of a call's time a backend may say that it
// is over: its clock began a moment later, and timeouts are rounded on their way.
const closeToDeadline = 20 * time.Millisecond

// ask reports whether an attempt may be made; wait is how long to stay away where it may
// not. An attempt that is made again at once, as the backend has not looked at it, has
// asked before.
func (t *tries) ask() (wait time.Duration, ok bool) {
	if t.circuit == nil || t.permit != (breaker.Permit{}) {
		return 0, true
	}
	t.permit, wait, ok = t.circuit.Breaker.Ask()
	return wait, ok
}

// judge tells the endpoint and the breaker how the attempt that is under way has ended,
// unless they have heard.
func (t *tries) judge(ctx, within context.Context, err error) {
	if t.judged {
		return
	}
	t.judged = true
	t.report(ctx, within, &t.turn, t.permit, err)
	t.permit = breaker.Permit{}
}

// report tells the endpoint and the breaker how an attempt of a turn and with a permit has
// ended.
func (t *tries) report(ctx, within context.Context, turn *upstream.Turn, permit breaker.Permit, err error) {
	endpoint, result := upstream.Sound, breaker.Success
	if err != nil {
		endpoint, result = t.blame(ctx, within, turn, err)
	}
	t.conn.Judge(turn, endpoint)
	if t.circuit != nil {
		t.circuit.Breaker.Tell(permit, result)
	}
}

// blame says whose fault the end of an attempt of a turn is (Traffic 99, 100).
func (t *tries) blame(ctx, within context.Context, turn *upstream.Turn, err error) (upstream.Verdict, breaker.Result) {
	code := status.Code(err)
	var told *transport.ToldError
	switch isTold := errors.As(err, &told); {
	case t.clientEnded(ctx, code, isTold), upstream.Overflow(err), errors.Is(err, transport.ErrRequest), errors.Is(err, transport.ErrNoRoom):
		return upstream.NoVerdict, breaker.Nothing
	case isLate(within), code == codes.DeadlineExceeded && t.soonLate(ctx, within):
		return upstream.Faulty, breaker.Failure
	case code == codes.Canceled && !isTold && !errors.Is(err, transport.ErrReset): // the gateway closes the connection
		return upstream.NoVerdict, breaker.Nothing
	case errors.Is(err, transport.ErrUnprocessed): // it is up, and takes no more for now
		return upstream.NoVerdict, breaker.Failure
	case code == codes.Unavailable, errors.Is(err, transport.ErrReset):
		return upstream.Faulty, breaker.Failure
	case proxy.NotModified(err):
		return upstream.Sound, breaker.Success
	case ctx.Err() != nil && !isTold, code == codes.DeadlineExceeded && almostOver(ctx): // the method's time is over
		return turn.Silent(), t.byCode(code)
	}
	return upstream.Sound, t.byCode(code)
}

// almostOver reports whether the time of a call is over, or about to be.
func almostOver(ctx context.Context) bool {
	due, ok := ctx.Deadline()
	return ok && time.Until(due) < closeToDeadline
}

// byCode is what an answer with a status says of the method.
func (t *tries) byCode(code codes.Code) breaker.Result {
	if t.circuit != nil {
		for _, c := range t.circuit.Codes {
			if c == code {
				return breaker.Failure
			}
		}
	}
	return breaker.Success
}

// clientEnded reports whether the client has ended the call: it went away, or the time
// is over that it gave the call. Otherwise clients with little patience could have a
// backend taken out of service for all others.
func (t *tries) clientEnded(ctx context.Context, code codes.Code, told bool) bool {
	if told && code != codes.DeadlineExceeded && code != codes.Canceled {
		return false
	}
	if code == codes.DeadlineExceeded && ctx.Err() == nil && almostOver(ctx) {
		<-ctx.Done() // it says whose time it was
	}
	switch ctx.Err() {
	case nil:
		return false
	case context.DeadlineExceeded:
		return context.Cause(ctx) == proxy.ErrClientTime
	}
	return true
}

// answered says that the attempt has been answered: by its header, its first message or
// status OK. What comes after says nothing of the endpoint and the method (Traffic 105).
func (s *grpcStream) answered() { s.ended(nil) }

// ended says how the attempt has ended.
func (s *grpcStream) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries.judge(s.ctx, s.within, err)
}
