package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// addRegistry adds all services of one schema source.
func (b *builder) addRegistry(r *schema.Registry) {
	plans := b.sources.plansOf(r)
	for _, service := range r.Services() {
		name := service.FullName()
		before, taken := b.services[name]
		offers := b.offers(r, service)
		switch {
		case taken && offers:
			b.again(before, r, service)
			fallthrough
		case !offers && (taken || b.offeredBeside(r, name)):
			b.snapshot.hideIn(r, name)
			continue
		}
		b.services[name] = r
		if !offers {
			b.snapshot.hide(service)
			continue
		}
		methods := service.Methods()
		for i := range methods.Len() {
			b.addMethod(r, plans, methods.Get(i))
		}
		b.snapshot.hideEmpty(service)
	}
}

// offeredBeside reports whether another source than a registry's serves a service.
func (b *builder) offeredBeside(r *schema.Registry, name protoreflect.FullName) bool {
	return slices.ContainsFunc(b.snapshot.registries, func(other *schema.Registry) bool {
		d, err := other.FindDescriptorByName(name)
		service, ok := d.(protoreflect.ServiceDescriptor)
		return other != r && err == nil && ok && b.offers(other, service)
	})
}

// again judges a service that another source has already. What a server tells of the
// user's own files is no news; what differs can be served in one way only.
func (b *builder) again(before, r *schema.Registry, service protoreflect.ServiceDescriptor) {
	first, err := before.FindDescriptorByName(service.FullName())
	if err == nil && schema.Same(first.ParentFile(), service.ParentFile()) {
		return
	}
	b.problemAt(r, service, fmt.Sprintf("the service %s is also in %s, and differs there: that one is served; leave it out of one of the two by services or exclude "+
		"of its entry in schemas, or make both the same", service.FullName(), before.Source()))
}

// addMethod compiles one method and adds its routes.
func (b *builder) addMethod(r *schema.Registry, plans *jsonwire.Plans, d protoreflect.MethodDescriptor) {
	rpc := string(d.Parent().FullName()) + "/" + string(d.Name())
	layers := b.layers(r, d)
	to, err := b.upstreams.of(string(d.Parent().FullName()))
	target := policy.Target{Method: d, RPC: rpc, Layers: layers, Extensions: newExtensions(r), Upstream: to.name, Backends: b.upstreams.named}
	set, problems := b.snapshot.policies.Compile(target)
	b.policyProblems(r, problems)
	if set == nil {
		set = policy.NewSet(nil)
	}
	hidden := set.Effective.GetHidden()
	if hidden {
		b.snapshot.hide(d)
		if !b.calledInside(rpc) {
			return
		}
	}
	b.tell(r, set)
	b.suspect(layers, set)
	if err != nil {
		b.problemAt(r, d.Parent(), err.Error())
	}
	b.suspectRetry(layers, set, to, len(problems) > 0)
	b.suspectBreaker(layers, set, to)
	b.suspectSplit(layers, set)
	b.suspectFault(layers, set)
	b.suspectMirror(layers, set, to.name)
	b.noteHash(to.name, d, set, to.placing)
	place := to.placing.of(d)
	m := b.newMethod(d, plans, set, to.backend(set.Effective.GetLimits().GetMaxResponseBytes(), place))
	m.upstream, m.placing = to.name, place
	m.changesHeader = m.changesHeader || place != nil && place.sticky != nil
	b.splitMethod(m, d, target)
	if hidden {
		b.addInside(r, plans, m)
		return
	}
	b.addRoutes(r, plans, m)
}

// splitMethod has the calls of a method spread, if its policies say so.
func (b *builder) splitMethod(m *rpcMethod, d protoreflect.MethodDescriptor, target policy.Target) {
	s := b.splitOf(m.set, target)
	if s == nil {
		return
	}
	for i := range s.branches {
		to, ok := b.upstreams.find(s.branches[i].upstream)
		if !ok {
			s.branches[i].backend = noUpstream{}
			continue
		}
		own := &s.branches[i]
		b.noteHash(to.name, d, m.set, to.placing)
		own.placing = to.placing.of(d)
		own.backend = own.set.Wrap(to.backend(m.set.Effective.GetLimits().GetMaxResponseBytes(), own.placing))
	}
	m.useSplit(s)
}

// newMethod makes a method of its descriptor, its policies and what answers it.
func (b *builder) newMethod(d protoreflect.MethodDescriptor, plans *jsonwire.Plans, set *policy.Set, backend proxy.Backend) *rpcMethod {
	return b.wrapMethod(transcoder.NewMethod(d, plans, b.settings.of(set)), set, backend)
}

// wrapMethod puts a method's policies before it and its backend.
func (b *builder) wrapMethod(m *transcoder.Method, set *policy.Set, backend proxy.Backend) *rpcMethod {
	return &rpcMethod{
		Method: m,
		guard: guard{
			name: m.RPC, set: set, clientTime: true,
			timeout: set.Timeout, idleTimeout: b.settings.idleTimeout(set), changesHeader: set.ChangesHeader(),
			runsEarly: m.NoSideEffects && mayRunEarly(set),
		},
		backend: set.Wrap(backend),
	}
}

// addRoutes adds the routes of a method: its rules and its own path.
func (b *builder) addRoutes(r *schema.Registry, plans *jsonwire.Plans, m *rpcMethod) {
	own, err := m.BindPath(plans)
	if err != nil {
		b.problemAt(r, m.Descriptor, err.Error())
		return
	}
	b.snapshot.paths[m.Path] = newRPCRoute(r, m, own, "")
	rule, index := b.rules.of(m.Descriptor.FullName())
	if rule == nil {
		rule = schema.HTTPRule(m.Descriptor)
	}
	if rule == nil {
		b.snapshot.routes = append(b.snapshot.routes, b.snapshot.paths[m.Path])
		return
	}
	bindings, problems := m.Bind(rule, plans)
	for _, p := range problems {
		b.badRule(r, m, index, fmt.Sprintf("%s: %s", m.Descriptor.FullName(), p.Message), p.Path...)
	}
	for i, binding := range bindings {
		if binding != nil {
			b.addRoute(r, m, binding, index, bindingPath(i)...)
			b.warnOfNoBody(r, m, binding, index, bindingPath(i)...)
			b.warnOfGetBody(r, m, binding, index, bindingPath(i)...)
		}
	}
}

// addInside adds a hidden method for the subscriptions that call it.
func (b *builder) addInside(r *schema.Registry, plans *jsonwire.Plans, m *rpcMethod) {
	own, err := m.BindPath(plans)
	if err != nil {
		b.problemAt(r, m.Descriptor, err.Error())
		return
	}
	b.snapshot.inside[m.Path] = newRPCRoute(r, m, own, "")
}

// addRoute adds the route of a rule. The path leads to its part in the rule.
func (b *builder) addRoute(r *schema.Registry, m *rpcMethod, binding *transcoder.Binding, index int, path ...int32) {
	where := ""
	if index >= 0 {
		where = b.configPosition(fmt.Sprintf("http_rules[%d]", index))
	}
	route := newRPCRoute(r, m, binding, where)
	err := b.snapshot.tree.Add(binding.HTTPMethod, binding.Template, route)
	var conflict *httprule.ConflictError[*Route]
	if errors.As(err, &conflict) {
		earlier := conflict.EarlierValue
		b.badRule(r, m, index, fmt.Sprintf("%s %s of %s matches the same paths as %s of %s (%s)",
			binding.HTTPMethod, binding.Template, m.Descriptor.FullName(),
			earlier.listing.Path, earlier.endpoint, earlier.endpoint.where()), path...)
		return
	}
	if err != nil {
		b.badRule(r, m, index, err.Error(), path...)
		return
	}
	b.snapshot.routes = append(b.snapshot.routes, route)
}

// newRPCRoute makes the route of a binding, whose method is of a registry; nil for the
// gateway's own. where is the place of its rule in the configuration, if it has one.
func newRPCRoute(r *schema.Registry, m *rpcMethod, binding *transcoder.Binding, where string) *Route {
	route := &Route{
		endpoint: &rpcEndpoint{binding, m, r, where}, guard: &m.guard,
		rule: binding.String(), hidesPath: binding.HidesPath(),
		pathMethods: []string{http.MethodPost, http.MethodOptions},
		listing: Listed{
			Method: binding.HTTPMethod, Path: binding.Template.String(), RPC: m.RPC, Stream: m.Stream(),
			Request: string(m.Descriptor.Input().FullName()), Response: string(m.Descriptor.Output().FullName()),
		},
	}
	if m.NoSideEffects && m.Shape.Unary() {
		route.pathMethods = append(route.pathMethods, http.MethodGet, http.MethodHead)
	}
	for _, v := range binding.Template.Variables {
		route.variables = append(route.variables, v.FieldPath)
	}
	return route
}
