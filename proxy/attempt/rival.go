package attempt

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// The states of a rival.
const (
	racing int32 = iota
	ended        // before the race was over
	lost         // and cancelled
	heeded       // lost, and it runs on to find out whether its endpoint answers
)

const (
	// maxHeed bounds how long an attempt that has lost runs on where per_try_timeout does
	// not.
	maxHeed = 10 * time.Second
	// patience is how many times the delay of a hedge an endpoint may be silent until the
	// end of the call's time, whoever gave it, is a fault of an attempt that has lost.
	patience = 10
)

// rival is one of several attempts of a call that run side by side.
type rival struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	free   func() // has ctx end no more with the call's
	turn   *upstream.Turn
	ejects bool // it may run on
	state  atomic.Int32
}

// rival prepares an attempt of a turn. Its context ends with that of the call; where
// endpoints are ejected, no more once the attempt has lost.
func (r *race) rival(turn *upstream.Turn) *rival {
	v := &rival{turn: turn, ejects: r.conn.Ejects(), free: func() {}}
	if !v.ejects {
		v.ctx, v.cancel = context.WithCancelCause(r.ctx)
		return v
	}
	ctx := context.WithoutCancel(r.ctx)
	stop := func() {}
	if due, ok := r.ctx.Deadline(); ok {
		ctx, stop = context.WithDeadline(ctx, due)
	}
	var cancel context.CancelCauseFunc
	v.ctx, cancel = context.WithCancelCause(ctx)
	v.cancel = func(cause error) {
		cancel(cause)
		stop()
	}
	call := r.ctx
	follows := context.AfterFunc(call, func() {
		if call.Err() != context.DeadlineExceeded { // which the attempt has, too
			v.cancel(context.Cause(call))
		}
	})
	v.free = func() { follows() }
	return v
}

// end ends the attempt.
func (v *rival) end() {
	v.free()
	v.cancel(nil)
}

// lose says that another attempt has answered. It ends this one, or soon.
func (v *rival) lose(perTry time.Duration) {
	if !v.ejects || !v.turn.Heed() {
		v.state.CompareAndSwap(racing, lost)
		v.end()
		return
	}
	if !v.state.CompareAndSwap(racing, heeded) {
		v.turn.Unheed()
		v.end()
		return
	}
	v.free()
	if perTry <= 0 || perTry > maxHeed {
		time.AfterFunc(maxHeed, func() { v.cancel(errLate) }) // it is nothing to end what has ended
	}
}

// reportLost tells of the end of an attempt that has lost. It says nothing of the method.
func (r *race) reportLost(v *rival, permit breaker.Permit, a *answer, said error) {
	verdict := upstream.NoVerdict
	switch code := status.Code(said); {
	case said == nil:
		verdict = upstream.Sound
	case v.state.Load() == heeded:
		verdict = r.blameLost(a, code)
	}
	r.conn.JudgeLost(v.turn, verdict)
	if v.state.Load() == heeded {
		v.turn.Unheed()
	}
	if r.circuit != nil {
		r.circuit.Breaker.Tell(permit, breaker.Nothing)
	}
}

// blameLost is what the end of an attempt says of its endpoint that has lost and ran on.
func (r *race) blameLost(a *answer, code codes.Code) upstream.Verdict {
	var told *transport.ToldError
	switch {
	case isLate(a.within), code == codes.Unavailable && !errors.Is(a.err, transport.ErrUnprocessed), errors.Is(a.err, transport.ErrReset):
		return upstream.Faulty
	case code == codes.DeadlineExceeded:
		return a.turn.SilentFor(patience * r.delay)
	case errors.As(a.err, &told):
		return upstream.Sound
	}
	return upstream.NoVerdict
}
