package gateway

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
)

// Route is one way to an endpoint, with the policies that stand before it.
type Route struct {
	endpoint endpoint
	method   *Method

	httpMethod string   // "*" for any
	template   string   // as the operator wrote it
	rule       string   // in one line, for people
	variables  []string // of the template
	hidesPath  bool     // a path of the template may hold what no log may repeat

	registry *schema.Registry
	inConfig string // where the rule stands in the configuration, if it does
}

// where the route's rule stands, for people.
func (r *Route) where() string {
	if r.inConfig != "" {
		return r.inConfig
	}
	rule := []int32{schema.HTTPOption}
	if r.template == r.method.Path {
		rule = nil // no rule says so: it is the method's own path
	}
	return place(r.registry.Position(r.method.Descriptor, rule...))
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
		return strings.Compare(a.Method, b.Method)
	})
	return list
}

func (r *Route) listed() Listed {
	policies := []string{}
	for _, e := range r.method.explained() {
		// A field of the options may be several policies: auth knows who calls, then
		// whether they may.
		if !slices.Contains(policies, e.Name) {
			policies = append(policies, e.Name)
		}
	}
	return Listed{
		Method: r.httpMethod, Path: r.template, RPC: r.method.RPC,
		Request: string(r.method.Descriptor.Input().FullName()), Response: string(r.method.Descriptor.Output().FullName()),
		Stream: r.method.Stream(), Upstream: r.method.upstream, Policies: policies,
	}
}

// explained lists the policies that hold for the method: those that decide, in their
// order, then the settings.
func (m *Method) explained() []policy.Explained {
	decides := map[string]bool{}
	for _, p := range m.set.Parts() {
		decides[p.Name()] = true
	}
	return slices.DeleteFunc(slices.Clone(m.set.Explain()), func(e policy.Explained) bool {
		switch e.Name {
		case "timeout":
			return m.set.Timeout == 0 // a wider one does not hold for streams
		case "validate":
			return !decides["validate"] // disabled
		case "hidden":
			return true // what is listed is not hidden
		}
		return false
	})
}

// byName indexes the routes by method and path.
func (s *Snapshot) byName() map[string]*Route {
	routes := map[string]*Route{}
	if s == nil {
		return routes
	}
	for _, r := range s.routes {
		routes[r.httpMethod+" "+r.template] = r
	}
	return routes
}

// same reports whether two routes of one name do the same.
func (r *Route) same(o *Route) bool {
	return r.rule == o.rule && r.method.RPC == o.method.RPC &&
		r.method.upstream == o.method.upstream &&
		proto.Equal(r.method.set.Effective, o.method.set.Effective) &&
		(r.registry == o.registry || sameShape(r.method.Descriptor, o.method.Descriptor))
}

// sameShape compares the messages of two methods, their own fields alone.
func sameShape(a, b protoreflect.MethodDescriptor) bool {
	same := func(a, b protoreflect.MessageDescriptor) bool {
		return proto.Equal(protodesc.ToDescriptorProto(a), protodesc.ToDescriptorProto(b))
	}
	return a.IsStreamingClient() == b.IsStreamingClient() && a.IsStreamingServer() == b.IsStreamingServer() &&
		same(a.Input(), b.Input()) && same(a.Output(), b.Output())
}

func (g *Gateway) retainMetrics(s *Snapshot) {
	metrics := g.options.Telemetry.Metrics
	keep := make([]*observe.RouteMetrics, 0, len(s.routes)+len(s.ownRoutes))
	for _, r := range slices.Concat(s.routes, s.ownRoutes) {
		keep = append(keep, metrics.Route(r.method.RPC, r.template))
	}
	metrics.Retain(keep)
}
