package policy

import (
	"log/slog"
	"reflect"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// Environment is what policies are compiled against, besides the options.
type Environment struct {
	// Config is the gateway's configuration, checked. Nil is an empty one.
	Config *transomv1.Config
	// Position gives the place of a field of Config as "file:line:column", by a
	// path such as "auth.jwt[0].secret". Nil: problems name the path alone.
	Position func(path string) string
	// Directory is what relative file names of the configuration start from.
	Directory string
	// State outlives reloads. Required.
	State *State
	// Extensions finds the extensions of the method's own schema; the rules of
	// validate may be among them. May be nil. A Target may bring its own.
	Extensions Extensions
	// Authorization names the metadata, besides "authorization", by which backends
	// are told the header of that name.
	Authorization []string
	// Log is the application log. Nil: slog.Default().
	Log *slog.Logger
	// Observer is told each decision. May be nil.
	Observer Observer
	// Suppress reports for which fields of policies problems are not reported, by a path such
	// as "auth.jwt", for it may follow from what is wrong in Config. The Sets must not
	// be used then. Nil: everything is said.
	Suppress func(path string) bool
}

// Extensions finds extension descriptors, for example of one schema source.
type Extensions interface {
	FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionDescriptor, error)
	FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error)
}

// Observer counts decisions. It is called on the path of a request by many
// goroutines: it must be quick and must not block. Nothing it is told is
// secret.
type Observer interface {
	// Decision tells that the policy of that name let a call of the RPC through
	// ("allow"), or what it answered instead: the name of the gRPC code in lower
	// case with underscores, such as "unauthenticated", or "unavailable_store"
	// beside it where a shared store did not answer.
	Decision(policy, rpc, result string)
}

// resolver is an Observer that looks up once what one policy's decisions on one RPC need.
type resolver interface {
	Decisions(policy, rpc string) func(result string)
}

// Decisions is what a policy of that name tells what it decides on each call of the RPC; never nil.
func (s *Scope) Decisions(policy string) func(result string) {
	if s.Observer == nil {
		return func(string) {}
	}
	if o, ok := s.Observer.(resolver); ok {
		return o.Decisions(policy, s.RPC)
	}
	return func(result string) { s.Observer.Decision(policy, s.RPC, result) }
}

// Target is what one Set is compiled for.
type Target struct {
	// Method is the method; nil for a plain HTTP route.
	Method protoreflect.MethodDescriptor
	// RPC is "package.Service/Method", or the name of a plain HTTP route.
	RPC string
	// PlainHTTP tells that the target is a plain HTTP route, Methods which methods of HTTP
	// it takes, nil for all, and Path its path as people see it.
	PlainHTTP bool
	Methods   []string
	Path      string
	// Upstream is the name of the backend; empty for none.
	Upstream string
	// Backends finds the backend of any upstream, by its name, nil for a name that none has.
	// Nil: there are none.
	Backends func(upstream string) proxy.Backend
	// Layers are the policies that apply, the widest first: gateway defaults,
	// service option, method option, then Config.Policies as Matching orders them.
	Layers []Layer
	// Extensions takes the place of the Environment's where it is not nil.
	Extensions Extensions
}

// Layer is one place that says something about a method.
type Layer struct {
	// Policy is what it says; nil is nothing.
	Policy *transomv1.Policy
	// Where it stands, for people: "bookstore.proto:12:3", "transom.yaml:30:5".
	Where string
	// Exact tells that the place speaks of this one method: its own option, or a
	// rule whose selector has no wildcard. Only such a place gives a stream a total
	// timeout.
	Exact bool
	// Position gives the place of a field of Policy in the form of Where, by a path
	// of proto names such as "rate_limit[0].cel". Nil, or an empty answer: Where.
	Position func(path string) string
}

// Compiler makes Sets for one generation of the configuration. It holds what
// its Sets use of the State until Close. It is not safe for concurrent use.
type Compiler struct {
	kinds      []Kind
	generation *Generation
}

// New begins a generation of the kinds, which admit calls in the order given. The
// problems are those of Config's own parts (auth, stores); with problems the
// Compiler still finds those of the methods, but its Sets must not be used. Close it
// in either case.
func New(kinds []Kind, env Environment) (*Compiler, Problems) {
	if env.Config == nil {
		env.Config = &transomv1.Config{}
	}
	if env.Log == nil {
		env.Log = slog.Default()
	}
	c := &Compiler{kinds: kinds, generation: &Generation{Environment: env, shared: map[reflect.Type]any{}}}
	for _, k := range kinds {
		if k.Open != nil {
			k.Open(c.generation)
		}
	}
	return c, c.generation.problems
}

// HiddenCookies names the cookies that hold credentials of the gateway, once all
// methods are compiled: no backend may see them (Semantics 306).
func (c *Compiler) HiddenCookies() []string { return c.generation.HiddenCookies() }

// HideCookies keeps further cookies of the gateway's own from all backends.
func (c *Compiler) HideCookies(names []string) {
	for _, name := range names {
		c.generation.HideCookie(name)
	}
}

// Close gives back what the Compiler's Sets use of the State. Call it when no
// call uses them any more and a newer generation stands: what both use
// survives.
func (c *Compiler) Close() { c.generation.release() }

// Compile makes the Set of a target. Without problems the Set is never nil,
// unless a problem was suppressed.
func (c *Compiler) Compile(t Target) (*Set, Problems) {
	s := newScope(c.generation, t)
	s.takeBack()
	s.leaveInapplicable()
	s.refuseUnknown(c.kinds)
	s.checkValues()
	parts := make([]Part, len(c.kinds))
	for i, k := range c.kinds {
		parts[i] = k.Compile(s)
	}
	if len(s.problems) > 0 || s.suppressed {
		return nil, s.problems
	}
	set := NewSet(s.Policy)
	for i, part := range parts {
		if part != nil {
			set.add(part, c.kinds[i].Field != "")
		}
	}
	set.explained, set.observer = s.explain(set.parts), s.Observer
	if s.Stream() && !s.Exact("timeout") {
		set.Timeout = 0 // a wider timeout is meant for calls, not for streams
	}
	return set, nil
}
