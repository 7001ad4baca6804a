package gateway

import (
	"cmp"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events/behaviour"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// defaultPrefix is what the paths of EventService begin with.
const defaultPrefix = "/v1"

// addEventService adds the methods of EventService that are configured: by their own paths, and
// by the rules of REST below events.prefix.
func (b *builder) addEventService(plans *jsonwire.Plans) {
	prefix := cmp.Or(b.file.Config.GetEvents().GetPrefix(), defaultPrefix)
	rules := map[protoreflect.Name]*annotations.HttpRule{}
	if b.events.collector != nil {
		b.noteEventTypes()
		rules["Publish"] = &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: prefix + "/events"}, Body: "event"}
		rules["PublishBatch"] = &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: prefix + "/events:batch"}, Body: "*"}
	}
	if b.events.listeners != nil {
		rules["Subscribe"] = &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: prefix + "/events/{topic}"}}
	}
	if len(rules) == 0 {
		return
	}
	backend := new(proxy.Services)
	transomv1.RegisterEventServiceServer(backend, &b.events)
	backends := map[protoreflect.Name]proxy.Backend{"Publish": backend, "PublishBatch": backend, "Subscribe": b.events.listeners}
	service := transomv1.File_transom_v1_event_service_proto.Services().ByName("EventService")
	before := len(b.snapshot.ownRoutes)
	for i := range service.Methods().Len() {
		d := service.Methods().Get(i)
		if rule := rules[d.Name()]; rule != nil {
			b.addEventMethod(plans, d, backends[d.Name()], rule)
		}
	}
	if len(b.snapshot.ownRoutes) > before {
		b.snapshot.own = append(b.snapshot.own, string(service.FullName()))
	}
}

// addEventMethod adds one of them. An http_rule of the configuration replaces its rule.
func (b *builder) addEventMethod(plans *jsonwire.Plans, d protoreflect.MethodDescriptor, backend proxy.Backend, rule *annotations.HttpRule) {
	set := b.ownPolicies(d)
	if set == nil {
		return
	}
	m := b.wrapMethod(transcoder.NewMethod(d, plans, b.eventSettings(set)), set, backend)
	m.endless, m.comesBack, m.idleTimeout, m.tellsRequest = true, true, set.IdleTimeout, true
	own, err := m.BindPath(plans)
	if _, taken := b.snapshot.paths[m.Path]; taken || err != nil {
		return // a schema has the service
	}
	route := newRPCRoute(nil, m, own, b.configPosition("events"))
	b.snapshot.paths[m.Path] = route
	b.snapshot.ownRoutes = append(b.snapshot.ownRoutes, route)
	at := "events.prefix"
	if configured, i := b.rules.of(d.FullName()); configured != nil {
		rule, at = configured, fmt.Sprintf("http_rules[%d]", i)
	}
	bindings, wrong := m.Bind(rule, plans)
	for _, p := range wrong {
		b.refuseEvents(at, fmt.Sprintf("%s: %s", d.FullName(), p.Message))
	}
	for _, binding := range bindings {
		if binding != nil {
			b.addEventRoute(m, binding, at)
		}
	}
}

// eventSettings are the settings of a method of EventService. Fields that a newer page knows are
// no reason to refuse what it sends.
func (b *builder) eventSettings(set *policy.Set) transcoder.Settings {
	s := b.settings.of(set)
	s.Input.IgnoreUnknown = true
	for _, limit := range []*int64{&s.MaxBody, &s.MaxMessage} {
		if *limit == 0 || *limit > behaviour.MaxBody {
			*limit = behaviour.MaxBody
		}
	}
	return s
}

// addEventRoute adds the route of a rule that stands at a path of the configuration.
func (b *builder) addEventRoute(m *rpcMethod, binding *transcoder.Binding, at string) {
	route := newRPCRoute(nil, m, binding, b.configPosition(at))
	err := b.snapshot.tree.Add(binding.HTTPMethod, binding.Template, route)
	var conflict *httprule.ConflictError[*Route]
	if errors.As(err, &conflict) {
		earlier := conflict.EarlierValue
		err = fmt.Errorf("%s %s of %s matches the same paths as %s of %s (%s); choose another events.prefix", binding.HTTPMethod, binding.Template,
			m.Descriptor.FullName(), earlier.listing.Path, earlier.endpoint, earlier.endpoint.where())
	}
	if err != nil {
		b.refuseEvents(at, err.Error())
		return
	}
	b.snapshot.routes = append(b.snapshot.routes, route)
}

// refuseEvents notes a problem at a path of the configuration.
func (b *builder) refuseEvents(at, message string) {
	b.problems = append(b.problems, problem.At(b.configPosition(at), at+": "+message))
}
