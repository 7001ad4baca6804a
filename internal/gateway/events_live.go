package gateway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// AskSinks asks the servers of all sinks whether they take and give what the configuration says
// (Events 151), and returns what stands against it, and how many were asked. It is for a gateway that is
// built offline.
func (g *Gateway) AskSinks(ctx context.Context) (all Problems, asked int) {
	s := g.acquire()
	if s == nil {
		return nil, 0
	}
	defer s.release()
	e := s.Config.Config.GetEvents()
	sinks, uses, env := events.Configured(e), s.eventUses(), g.sinkEnv(s.Config)
	var mu sync.Mutex
	var asking sync.WaitGroup
	for name, sink := range sinks {
		in := events.Inquiry{At: s.Config.Where(sinkPath(e, name)), Uses: usesOf(uses, name), Largest: defaultEventBytes}
		if n := e.GetMaxEventBytes(); n > 0 {
			in.Largest = int(n) //nolint:gosec // checked
		}
		in.Found = func(at string, warning bool, message string) {
			p := problem.At(at, message)
			p.Warning = warning
			mu.Lock()
			defer mu.Unlock()
			if !slices.Contains(all, p) { // a broker says some things for each topic
				all = append(all, p)
			}
		}
		asking.Go(func() { g.options.Sinks.Ask(ctx, name, sink, env, in) })
	}
	asking.Wait()
	return all.Sorted(), len(sinks)
}

// sinkPath is where the configuration has a sink.
func sinkPath(e *transomv1.Events, name string) string {
	if _, ok := e.GetSinks()[name]; ok {
		return "events.sinks." + name
	}
	return "events." + name
}

// usesOf are the uses of one sink.
func usesOf(all []sinkUse, sink string) (own []events.Use) {
	for _, u := range all {
		if u.sink == sink || u.sink == "" && (len(u.Sinks) == 0 || slices.Contains(u.Sinks, sink)) {
			own = append(own, u.Use)
		}
	}
	return own
}

// sinkUse is what a configuration does with a topic.
type sinkUse struct {
	events.Use
	sink string // the only one; "" for those that Sinks says
}

// eventUses are all uses of topics: by rules of methods and routes, by the gateway's own rules, by
// events of clients and by subscriptions.
func (s *Snapshot) eventUses() []sinkUse {
	var all []sinkUse
	add := func(uses ...events.Use) {
		for _, u := range uses {
			all = append(all, sinkUse{Use: u})
		}
	}
	seen := map[*policy.Set]bool{}
	for _, r := range slices.Concat(s.routes, slices.Collect(maps.Values(s.paths)), slices.Collect(maps.Values(s.inside))) {
		set := r.guard.set
		if seen[set] {
			continue
		}
		seen[set] = true
		if rules, ok := policy.Find[interface{ EventUses() []events.Use }](set); ok {
			add(rules.EventUses()...)
		}
	}
	e := s.Config.Config.GetEvents()
	topics := events.NewTopics(e)
	for i, r := range e.GetGateway() {
		by := fmt.Sprintf("events.gateway[%d]", i)
		u := events.Use{At: s.Config.Where(by + ".type"), By: by, Topic: topics.Of(r.GetType()), Types: []string{r.GetType()}, Sinks: r.GetSinks()}
		if r.GetTopic() != "" {
			u.Topic, u.At = r.GetTopic(), s.Config.Where(by+".topic")
		}
		add(u)
	}
	if e.GetBehaviour() != nil {
		add(events.OfClients(e, func(line int) string {
			if line < 0 {
				return s.Config.Where("events.behaviour")
			}
			return s.Config.Where(fmt.Sprintf("events.topics[%d].topic", line))
		})...)
	}
	return append(all, s.subscribedUses(e)...)
}

// EventTopics are the topics to which the configuration has something publish, in their order.
func (g *Gateway) EventTopics() []string {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	topics := map[string]bool{}
	for _, u := range s.eventUses() {
		if u.sink == "" { // else it is read
			topics[u.Topic] = true
		}
	}
	return slices.Sorted(maps.Keys(topics))
}

// subscribedUses are the uses by subscriptions that read brokers.
func (s *Snapshot) subscribedUses(e *transomv1.Events) (all []sinkUse) {
	sinks := events.Configured(e)
	for i, settings := range e.GetSubscriptions() {
		source := sourceOf(settings, sinks)
		if sinks[source] == nil {
			continue
		}
		at := fmt.Sprintf("events.subscriptions[%d]", i)
		by := "subscription " + settings.GetName()
		nats := sinks[source].GetNats() != nil
		group := groupOf(settings, nats)
		all = append(all, sinkUse{events.Use{At: s.Config.Where(at + ".topic"), By: by, Topic: settings.GetTopic(), Group: group}, source})
		dead := settings.GetDeadLetterTopic()
		if dead == "" && !nats {
			dead = strings.Join([]string{settings.GetTopic(), group, "dead"}, ".")
		}
		if dead != "" && (settings.GetOnExhausted() == transomv1.Subscription_ON_EXHAUSTED_UNSPECIFIED || settings.GetOnExhausted() == transomv1.Subscription_DEAD_LETTER) {
			all = append(all, sinkUse{events.Use{At: s.Config.Where(at + ".dead_letter_topic"), By: by + ", dead letters", Topic: dead, Buries: settings.GetTopic()}, source})
		}
	}
	return all
}
