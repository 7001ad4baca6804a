package server

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/gateway"
)

// administered shows a gateway to the admin listener.
type administered struct{ server *Server }

var _ admin.Gateway = administered{}

func (a administered) Ready() (bool, string) {
	if a.server.draining.Load() {
		return false, "the gateway is shutting down"
	}
	return a.server.gateway.Ready()
}

func (a administered) Status() admin.Status {
	g := a.server.gateway
	var s admin.Status
	if last := g.Status(); last != nil {
		s.Generation = uint64(last.Generation)
		s.ConfigSum = last.ConfigSum
		s.LoadedAt = last.LoadedAt
		s.FailedAt = last.FailedAt
		s.Problems = adminProblems(last.Problems)
	}
	s.NotReloaded = a.server.not.list()
	s.Stores = g.AwayStores()
	if events, err := g.EventBus(); err == nil {
		for _, sink := range events.Status().Sinks {
			s.Sinks = append(s.Sinks, adminSink(sink))
		}
	}
	s.Subscriptions = subscriptionLines(g)
	for _, u := range g.Upstreams() {
		s.Upstreams = append(s.Upstreams, admin.Upstream{Name: u.Name, Target: u.Target, State: u.State, Failure: u.Failure, Endpoints: adminEndpoints(u)})
	}
	slices.SortFunc(s.Upstreams, func(a, b admin.Upstream) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func adminSink(sink bus.SinkStatus) admin.Sink {
	s := admin.Sink{Name: sink.Name, Silent: sink.Silent, NotReloaded: sink.NotReloaded, Waiting: sink.Lag + uint64(sink.Queue)} //nolint:gosec // it is not negative
	if sink.Failure != nil {
		s.Failure, s.Since = sink.Failure.Error(), sink.Since
	}
	if sink.Refusal != nil {
		s.Refusal = sink.Refusal.Error()
	}
	return s
}

func adminEndpoints(u gateway.UpstreamStatus) (list []admin.Endpoint) {
	for _, e := range u.Servers {
		shown := admin.Endpoint{
			Addresses: e.Addresses, State: e.State, Why: e.Why, Since: e.Since, Used: e.Used,
			Zone: e.Zone, Weight: e.Weight, Priority: e.Priority, Connections: e.Connections, InFlight: e.InFlight,
			Calls: e.Calls, Faults: e.Faults, Ejections: e.Ejections, LatencyMS: float64(e.Latency.Microseconds()) / 1000,
		}
		for _, service := range slices.Sorted(maps.Keys(e.Checks)) {
			r := e.Checks[service]
			shown.Checks = append(shown.Checks, admin.Check{Service: service, Healthy: r.Well, Why: r.Why, At: r.At})
		}
		list = append(list, shown)
	}
	return list
}

func (a administered) Routes() []admin.Route {
	var routes []admin.Route
	for _, r := range a.server.gateway.Routes() {
		routes = append(routes, admin.Route(r))
	}
	return routes
}

// OpenAPI implements admin.Described.
func (a administered) OpenAPI(version, service string, yaml bool) ([]byte, string, error) {
	return a.server.gateway.OpenAPIText(version, service, yaml)
}

func (a administered) Reload(ctx context.Context) (string, []admin.Problem) {
	change, err := a.server.gateway.Reload(ctx)
	a.server.Compare(a.server.gateway.Config())
	if err == nil {
		return change.String(), nil
	}
	var problems gateway.Problems
	if !errors.As(err, &problems) {
		return "", []admin.Problem{{Message: err.Error()}}
	}
	return "", adminProblems(problems)
}

func adminProblems(problems gateway.Problems) []admin.Problem {
	var list []admin.Problem
	for _, p := range problems {
		list = append(list, admin.Problem{File: p.File, Line: p.Line, Column: p.Column, Message: p.Message})
	}
	return list
}
