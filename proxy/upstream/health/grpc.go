package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"google.golang.org/grpc/mem"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

const (
	// maxMessage bounds an answer of a server's health service, in bytes.
	maxMessage = 4096
	// minStreams is how many streams at once a server allows, at least, that is asked by
	// Watch, which takes one for good.
	minStreams = 4
	// minPause is the least time between two answers of a Watch that are heard: a server
	// that changes its mind all the time waits.
	minPause = 10 * time.Millisecond
)

// Conn is a connection to a server.
type Conn interface {
	// Call makes a unary call.
	Call(ctx context.Context, r *transport.Request) (transport.Reply, error)
	// Open begins a stream, which ends with ctx.
	Open(ctx context.Context, r *transport.Request) (*transport.Stream, error)
	// Limit is how many streams the server allows at once.
	Limit() uint32
	// Leaving is closed when the connection takes no calls any more.
	Leaving() <-chan struct{}
}

var _ Conn = (*transport.Conn)(nil)

// Follow asks for a service over a connection until it leaves or ctx ends: by Watch, whose
// answers are the server's own word, and where a Watch ends by Check at each interval. A
// server that does not know the one or the other has no such opinion: it is well. Beside a
// Watch, Check is asked too, for a server that hangs says nothing on any stream: whatever it
// answers, that it answers has its last word hold on, and that it does not is counted.
func Follow(ctx context.Context, conn Conn, c Check, service string, tell func(Report)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-conn.Leaving():
			cancel()
		case <-ctx.Done():
		}
	}()
	g := grpc{conn: conn, check: c, tell: func(r Report) {
		if r.At = time.Now(); ctx.Err() == nil {
			tell(r)
		}
	}}
	wire, err := proxy.Marshal(&healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		g.tell(Report{Why: err.Error()})
		return
	}
	g.request = wire.Buffers()
	if conn.Limit() >= minStreams {
		g.watch(ctx)
	}
	Each(ctx, c.Interval, func(ctx context.Context) {
		if !g.ask(ctx) {
			<-ctx.Done() // it will have no other opinion on this connection
		}
	})
}

type grpc struct {
	conn    Conn
	check   Check
	request mem.BufferSlice
	tell    func(Report)

	mu   sync.Mutex // held while a Watch or what is asked beside it tells
	word Report     // the last one of the Watch
}

// watch tells what Watch answers until it ends. Why it ended is left to Check to tell.
func (g *grpc) watch(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := g.conn.Open(ctx, &transport.Request{Method: healthpb.Health_Watch_FullMethodName, Limit: maxMessage, Aside: true})
	if err != nil {
		return
	}
	_ = stream.Send(g.request) // Recv has the reason of a failure
	_ = stream.CloseSend()     // as above
	first := time.AfterFunc(g.check.Timeout, cancel)
	defer first.Stop()
	for {
		message, err := stream.Recv()
		if err != nil {
			return
		}
		if first.Stop() {
			beside.Go(func() { g.attend(ctx) })
		}
		g.mu.Lock()
		g.word = g.answer(message, true)
		g.mu.Unlock()
		rest(ctx, minPause)
	}
}

// attend asks at each interval whether a server answers that is watched.
func (g *grpc) attend(ctx context.Context) {
	for rest(ctx, g.check.Interval); ctx.Err() == nil; rest(ctx, g.check.Interval) {
		timely, cancel := context.WithTimeout(ctx, g.check.Timeout)
		reply, err := g.call(timely)
		silent := timely.Err() == context.DeadlineExceeded
		over := ctx.Err() != nil // the Watch has ended, and the call with it
		cancel()
		frame := proxy.FrameOf(reply.Message)
		frame.Free()
		if over {
			return
		}
		var told *transport.ToldError
		g.mu.Lock()
		switch {
		case err != nil && (silent || status.Code(err) == codes.DeadlineExceeded):
			g.tell(g.silence())
		case err == nil || errors.As(err, &told):
			g.tell(Report{Well: g.word.Well, Why: g.word.Why})
		} // Else the connection ends, or is full of calls.
		g.mu.Unlock()
	}
}

// call asks Check.
func (g *grpc) call(ctx context.Context) (transport.Reply, error) {
	return g.conn.Call(ctx, &transport.Request{Method: healthpb.Health_Check_FullMethodName, Limit: maxMessage, Aside: true, Message: g.request})
}

// silence is what is told of a server that does not answer.
func (g *grpc) silence() Report {
	return Report{Why: fmt.Sprintf("no answer to grpc.health.v1.Health/Check within %s", g.check.Timeout)}
}

// ask tells what Check answers, and reports whether it may answer something else later.
func (g *grpc) ask(ctx context.Context) bool {
	timely, cancel := context.WithTimeout(ctx, g.check.Timeout)
	defer cancel()
	reply, err := g.call(timely)
	switch {
	case err == nil:
		g.answer(reply.Message, false)
	case err == transport.ErrFull: // it has enough to do
	case status.Code(err) == codes.Unimplemented:
		g.tell(Report{Well: true, Final: true})
		return false
	case status.Code(err) == codes.NotFound:
		g.tell(Report{Why: "the server does not know the service that it is asked for"})
	case status.Code(err) == codes.DeadlineExceeded:
		g.tell(g.silence())
	default:
		g.tell(Report{Why: "grpc.health.v1.Health/Check: " + err.Error()})
	}
	return true
}

// answer tells what a message says, and returns it. final is set for answers that are not
// counted.
func (g *grpc) answer(message mem.BufferSlice, final bool) (r Report) {
	defer func() { g.tell(r) }()
	frame := proxy.FrameOf(message)
	defer frame.Free()
	var told healthpb.HealthCheckResponse
	if err := proxy.Unmarshal(frame.Bytes(), &told); err != nil {
		return Report{Why: "grpc.health.v1.Health: " + err.Error()}
	}
	r = Report{Well: told.GetStatus() == healthpb.HealthCheckResponse_SERVING, Final: final}
	if !r.Well {
		r.Why = "the server says that it is " + told.GetStatus().String()
	}
	return r
}
