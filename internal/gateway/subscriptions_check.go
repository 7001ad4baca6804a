package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// checkSubscription refuses a subscription whose method cannot be called with events, and reports
// whether it can (Events 160).
func (b *builder) checkSubscription(i int, s *subscribed, sinks map[string]*transomv1.EventSink) bool {
	refuse := func(field, format string, args ...any) bool {
		b.refuse(fmt.Sprintf("events.subscriptions[%d].%s: ", i, field)+fmt.Sprintf(format, args...), "events", "subscriptions", i, field)
		return false
	}
	if sinks[s.source].GetNats() != nil && strings.Contains(s.settings.GetGroup(), ".") {
		return refuse("group", "found %q, but durable consumers of NATS have no \".\" in their names: choose another one", s.settings.GetGroup())
	}
	route := b.snapshot.insideRoute(s.path)
	if route == nil {
		if b.incomplete || b.sources.waiting() {
			return true // it may come
		}
		text := fmt.Sprintf("found %q, which no schema has as a method", s.settings.GetMethod())
		if near := nearest.Of(b.callable(), s.settings.GetMethod()); near != "" {
			text += "; did you mean " + near + "?"
		}
		return refuse("method", "%s", text)
	}
	m, ok := route.endpoint.method()
	switch {
	case !ok:
		return refuse("method", "found %q, which is no method of gRPC", s.settings.GetMethod())
	case m.IsStreamingClient() || m.IsStreamingServer():
		return refuse("method", "found %q, which streams; expected a unary method, as each event is one call", s.settings.GetMethod())
	}
	if slices.Contains(b.snapshot.own, string(m.Parent().FullName())) {
		return refuse("method", "found %q, which is the gateway's own", s.settings.GetMethod())
	}
	if sinks[s.source].GetNats() != nil {
		return true // what its subject has, hops tell
	}
	return b.checkLoop(s, route.guard.set, refuse)
}

// calledInside reports whether a subscription calls a method.
func (b *builder) calledInside(rpc string) bool {
	return slices.ContainsFunc(b.file.Config.GetEvents().GetSubscriptions(), func(s *transomv1.Subscription) bool { return s.GetMethod() == rpc })
}

// insideRoute is the route of a method that a subscription calls; nil for none.
func (s *Snapshot) insideRoute(path string) *Route {
	if route := s.paths[path]; route != nil {
		return route
	}
	return s.inside[path]
}

// checkLoop refuses a method whose own events call it (Events 178).
func (b *builder) checkLoop(s *subscribed, set *policy.Set, refuse func(field, format string, args ...any) bool) bool {
	rules, ok := policy.Find[interface {
		EventTypes() []string
		EventTopics() []string
	}](set)
	if !ok || !slices.Contains(rules.EventTopics(), s.topic) {
		return true
	}
	if types := s.settings.GetTypes(); len(types) > 0 && !slices.ContainsFunc(rules.EventTypes(), func(kind string) bool { return subscription.Takes(types, kind) }) {
		return true
	}
	return refuse("topic", "found %q, but calls of %s publish %s to it, so that its events would call it for ever: give these events another topic, or the subscription types without them",
		s.topic, s.settings.GetMethod(), strings.Join(rules.EventTypes(), ", "))
}

// callable are the methods by which they are called: "package.Service/Method".
func (b *builder) callable() []string {
	var names []string
	for path, route := range b.snapshot.paths {
		if _, ok := route.endpoint.method(); ok {
			names = append(names, strings.TrimPrefix(path, "/"))
		}
	}
	slices.Sort(names)
	return names
}
