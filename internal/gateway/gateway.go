// Package gateway assembles the parts: it builds an immutable Snapshot of
// everything that comes from files, swaps it in, and serves requests by it. It
// knows neither the command line nor how files are watched.
//
//	g := gateway.New(gateway.Options{Load: load, Telemetry: telemetry})
//	change, err := g.Reload(ctx)       // at the start, and whenever inputs change
//	http.Serve(listener, g)
//
// A request goes through ServeHTTP (serve.go): find the route, ask the policies, open the
// client's edge, relay, answer.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// Options are what a Gateway needs.
type Options struct {
	// Load reads the configuration anew; it is called at each reload.
	Load func() (*config.File, error)
	// Telemetry is where the gateway reports; never nil.
	Telemetry *observe.Telemetry
	// Offline builds without fetching anything, for commands that only look.
	Offline bool
	// Unguarded holds no call to a policy. It is for somebody who reaches the
	// backends anyway, and never for a gateway that serves others.
	Unguarded bool
	// Metadata is sent to servers that are asked for their schemas.
	Metadata metadata.MD
	// Version is the program's, for what it says of itself.
	Version string
	// Events gives the publisher of events of a generation of policies, which is asked for
	// where there are rules. Nil: a bus with Sinks.
	Events func(*policy.Generation) (events.Publisher, error)
	// NotReloaded is told why something is not in effect as its files or its address
	// now have it, and with "" that it is again. Nil: nobody is told. It may be called
	// from several goroutines at once.
	NotReloaded func(what, why string)
	// NeverRead is told instead of NotReloaded why something that never was read cannot
	// be, so that there is nothing that could be in effect until then.
	NeverRead func(what, why string)
	// Sinks are the kinds of sinks of events. The zero EventSinks has none.
	Sinks EventSinks
	// Overload says what calls are refused as memory is short. Nil: none are.
	Overload *overload.Guard
}

// Gateway is an http.Handler that serves the latest good Snapshot.
type Gateway struct {
	options Options
	state   *policy.State
	pool    pool
	sources *sources
	http    *httpbackend.Pool
	own     *services
	errors  *transcoder.ErrorWriter // for as long as there is no snapshot

	current atomic.Pointer[Snapshot]
	// draining ends the streams without an end of a gateway that shuts down, and
	// ending, of which it is a child, all calls.
	draining, ending context.Context
	drain            context.CancelFunc
	end              context.CancelCauseFunc

	// inFlight counts the requests, for the end.
	inFlight atomic.Int64
	streams  atomic.Int64      // those of them that are streams
	readings exchange.Readings // of their bodies
	grace    time.Duration

	reload struct {
		sync.Mutex
		generation int
	}
	last    atomic.Pointer[ReloadStatus]
	history reloadHistory

	subscriptions subscriptions

	reviewing sync.Mutex // what is told of upstreams is what was seen last
}

var _ http.Handler = (*Gateway)(nil)

// pseudonym is this process in Via: another gateway's is another one.
func pseudonym() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // it never fails
	return httpbackend.Pseudonym + "-" + hex.EncodeToString(id[:])
}

// New makes a gateway that serves nothing until its first Reload.
func New(o Options) *Gateway {
	g := &Gateway{
		options: o,
		pool:    newPool(o.Telemetry.Log),
		http:    httpbackend.NewPool(pseudonym()),
		sources: newSources(),
		errors:  transcoder.NewErrorWriter(linkedPlans()),
		grace:   graceOfVanished,
	}
	state := policy.StateOptions{Log: o.Telemetry.Log, Offline: o.Offline, Report: g.notReloaded, ReportNever: o.NeverRead}
	if o.Overload != nil {
		state.Overload = o.Overload
		o.Overload.Count(&g.inFlight)
	}
	g.state = policy.NewState(state)
	g.sources.metadata = o.Metadata
	g.ending, g.end = context.WithCancelCause(context.Background())
	g.draining, g.drain = context.WithCancel(g.ending)
	g.own = g.newServices()
	g.pool.own.OnList(func() { g.reviewUpstreams(nil) })
	o.Telemetry.Metrics.SetUpstreams(func(yield func(string, observe.Upstream) bool) {
		for _, u := range g.Upstreams() {
			if !yield(u.Name, u.Upstream) {
				return
			}
		}
	})
	o.Telemetry.Metrics.SetCircuits(g.observeCircuits)
	o.Telemetry.Metrics.SetAnswers(g.observeAnswers)
	o.Telemetry.Metrics.SetKeys(g.observeKeys)
	o.Telemetry.Metrics.SetEvents(g.observeEvents)
	o.Telemetry.Metrics.SetSubscriptions(g.observeSubscriptions)
	return g
}

// notReloaded tells why something is not in effect as it should be, "" for what is.
func (g *Gateway) notReloaded(what, why string) {
	if g.options.NotReloaded != nil {
		g.options.NotReloaded(what, why)
	}
}

// Context is the parent of all requests' contexts: a server's BaseContext. It ends with
// EndCalls.
func (g *Gateway) Context() context.Context { return g.ending }

// Drain asks the clients of streams without an end (SSE and WebSockets) to connect to
// another gateway; all other calls go on (Semantics 320).
func (g *Gateway) Drain() {
	g.own.health.Shutdown()
	g.drain()
}

// InFlight is how many requests are being served, and how many of them are streams.
func (g *Gateway) InFlight() (all, streams int) {
	return int(g.inFlight.Load()), int(g.streams.Load())
}

// EndCalls ends all calls in flight with UNAVAILABLE: their time is over.
func (g *Gateway) EndCalls() {
	if n := g.inFlight.Load(); n > 0 {
		g.options.Telemetry.Log.Warn("calls in flight are ended, as shutdown_timeout is over", "calls", n)
	}
	g.end(errDraining)
}

// Wait returns when no request is in flight, hijacked connections included.
func (g *Gateway) Wait(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for g.inFlight.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d calls were still in flight: %w", g.inFlight.Load(), context.Cause(ctx))
		}
	}
	return nil
}

// Close gives back what the gateway holds. No request may be in flight.
func (g *Gateway) Close() {
	g.end(errDraining)
	g.StopSubscriptions(g.ending)
	if s := g.current.Swap(nil); s != nil {
		s.release()
	}
	g.sources.close()
	if err := g.state.Close(); err != nil {
		g.options.Telemetry.Log.Warn("closing the policies' state", "error", err)
	}
}
