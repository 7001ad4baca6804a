package policy

import (
	"io"
	"log/slog"
	"slices"

	"cel.dev/cel-go/cel"
	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
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

// Target is what one Set is compiled for.
type Target struct {
	// Method is the method; nil for a plain HTTP route.
	Method protoreflect.MethodDescriptor
	// RPC is "package.Service/Method", or the name of a plain HTTP route.
	RPC string
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
	env    Environment
	leases []*kept
	// cel and celInputs are the environments of expressions, made when needed.
	cel       *cel.Env
	celInputs map[protoreflect.MessageDescriptor]*cel.Env
	// rules and named are filled when needed: the rules of validate, the names of
	// rate limits.
	rules map[Extensions]*ruleBook
	named map[string]namedLimit
	// What auth is made of. A token that an older generation verified is verified
	// again: its issuer may have been taken away.
	issuers  []*tokenIssuer
	tokens   *tokenCache
	sessions *sessions
	revoked  *revocations
	origins  *originGuard
	// cookies are those that hold credentials.
	cookies *hiddenCookies
}

// hiddenCookies are the names of cookies that no backend may see. Methods add to
// them while they are compiled.
type hiddenCookies struct{ names []string }

func (h *hiddenCookies) add(name string) {
	if !slices.Contains(h.names, name) {
		h.names = append(h.names, name)
	}
}

// HiddenCookies names the cookies that hold credentials of the gateway, once all
// methods are compiled: no backend may see them (Semantics 306).
func (c *Compiler) HiddenCookies() []string { return c.cookies.names }

// New begins a generation. The problems are those of Config's own parts (auth,
// stores); with problems the Compiler still finds those of the methods, but
// its Sets must not be used. Close it in either case.
func New(env Environment) (*Compiler, Problems) {
	if env.Config == nil {
		env.Config = &transomv1.Config{}
	}
	if env.Log == nil {
		env.Log = slog.Default()
	}
	c := &Compiler{env: env, tokens: newTokenCache(), cookies: &hiddenCookies{}}
	problems := c.compileIssuers()
	problems = append(problems, c.compileSessions()...)
	c.compileRevocations()
	return c, problems
}

// Close gives back what the Compiler's Sets use of the State. Call it when no
// call uses them any more and a newer generation stands: what both use
// survives.
func (c *Compiler) Close() {
	for _, k := range c.leases {
		c.env.State.release(k)
	}
	c.leases = nil
}

// Compile makes the Set of a target. Without problems the Set is never nil,
// unless a problem was suppressed.
//
// The order: what answers browsers (cors) and what shapes headers come first, so
// that they hold for refusals too; then the cheap bounds. Limits by the client's
// address stand before auth, for guessing credentials must be limited as well;
// the others stand behind it, for they may ask who calls, and what is refused
// there must not use up what others share.
func (c *Compiler) Compile(t Target) (*Set, Problems) {
	b := newBuild(c, t)
	b.takeBack()
	b.leaveInapplicable()
	b.refuseNotYet()
	b.checkValues()
	early, late := b.rateLimits()
	var all []Policy
	for _, some := range [][]Policy{
		b.cors(),
		b.limits(),
		early,
		b.auth(),
		b.headers(), // its values may tell who calls
		late,
		b.concurrency(),
		b.validate(),
		b.login(),
		b.logout(),
	} {
		all = append(all, some...)
	}
	if len(b.problems) > 0 || b.suppressed {
		return nil, b.problems
	}
	set := NewSet(b.policy, all...)
	set.explained, set.observer = b.explain(all), c.env.Observer
	if b.stream() && !b.exact("timeout") {
		set.Timeout = 0 // a wider timeout is meant for calls, not for streams
	}
	return set, nil
}

// lease finds or opens what outlives this generation, and holds it until the
// Compiler is closed. The key is a comparable value of a type of its own.
func lease[T io.Closer](c *Compiler, key any, open func() (T, error)) (T, error) {
	k, err := c.env.State.acquire(key, func() (io.Closer, error) { return open() })
	if err != nil {
		var none T
		return none, err
	}
	c.leases = append(c.leases, k)
	return k.value.(T), nil
}
