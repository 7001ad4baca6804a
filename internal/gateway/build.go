package gateway

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/events/rule"
	"github.com/transom-gateway/transom/internal/capture"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// builder makes one Snapshot.
type builder struct {
	gateway   *Gateway
	sources   *sources
	file      *config.File
	snapshot  *Snapshot
	problems  Problems
	upstreams upstreams
	settings  settings
	rules     httpRules
	policies  policyRules
	// services remembers which source a service came from.
	services map[protoreflect.FullName]*schema.Registry
	// httpUpstreams are those of plain HTTP, by name.
	httpUpstreams map[string]*httpbackend.Upstream
	// hashes are those of calls that have keys, by the upstream.
	hashes map[string]*hashUse
	// undecided are what nothing is said of; nil for a configuration that is right.
	undecided *undecided
	// wrong are servers whose own options are wrong, and how. They are left out of a
	// second attempt, which is incomplete then.
	wrong      map[*schema.Registry]Problems
	incomplete bool
	suspicions suspicions
	told       map[*schema.Registry]*told
	events     eventService
}

// build reads all inputs and compiles them. The snapshot is nil beside fatal
// problems; else it has no reference yet.
func (g *Gateway) build(ctx context.Context) (*Snapshot, Problems) {
	file, err := g.options.Load()
	if err != nil {
		return nil, append(joinProblems(err), g.look(ctx, file)...).Sorted()
	}
	b := g.newBuilder(file, g.sources)
	b.connect()
	problems := b.read(ctx)
	if len(b.wrong) > 0 {
		b, problems = b.withoutWrong(problems)
	}
	b.addHTTPRoutes()
	b.addOwnServices(linkedPlans())
	b.checkOperations()
	if len(problems.Fatal()) == 0 && !b.incomplete && !b.sources.waiting() {
		// All methods are known, so what selects none of them is a mistake.
		b.rules.unused(b)
		b.policies.unused(b)
		b.checkCapture()
		b.idlePatterns()
		b.checkHashes()
		b.warnOfSuspicions()
	}
	if len(b.problems.Fatal()) == 0 {
		b.subscribe()
	}
	b.problems = b.problems.Sorted()
	if len(b.problems.Fatal()) > 0 {
		b.discard()
		return nil, b.problems
	}
	b.finish()
	b.snapshot.called = b.servicesOf()
	b.snapshot.unready = b.unready(problems)
	b.snapshot.told = b.newlyTold()
	return b.snapshot, b.problems
}

// newBuilder makes the builder of one snapshot, with nothing read yet.
func (g *Gateway) newBuilder(file *config.File, from *sources) *builder {
	return &builder{
		gateway:       g,
		sources:       from,
		file:          file,
		snapshot:      &Snapshot{Config: file, paths: map[string]*Route{}, inside: map[string]*Route{}, conns: map[string]connection{}},
		services:      map[protoreflect.FullName]*schema.Registry{},
		httpUpstreams: map[string]*httpbackend.Upstream{},
		settings:      newSettings(file, g.options.Telemetry.Log),
	}
}

// read reads the schemas and compiles all there is. The problems of the schemas
// are given once more.
func (b *builder) read(ctx context.Context) Problems {
	b.prepare()
	registries, problems := b.sources.load(ctx, b.file, b.snapshot.conns)
	b.compile(registries, problems)
	return problems
}

// compile adds all services of the schemas, of which problems tell.
func (b *builder) compile(registries []*schema.Registry, problems Problems) {
	b.problems = append(b.problems, problems...)
	b.snapshot.registries = registries
	// What servers tell comes last: of two services of one name, the user's own is served
	// (Semantics 323).
	for _, servers := range []bool{false, true} {
		for _, r := range registries {
			if b.sources.isServers(r) == servers {
				b.addRegistry(r)
			}
		}
	}
}

// unready says why a gateway serves no route though it has schemas. problems are theirs.
func (b *builder) unready(problems Problems) string {
	switch {
	case slices.ContainsFunc(b.snapshot.routes, (*Route).isConfigured) || len(b.file.Config.GetSchemas()) == 0:
		return ""
	case len(problems) > 0:
		return "no route is served: " + problems[0].String()
	case slices.ContainsFunc(b.file.Config.GetSchemas(), func(s *transomv1.SchemaSource) bool { return s.GetReflection() != nil }):
		return "no route is served: the server that was asked for its schema has no method to serve"
	}
	return "no route is served: the schemas have no method, or none that is served"
}

// discard gives back what an unfinished snapshot holds.
func (b *builder) discard() {
	b.snapshot.discard()
}

// refuse notes a problem at a place of the configuration file.
func (b *builder) refuse(message string, path ...any) {
	line, column := b.file.Position(path...)
	b.problems = append(b.problems, Problem{File: b.file.Path, Line: line, Column: column, Message: message})
}

// warn notes something odd at a place of the configuration file.
func (b *builder) warn(message string, path ...any) {
	b.refuse(message, path...)
	b.problems[len(b.problems)-1].Warning = true
}

// prepare makes the parts of the snapshot that no schema is needed for.
func (b *builder) prepare() {
	s := b.snapshot
	s.rest = b.settings.routing
	s.headers = b.settings.headers
	s.openAPI.version, s.openAPI.base = b.gateway.options.Version, b.settings
	s.tree = httprule.NewTree[*Route](b.settings.paths)
	s.errors = transcoder.NewErrorWriter(linkedPlans())
	s.clientCert = b.file.Config.GetForwardClientCert()
	s.rfc7239 = b.file.Config.GetForwarded() == transomv1.Config_RFC7239
	s.errorPages = b.readErrorPages()
	for i, text := range b.file.Config.GetTrustedProxies() {
		if s.proxies.add(text) != nil {
			b.refuse(fmt.Sprintf("trusted_proxies: %q is no address range; expected CIDR such as 10.0.0.0/8, or %s", text, trustUnix), "trusted_proxies", i)
		}
	}
	s.proxies.read(b.file.Config.GetClientIp())
	b.checkSinks()
	var suppressed func(path string) bool
	if b.undecided != nil {
		suppressed = b.undecided.policy
	}
	var problems policy.Problems
	s.policies, problems = policy.New(b.kinds(), policy.Environment{
		Config:    b.file.Config,
		Position:  b.configPosition,
		Directory: b.file.Directory,
		State:     b.gateway.state,
		Log:       b.gateway.options.Telemetry.Log,
		Observer:  b.gateway.options.Telemetry.Metrics,
		Suppress:  suppressed,

		Authorization: b.settings.authorization,
	})
	b.problems = append(b.problems, problems...)
	b.rules = httpRules{
		list:      b.file.Config.GetHttpRules(),
		selectors: selectors(b, "http_rules", b.file.Config.GetHttpRules()),
		used:      make([]bool, len(b.file.Config.GetHttpRules())),
	}
	b.policies = policyRules{
		list:      b.file.Config.GetPolicies(),
		selectors: selectors(b, "policies", b.file.Config.GetPolicies()),
		used:      make([]bool, len(b.file.Config.GetPolicies())),
	}
}

// kinds are all kinds of policies, with those that the gateway itself makes.
func (b *builder) kinds() []policy.Kind {
	t := b.gateway.options.Telemetry
	open := b.gateway.options.Events
	if open == nil {
		open = b.publisher
	}
	first, last := rule.Kinds(rule.Options{Open: open, JSON: b.settings.answerJSON})
	events := policy.Kind{Open: func(g *policy.Generation) { b.openEvents(g, open) }, Compile: func(*policy.Scope) policy.Part { return nil }}
	readers := policy.Kind{Open: b.openReaders, Compile: events.Compile}
	return slices.Concat(kinds.All(append([]policy.Kind{observe.Kind(t), capture.Kind(&t.Live)}, first...)...), last, []policy.Kind{observe.Attempts(t), events, readers})
}

// linkedPlans makes plans of the types that are linked into the program.
func linkedPlans() *jsonwire.Plans {
	return jsonwire.NewPlans(jsonwire.TypeResolver{Types: protoregistry.GlobalTypes})
}

func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// configPosition gives the place of a field of the configuration, by a path
// such as "auth.jwt[0].secret".
func (b *builder) configPosition(path string) string { return b.file.Where(path) }

// problemAt notes a problem at a place of a proto file.
func (b *builder) problemAt(r *schema.Registry, d protoreflect.Descriptor, message string, option ...int32) {
	file, line, column := r.Position(d, option...)
	b.problems = append(b.problems, Problem{File: file, Line: line, Column: column, Message: message, Warning: b.sources.isTolerant(r)})
}

// finish does what needs all routes.
func (b *builder) finish() {
	s := b.snapshot
	s.publish()
	s.policies.HideCookies(ticketCookies(b.file.Config.GetUpstreams()))
	s.hiddenCookies = s.policies.HiddenCookies()
	s.headers.HideCookies(s.hiddenCookies)
	byGuard := map[*guard][]policy.Route{}
	for _, route := range s.paths {
		byGuard[route.guard] = nil
	}
	for _, route := range s.inside {
		byGuard[route.guard] = []policy.Route{{Template: route.listing.Path}}
	}
	var hidden []policy.Route
	for _, route := range slices.Concat(s.routes, s.ownRoutes) {
		r := policy.Route{Template: route.listing.Path, HidesPath: route.hidesPath}
		byGuard[route.guard] = append(byGuard[route.guard], r)
		if r.HidesPath {
			hidden = append(hidden, r)
		}
	}
	s.hidesPaths = len(hidden) > 0
	for _, route := range slices.Concat(slices.Collect(maps.Values(s.paths)), slices.Collect(maps.Values(s.inside))) {
		if m, ok := route.endpoint.method(); ok {
			b.addMaintenance(route.guard.set, string(m.Parent().FullName()))
		}
	}
	for _, route := range s.routes {
		b.addMaintenance(route.guard.set, "")
	}
	for g, routes := range byGuard {
		g.set.Finish(routes)
		b.addCircuit(g)
		b.addCache(g)
		b.addKeys(g)
		_, pages := policy.Find[pagePolicy](g.set)
		s.anyCors = s.anyCors || pages
	}
	s.sortCircuits()
	unmatched := []policy.Part{b.gateway.options.Telemetry.Unmatched(hidden)}
	if s.cors = b.defaultCors(); s.cors != nil {
		unmatched = append(unmatched, s.cors)
	}
	s.anyCors = s.anyCors || s.cors != nil
	s.unmatched = policy.NewSet(nil, unmatched...)
}

// defaultCors is the policy cors of defaults, for the router's own answers (Semantics
// 310): a page must be able to read that there is no such route. Its problems are told
// with those of the methods.
func (b *builder) defaultCors() pagePolicy {
	cors := b.file.Config.GetDefaults().GetCors()
	if cors == nil {
		return nil
	}
	set, _ := b.snapshot.policies.Compile(policy.Target{Layers: []policy.Layer{{Policy: &transomv1.Policy{Cors: cors}}}})
	if set == nil {
		return nil
	}
	found, _ := policy.Find[pagePolicy](set)
	return found
}
