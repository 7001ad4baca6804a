package gateway

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/bus"
	eventlog "github.com/transom-gateway/transom/events/log"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// EventSinks are the kinds of sinks that a program has.
type EventSinks struct {
	// Open makes a sink. It must not wait for the sink's server.
	Open func(name string, sink *transomv1.EventSink, env events.Env) (events.Sink, error)
	// Source makes what subscriptions read a sink's broker by. It must not wait for the broker.
	Source func(name string, sink *transomv1.EventSink, what subscription.Reading, env events.Env) (subscription.Source, error)
	// Check reports what is wrong with the settings of sinks, whose path is given.
	Check func(path string, e *transomv1.Events, env events.Env, report func(path, message string))
	// Ask asks the server of a sink whether it takes and gives what a configuration says.
	Ask func(ctx context.Context, name string, sink *transomv1.EventSink, env events.Env, in events.Inquiry)
}

// Sizes of the log of events, in bytes.
const (
	defaultEventBytes = 256 << 10
	// attributesRoom is what an event has beside its data, at most.
	attributesRoom = 64 << 10
	keptAlone      = 512 << 20 // behind the newest event where there is no sink
	keptBehind     = 64 << 20  // behind the last sink
)

// busKey is what a bus is about. Changed settings of the log make another bus, which takes over
// what the one before has left.
type busKey struct {
	directory string
	max, keep int64
	maxAge    time.Duration
	record    int
	onFull    eventlog.OnFull
}

// sinkKey is what a sink at work is about.
type sinkKey struct {
	bus      busKey
	name     string
	settings string
}

// publisherKey is that of the publisher of one generation alone.
type publisherKey struct{ of *policy.Generation }

// outlet is the publisher of one generation.
type outlet struct {
	publisher events.Publisher
	err       error
}

// publisher returns the publisher of a generation, which is made when a rule first asks for
// it.
func (b *builder) publisher(g *policy.Generation) (events.Publisher, error) {
	made := policy.Shared(g, func(g *policy.Generation) *outlet {
		if g.State.Offline {
			return &outlet{publisher: events.Discard}
		}
		p, err := b.openPublisher(g)
		return &outlet{p, err}
	})
	return made.publisher, made.err
}

func (b *builder) openPublisher(g *policy.Generation) (events.Publisher, error) {
	key := b.busKey()
	eventBus, err := policy.Lease(g, key, func() (*bus.Bus, error) { return b.gateway.newBus(key), nil })
	if err != nil {
		return nil, err
	}
	b.snapshot.bus = eventBus
	sinks := events.Configured(b.file.Config.GetEvents())
	var runners []*bus.Runner
	for _, name := range slices.Sorted(maps.Keys(sinks)) {
		sink := sinks[name]
		settings, err := proto.MarshalOptions{Deterministic: true}.Marshal(sink)
		if err != nil {
			return nil, err
		}
		runner, err := policy.Lease(g, sinkKey{key, name, string(settings)}, func() (*bus.Runner, error) {
			if b.gateway.options.Sinks.Open == nil {
				return nil, errors.New("this program has no sinks of events")
			}
			s, err := b.gateway.options.Sinks.Open(name, sink, b.sinkEnv())
			if err != nil {
				return nil, err
			}
			return eventBus.Add(name, s), nil
		})
		if err != nil {
			return nil, err
		}
		runners = append(runners, runner)
	}
	p, err := policy.Lease(g, publisherKey{g}, func() (*bus.Publisher, error) { return eventBus.Publisher(runners...), nil })
	if err != nil {
		return nil, err
	}
	readers := b.logReaders()
	p.Feed(readers...)
	listened := b.listenedTopics()
	p.Listen(listened...)
	if len(runners) == 0 || len(readers) > 0 || len(listened) > 0 || bus.HasFolders(key.directory) {
		if err := p.Open(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// openReaders opens the log where subscriptions read it.
func (b *builder) openReaders(g *policy.Generation) {
	if len(b.logReaders()) == 0 || g.State.Offline || b.gateway.options.Events != nil {
		return
	}
	if _, err := b.publisher(g); err != nil {
		g.RefuseConfig("events.subscriptions", err)
	}
}

// sinkEnv is what sinks get of the gateway.
func (b *builder) sinkEnv() events.Env { return b.gateway.sinkEnv(b.file) }

func (g *Gateway) sinkEnv(file *config.File) events.Env {
	generation := policy.Generation{Environment: policy.Environment{Directory: file.Directory}}
	return events.Env{Resolve: file.Resolve, Secret: generation.Secret, Log: g.options.Telemetry.Log, Topics: eventTopics(file.Config.GetEvents())}
}

// checkSinks notes what is wrong with the settings of sinks.
func (b *builder) checkSinks() {
	if check := b.gateway.options.Sinks.Check; check != nil && b.file.Config.GetEvents() != nil {
		check("events", b.file.Config.GetEvents(), b.sinkEnv(), func(path, message string) {
			b.problems = append(b.problems, problem.At(b.configPosition(path), path+": "+message))
		})
	}
}

// busKey reads the settings of the log.
func (b *builder) busKey() busKey {
	e := b.file.Config.GetEvents()
	l := e.GetLog()
	key := busKey{directory: l.GetDirectory(), max: int64(l.GetMaxBytes()), keep: int64(l.GetKeepBytes()), maxAge: l.GetMaxAge().AsDuration(), record: defaultEventBytes} //nolint:gosec // checked
	switch {
	case key.directory == "":
		key.directory = filepath.Join(dataDirectory(b.file), "events")
	case !filepath.IsAbs(key.directory):
		key.directory = filepath.Join(b.file.Directory, key.directory)
	}
	if key.keep == 0 {
		key.keep = keptBehind
		if len(events.Configured(e)) == 0 {
			key.keep = keptAlone
		}
		if key.max > 0 {
			key.keep = min(key.keep, key.max/2)
		}
	}
	if n := e.GetMaxEventBytes(); n > 0 {
		key.record = int(n) //nolint:gosec // checked
	}
	key.record += attributesRoom
	switch l.GetOnFull() {
	case transomv1.EventLog_DROP_OLDEST:
		key.onFull = eventlog.DropOldest
	case transomv1.EventLog_DROP_NEWEST:
		key.onFull = eventlog.DropNewest
	default:
		key.onFull = eventlog.Refuse
	}
	return key
}

// eventTopics are the topics that the configuration names.
func eventTopics(e *transomv1.Events) []string {
	var all []string
	for _, t := range e.GetTopics() {
		all = append(all, t.GetTopic())
	}
	for _, r := range e.GetGateway() {
		if r.GetTopic() != "" {
			all = append(all, r.GetTopic())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// newBus makes a bus.
func (g *Gateway) newBus(key busKey) *bus.Bus {
	return bus.New(bus.Options{
		Directory: key.directory,
		Log:       eventlog.Options{MaxBytes: key.max, MaxAge: key.maxAge, KeepBytes: key.keep, MaxRecordBytes: key.record, OnFull: key.onFull},
		Logger:    g.options.Telemetry.Log,
		Observer:  g.options.Telemetry.Metrics,
	})
}

// eventBus is the bus of the snapshot in service; nil where it has none.
func (g *Gateway) eventBus() *bus.Bus {
	if s := g.current.Load(); s != nil {
		return s.bus
	}
	return nil
}

// StopEvents gives sinks until ctx ends to send what was published best effort. Nothing may be
// published afterwards.
func (g *Gateway) StopEvents(ctx context.Context) {
	if b := g.eventBus(); b != nil {
		b.Stop(ctx)
	}
}

// EventBus is the bus of events.
func (g *Gateway) EventBus() (*bus.Bus, error) {
	if b := g.eventBus(); b != nil {
		return b, nil
	}
	return nil, errors.New("neither a method, a route nor the configuration publishes events")
}

// observeEvents says how the bus of events is; ok is false where there is none.
func (g *Gateway) observeEvents() (s observe.EventStatus, ok bool) {
	b := g.eventBus()
	if b == nil {
		return s, false
	}
	status := b.Status()
	for _, one := range status.Sinks {
		s.Sinks = append(s.Sinks, observe.EventSink{Name: one.Name, Queue: one.Queue, Lag: one.Lag, Up: one.Failure == nil, LastSuccess: one.LastSuccess, Trimmed: one.Trimmed})
	}
	if l := status.Log; l != nil {
		s.Log = &observe.EventLog{Bytes: l.Bytes, Records: l.Next - l.First, Oldest: l.Oldest, Dropped: l.Dropped, Damaged: l.Damaged}
	}
	if now := g.current.Load(); now != nil && now.streams != nil {
		t := now.streams.Stats()
		s.Streams = &observe.EventStreams{Clients: t.Clients, Sent: t.Sent, Encoded: t.Encoded, Slow: t.Slow, Reset: t.Reset}
	}
	return s, true
}
