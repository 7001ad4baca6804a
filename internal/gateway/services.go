package gateway

import (
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// services are the gRPC services that the gateway answers itself, for what it
// serves: health and server reflection (Semantics 45). Clients of all protocols
// reach them by their own paths.
type services struct {
	backend proxy.Services
	health  *health.Server
}

// newServices makes them for whatever snapshot is in service when they are
// asked.
func (g *Gateway) newServices() *services {
	s := &services{health: health.NewServer()}
	healthv1.RegisterHealthServer(&s.backend, s.health)
	options := reflection.ServerOptions{Services: served{g}, DescriptorResolver: described{g}, ExtensionResolver: described{g}}
	reflectionv1.RegisterServerReflectionServer(&s.backend, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(&s.backend, reflection.NewServer(options))
	return s
}

// ownServices are those that are on.
func ownServices(o *transomv1.OwnServices) []protoreflect.ServiceDescriptor {
	var on []protoreflect.ServiceDescriptor
	if o == nil || o.Health == nil || o.GetHealth() {
		on = append(on, healthv1.File_grpc_health_v1_health_proto.Services().ByName("Health"))
	}
	if o == nil || o.Reflection == nil || o.GetReflection() {
		on = append(on,
			reflectionv1.File_grpc_reflection_v1_reflection_proto.Services().ByName("ServerReflection"),
			reflectionv1alpha.File_grpc_reflection_v1alpha_reflection_proto.Services().ByName("ServerReflection"))
	}
	return on
}

// addOwnServices adds the paths of the gateway's own services, but for those that
// a backend has. Policies hold for them as for any method (Semantics 330); but for
// those of events they are in no listing of routes.
func (b *builder) addOwnServices(plans *jsonwire.Plans) {
	for _, service := range ownServices(b.file.Config.GetOwnServices()) {
		for i := range service.Methods().Len() {
			b.addOwnMethod(plans, service.Methods().Get(i))
		}
		first := service.Methods().Get(0)
		if slices.ContainsFunc(b.snapshot.ownRoutes, func(r *Route) bool { m, _ := r.endpoint.method(); return m == first }) {
			b.snapshot.own = append(b.snapshot.own, string(service.FullName()))
		}
	}
	b.addEventService(plans)
}

// ownPolicies compiles what holds for a method of the gateway's own; nil where it has no paths: a
// fatal problem says why, or nobody is to know of it.
func (b *builder) ownPolicies(d protoreflect.MethodDescriptor) *policy.Set {
	set, problems := b.snapshot.policies.Compile(policy.Target{
		Method: d, RPC: string(d.Parent().FullName()) + "/" + string(d.Name()),
		Layers: b.layers(nil, d), Extensions: newExtensions(protoregistry.GlobalTypes), Backends: b.upstreams.named,
	})
	b.problems = append(b.problems, problems...)
	if set == nil || set.Effective.GetHidden() {
		return nil
	}
	return set
}

func (b *builder) addOwnMethod(plans *jsonwire.Plans, d protoreflect.MethodDescriptor) {
	set := b.ownPolicies(d)
	if set == nil {
		return
	}
	m := b.newMethod(d, plans, set, &b.gateway.own.backend)
	// Who watches the health hears nothing for days, and must not hold a shutdown up.
	m.endless = true
	m.idleTimeout = set.IdleTimeout
	binding, err := m.BindPath(plans)
	if _, taken := b.snapshot.paths[m.Path]; taken || err != nil {
		return
	}
	route := newRPCRoute(nil, m, binding, "own_services")
	b.snapshot.paths[m.Path] = route
	b.snapshot.ownRoutes = append(b.snapshot.ownRoutes, route)
}

// update reports the health of the services that a snapshot serves.
func (s *services) update(old, next *Snapshot) {
	names := next.serviceNames()
	for _, name := range names {
		s.health.SetServingStatus(name, next.health(name))
	}
	if old == nil {
		return
	}
	for _, name := range old.serviceNames() {
		if !slices.Contains(names, name) {
			s.health.SetServingStatus(name, healthv1.HealthCheckResponse_SERVICE_UNKNOWN)
		}
	}
}

func (s *Snapshot) serviceNames() []string {
	var names []string
	for _, r := range s.public {
		for _, service := range r.Services() {
			names = append(names, string(service.FullName()))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// served lists the services for reflection.
type served struct{ gateway *Gateway }

// GetServiceInfo implements reflection.ServiceInfoProvider, of which reflection
// reads the names.
func (s served) GetServiceInfo() map[string]grpc.ServiceInfo {
	info := map[string]grpc.ServiceInfo{}
	snapshot := s.gateway.acquire()
	if snapshot == nil {
		return info
	}
	defer snapshot.release()
	for _, name := range snapshot.own {
		info[name] = grpc.ServiceInfo{}
	}
	for _, name := range snapshot.serviceNames() {
		info[name] = grpc.ServiceInfo{}
	}
	return info
}

// described finds descriptors in the registries of the snapshot in service.
type described struct{ gateway *Gateway }

// search asks each registry in turn, and the types linked into the program
// last.
func search[T any](d described, find func(*schema.Registry) (T, error), linked func() (T, error), withheld func(*Snapshot) error) (T, error) {
	snapshot := d.gateway.acquire()
	if snapshot != nil {
		defer snapshot.release()
		if err := withheld(snapshot); err != nil {
			var none T
			return none, err
		}
		for _, r := range snapshot.public {
			if found, err := find(r); err == nil {
				return found, nil
			}
		}
	}
	return linked()
}

// FindFileByPath implements protodesc.Resolver.
func (d described) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return search(d,
		func(r *schema.Registry) (protoreflect.FileDescriptor, error) { return r.FindFileByPath(path) },
		func() (protoreflect.FileDescriptor, error) { return protoregistry.GlobalFiles.FindFileByPath(path) },
		func(s *Snapshot) error { return s.withheldFile(path) })
}

// FindDescriptorByName implements protodesc.Resolver.
func (d described) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return search(d,
		func(r *schema.Registry) (protoreflect.Descriptor, error) { return r.FindDescriptorByName(name) },
		func() (protoreflect.Descriptor, error) { return protoregistry.GlobalFiles.FindDescriptorByName(name) },
		func(s *Snapshot) error { return s.withheldName(name) })
}

// FindExtensionByName implements reflection.ExtensionResolver.
func (d described) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	return search(d,
		func(r *schema.Registry) (protoreflect.ExtensionType, error) { return r.FindExtensionByName(name) },
		func() (protoreflect.ExtensionType, error) { return protoregistry.GlobalTypes.FindExtensionByName(name) },
		func(s *Snapshot) error { return s.withheldName(name) })
}

// FindExtensionByNumber implements reflection.ExtensionResolver.
func (d described) FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	return search(d,
		func(r *schema.Registry) (protoreflect.ExtensionType, error) {
			return r.FindExtensionByNumber(message, field)
		},
		func() (protoreflect.ExtensionType, error) {
			return protoregistry.GlobalTypes.FindExtensionByNumber(message, field)
		},
		func(s *Snapshot) error { return s.withheldName(message) })
}

// RangeExtensionsByMessage implements reflection.ExtensionResolver.
func (d described) RangeExtensionsByMessage(message protoreflect.FullName, f func(protoreflect.ExtensionType) bool) {
	snapshot := d.gateway.acquire()
	if snapshot == nil {
		return
	}
	defer snapshot.release()
	seen := map[protoreflect.FieldNumber]bool{}
	for _, r := range snapshot.public {
		more := true
		r.RangeExtensionsByMessage(message, func(t protoreflect.ExtensionType) bool {
			if n := t.TypeDescriptor().Number(); !seen[n] {
				seen[n] = true
				more = f(t)
			}
			return more
		})
		if !more {
			return
		}
	}
}
