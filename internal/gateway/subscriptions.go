package gateway

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/events/subscription/logsource"
	"github.com/transom-gateway/transom/internal/rpccode"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// embeddedLog is the name of the embedded log among sources.
const embeddedLog = "log"

// subscribed is a subscription of the configuration, compiled.
type subscribed struct {
	name, source, topic, path string
	settings                  *transomv1.Subscription
	// key is what it is about: one that has another key is another subscription.
	key  string
	open func() (subscription.Source, error)
}

// subscriptions are those at work.
type subscriptions struct {
	sync.Mutex
	running map[string]*running // by name
	leaving []*subscription.Subscription
}

// running is one that is at work.
type running struct {
	*subscription.Subscription
	of    *subscribed
	store *subscription.Store
}

// sourceOf is the name of the source of a subscription: the only broker, else the log
// (Events 177).
func sourceOf(s *transomv1.Subscription, sinks map[string]*transomv1.EventSink) string {
	if s.GetSource() != "" {
		return s.GetSource()
	}
	brokers := brokersOf(sinks)
	if len(brokers) == 1 {
		return brokers[0]
	}
	return embeddedLog
}

// brokersOf are the sinks that can be sources.
func brokersOf(sinks map[string]*transomv1.EventSink) (names []string) {
	for name, sink := range sinks {
		if sink.GetKafka() != nil || sink.GetNats() != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// logReaders are the places that subscriptions have in the log.
func (b *builder) logReaders() (places []string) {
	sinks := events.Configured(b.file.Config.GetEvents())
	for _, s := range b.file.Config.GetEvents().GetSubscriptions() {
		if sourceOf(s, sinks) == embeddedLog {
			places = append(places, logsource.Prefix+s.GetName())
		}
	}
	return places
}

// subscribe compiles the subscriptions of the configuration, once all methods are known.
func (b *builder) subscribe() {
	e := b.file.Config.GetEvents()
	sinks := events.Configured(e)
	for i, s := range e.GetSubscriptions() {
		source := sourceOf(s, sinks)
		one := &subscribed{name: s.GetName(), source: source, topic: s.GetTopic(), path: "/" + s.GetMethod(), settings: s}
		if !b.checkSubscription(i, one, sinks) || b.gateway.options.Offline {
			continue
		}
		key, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
		if err == nil && sinks[source] != nil {
			key, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(key, sinks[source])
		}
		if err != nil {
			b.refuse("events.subscriptions: "+err.Error(), "events", "subscriptions", i)
			continue
		}
		one.key = string(key) + "\x00" + source + "\x00" + b.busKey().directory
		b.openSource(one)
		b.snapshot.subscribed = append(b.snapshot.subscribed, one)
	}
	b.snapshot.store = &subscription.Store{Folder: filepath.Join(dataDirectory(b.file), "subscriptions")}
}

// openSource says how the source of a subscription is opened.
func (b *builder) openSource(s *subscribed) {
	start := logsource.StartOf(s.settings.GetStart() == transomv1.Subscription_EARLIEST, startTime(s.settings))
	eventBus := b.snapshot.bus
	if sink := events.Configured(b.file.Config.GetEvents())[s.source]; sink != nil {
		env, reading := b.sinkEnv(), s.reading(start, sink.GetNats() != nil)
		s.open = func() (subscription.Source, error) {
			if b.gateway.options.Sinks.Source == nil {
				return nil, errors.New("this program reads no brokers")
			}
			return b.gateway.options.Sinks.Source(s.source, sink, reading, env)
		}
		return
	}
	s.open = func() (subscription.Source, error) {
		return logsource.New(eventBus, logsource.Options{Subscription: s.name, Topic: s.topic, Start: start}), nil
	}
}

// reading says what the source of a subscription reads from its broker.
func (s *subscribed) reading(start subscription.Position, nats bool) subscription.Reading {
	return subscription.Reading{
		Subscription: s.name, Topic: s.topic, Group: groupOf(s.settings, nats), Instance: s.settings.GetInstanceId(), DeadLetters: s.settings.GetDeadLetterTopic(),
		Start: start, Release: s.settings.GetRebalanceTimeout().AsDuration(), Order: orderOf(s.settings), InFlight: int(s.settings.GetConcurrency()),
	}
}

// groupOf is the consumer group of a subscription, or its durable consumer.
func groupOf(s *transomv1.Subscription, nats bool) string {
	switch {
	case s.GetGroup() != "":
		return s.GetGroup()
	case nats: // which has no dots in names
		return "transom-" + s.GetName()
	}
	return "transom." + s.GetName()
}

// orderOf says which events of a subscription wait for each other.
func orderOf(s *transomv1.Subscription) subscription.Order {
	switch s.GetOrder() {
	case transomv1.Subscription_PARTITION:
		return subscription.ByPartition
	case transomv1.Subscription_NONE:
		return subscription.NoOrder
	}
	return subscription.ByKey
}

// startTime is when a subscription begins; zero for no time.
func startTime(s *transomv1.Subscription) time.Time {
	if s.GetStartTime() == nil {
		return time.Time{}
	}
	return s.GetStartTime().AsTime()
}

// subscriptionOptions are those of a subscription's partitions. Dead letters go to the broker, too, if there is one.
func (g *Gateway) subscriptionOptions(s *subscribed, store *subscription.Store, broker subscription.DeadLetters) subscription.Options {
	o := subscription.Options{
		Name: s.name, Lanes: int(s.settings.GetConcurrency()), MaxAttempts: defaultAttempts, MaxAge: s.settings.GetMaxAge().AsDuration(),
		Verdict: verdicts(s.settings.GetCodes()), Logger: g.options.Telemetry.Log, Observer: g.options.Telemetry.Metrics,
	}
	if s.settings.MaxAttempts != nil {
		o.MaxAttempts = int(s.settings.GetMaxAttempts())
	}
	o.Order = orderOf(s.settings)
	switch s.settings.GetOnExhausted() {
	case transomv1.Subscription_PAUSE:
		o.OnExhausted = subscription.Pause
	case transomv1.Subscription_SKIP:
		o.OnExhausted = subscription.Skip
	}
	o.Call = func(ctx context.Context, m *subscription.Message, attempt int) subscription.Result {
		return g.deliver(ctx, s, m, attempt)
	}
	o.Dead = func(ctx context.Context, m *subscription.Message, r subscription.Result, attempts int) error {
		letter := subscription.NewLetter(s.path[1:], m, r, attempts)
		letter.Code = rpccode.Name(r.Code)
		if broker == nil {
			return g.putAside(s, store, letter)
		}
		if err := broker.Bury(ctx, m, letter); err != nil {
			return err
		}
		if err := g.putAside(s, store, letter); err != nil {
			o.Logger.Warn("a dead letter that its topic has is not put aside here, too", "subscription", s.name, "error", err)
		}
		return nil
	}
	return o
}

// putAside keeps a dead letter in the data directory. Each one that goes for it is told and counted.
func (g *Gateway) putAside(s *subscribed, store *subscription.Store, letter subscription.Letter) error {
	bound := subscription.Bound{Most: int(s.settings.GetMaxDeadLetters()), Wait: s.settings.GetOnDeadLettersFull() == transomv1.Subscription_WAIT}
	gone, err := store.Bury(s.name, letter, bound)
	for _, d := range gone {
		said := []any{"subscription", s.name, "dead_letter", d.ID, "at", d.At, "topic", d.Topic, "partition", d.Partition, "offset", d.Offset, "code", d.Code, "message", d.Message}
		if d.Event != nil {
			said = append(said, "type", d.Event.Type, "source", d.Event.Source, "id", d.Event.ID)
		}
		g.options.Telemetry.Log.Error("a dead letter is dropped, as there are max_dead_letters and its sender has the most", said...)
		g.options.Telemetry.Metrics.Ended(s.name, "dropped")
	}
	return err
}

// defaultAttempts is how often a call is made that fails.
const defaultAttempts = 10

// verdicts are what codes mean, with what the configuration says of them (Events 165).
func verdicts(said map[string]transomv1.Subscription_Verdict) func(codes.Code) subscription.Verdict {
	own := map[codes.Code]subscription.Verdict{}
	for name, v := range said {
		code, _ := rpccode.Parse(name)
		switch v {
		case transomv1.Subscription_DONE:
			own[code] = subscription.Done
		case transomv1.Subscription_RETRY:
			own[code] = subscription.Retry
		default:
			own[code] = subscription.Dead
		}
	}
	return func(code codes.Code) subscription.Verdict {
		if v, ok := own[code]; ok {
			return v
		}
		return subscription.VerdictOf(code)
	}
}

// beginTime is how long the places of new subscriptions may take.
const beginTime = 5 * time.Second

// beginAtOnce is how many are made at once: each waits for the disk.
const beginAtOnce = 64

// beginSubscriptions makes the places in the log that new subscriptions of a snapshot have, before it comes
// into service: they miss no event of its calls (Events 173). One that has a place keeps it.
func (g *Gateway) beginSubscriptions(next *Snapshot) {
	ctx, cancel := context.WithTimeout(g.ending, beginTime)
	defer cancel()
	var all sync.WaitGroup
	var late atomic.Int64
	places := make(chan struct{}, beginAtOnce)
	for _, one := range next.subscribed {
		if one.source != embeddedLog {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if err := begin(ctx, one); err != nil && late.Add(1) == 1 {
				g.options.Telemetry.Log.Warn("a subscription has no place in the log yet; it is made when it starts", "subscription", one.name, "error", err)
			}
		})
	}
	all.Wait()
	if n := late.Load(); n > 1 {
		g.options.Telemetry.Log.Warn("others have no place either", "subscriptions", n-1)
	}
}

// begin makes the place of one.
func begin(ctx context.Context, one *subscribed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	source, err := one.open()
	if begins, can := source.(interface{ Begin(context.Context) error }); can && err == nil {
		err = begins.Begin(ctx)
	}
	return err
}

// followSubscriptions has the subscriptions of a snapshot run that has come into service, and no others. Those
// that have not changed go on.
func (g *Gateway) followSubscriptions(next *Snapshot) {
	if g.options.Offline {
		return
	}
	s := &g.subscriptions
	s.Lock()
	defer s.Unlock()
	s.leaving = slices.DeleteFunc(s.leaving, (*subscription.Subscription).Stopped)
	now := map[string]*running{}
	for _, one := range next.subscribed {
		if old := s.running[one.name]; old != nil && old.of.key == one.key {
			now[one.name] = old
		}
	}
	for name, old := range s.running {
		if now[name] != old {
			old.Quit()
			s.leaving = append(s.leaving, old.Subscription)
		}
	}
	for _, one := range next.subscribed {
		if now[one.name] != nil {
			continue
		}
		if started := g.startSubscription(one, s.left(one.name), next.store); started != nil {
			now[one.name] = started
		}
	}
	s.running = now
}

// left are those of a name that may still have calls under way: of several configurations, as calls
// may take longer than the time between two.
func (s *subscriptions) left(name string) (all []*subscription.Subscription) {
	for _, one := range s.leaving {
		if one.Name() == name {
			all = append(all, one)
		}
	}
	return all
}

// startSubscription starts one, which goes on where those before it have stopped; nil where it cannot.
func (g *Gateway) startSubscription(one *subscribed, before []*subscription.Subscription, store *subscription.Store) *running {
	source, err := one.open()
	if err != nil {
		g.options.Telemetry.Log.Error("a subscription cannot be started", "subscription", one.name, "error", err)
		return nil
	}
	broker, _ := source.(subscription.DeadLetters)
	setup := subscription.Setup{
		Options: g.subscriptionOptions(one, store, broker), Source: source, Types: one.settings.GetTypes(), Store: store, After: before,
		Grace: one.settings.GetRebalanceTimeout().AsDuration(),
	}
	return &running{subscription.Start(setup), one, store}
}

// StopSubscriptions has no more events fetched, lets the calls that they led to end until ctx
// does, and returns when what is done is committed.
func (g *Gateway) StopSubscriptions(ctx context.Context) {
	s := &g.subscriptions
	s.Lock()
	all := s.leaving
	for _, r := range s.running {
		all = append(all, r.Subscription)
	}
	s.running, s.leaving = nil, nil
	s.Unlock()
	var stopping sync.WaitGroup
	for _, one := range all {
		stopping.Go(func() { one.Stop(ctx) })
	}
	stopping.Wait()
}
