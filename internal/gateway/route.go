package gateway

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/observe"
)

// Route is one way to an endpoint, with the policies that stand before it.
type Route struct {
	endpoint endpoint
	guard    *guard

	listing   Listed   // without the policies; its path is as the operator wrote it
	rule      string   // in one line, for people
	variables []string // of the template
	hidesPath bool     // a path of the template may hold what no log may repeat
	// alone: the gateway answers by itself, with what is there already.
	alone bool
	// pathMethods are the HTTP methods that the endpoint's own path takes.
	pathMethods []string
}

// Listed is a route as `transom routes` and the admin listener show it.
type Listed struct {
	Method   string   `json:"method"`
	Path     string   `json:"path"`
	RPC      string   `json:"rpc"`
	Request  string   `json:"request"`
	Response string   `json:"response"`
	Stream   string   `json:"stream"`
	Upstream string   `json:"upstream"`
	Policies []string `json:"policies"`
	// Conditions are the headers and parameters of the query that a route to plain HTTP
	// servers asks for, as "[x-beta: yes]" and "[?v=2]".
	Conditions []string `json:"conditions,omitempty"`
	// Answer is how the gateway answers itself, as "redirect /new/**" or "respond 200".
	Answer string `json:"answer,omitempty"`
}

// rule is what tells routes apart.
func (l Listed) rule() string {
	return strings.Join(append([]string{l.Method, l.Path}, l.Conditions...), " ")
}

// Routes lists all routes, by path and then method; nil before the first
// Reload.
func (g *Gateway) Routes() []Listed {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	list := make([]Listed, 0, len(s.routes))
	for _, r := range s.routes {
		list = append(list, r.listed())
	}
	slices.SortFunc(list, func(a, b Listed) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return strings.Compare(a.rule(), b.rule())
	})
	return list
}

func (r *Route) listed() Listed {
	policies := []string{}
	for _, e := range r.guard.explained() {
		// A field of the options may be several policies: auth knows who calls, then
		// whether they may.
		if !slices.Contains(policies, e.Name) {
			policies = append(policies, e.Name)
		}
	}
	l := r.listing
	l.Upstream, l.Policies = r.guard.upstreams(), policies
	return l
}

// byName indexes the routes by method and path.
func (s *Snapshot) byName() map[string]*Route {
	routes := map[string]*Route{}
	if s == nil {
		return routes
	}
	for _, r := range s.routes {
		routes[r.listing.rule()] = r
	}
	return routes
}

// same reports whether two routes of one name do the same.
func (r *Route) same(o *Route) bool {
	return r.rule == o.rule && r.guard.name == o.guard.name && r.guard.upstream == o.guard.upstream &&
		proto.Equal(r.guard.set.Effective, o.guard.set.Effective) && r.endpoint.same(o.endpoint)
}

// retainMetrics keeps the counters of the snapshot's routes alone.
func (g *Gateway) retainMetrics(s *Snapshot) {
	metrics := g.options.Telemetry.Metrics
	keep := make([]*observe.RouteMetrics, 0, len(s.routes)+len(s.ownRoutes))
	for _, r := range slices.Concat(s.routes, s.ownRoutes) {
		keep = append(keep, metrics.Route(r.guard.name, r.listing.Path))
	}
	metrics.Retain(keep)
}
