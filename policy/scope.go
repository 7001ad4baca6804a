package policy

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/problem"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// Scope is what Kinds compile the policy of one method in. It is theirs during
// Compile; what they make must not keep it.
type Scope struct {
	*Generation
	// Method is the method; nil for a plain HTTP route.
	Method protoreflect.MethodDescriptor
	// RPC is "package.Service/Method", or the name of a plain HTTP route.
	RPC string
	// Upstream is the name of the backend; empty for none.
	Upstream string
	// Policy is the merged one, never nil and read only.
	Policy *transomv1.Policy

	target Target
	// origin is the index in target.Layers that each field of Policy came from, by
	// proto name.
	origin   map[protoreflect.Name]int
	problems Problems
	// suppressed reports whether a problem was found and not reported.
	suppressed bool
}

func newScope(g *Generation, t Target) *Scope {
	s := &Scope{Generation: g, Method: t.Method, RPC: t.RPC, Upstream: t.Upstream, target: t}
	s.Policy, s.origin = merge(t.Layers)
	return s
}

// Refuse notes a problem at a field of the policy, by a path of proto names
// such as "rate_limit[0].cel".
func (s *Scope) Refuse(path, format string, args ...any) {
	if s.Suppresses(path) {
		s.suppressed = true
		return
	}
	s.problems = append(s.problems, problem.At(s.Where(path), fmt.Sprintf(format, args...)))
}

// Note notes problems whose places are known.
func (s *Scope) Note(problems ...Problem) { s.problems = append(s.problems, problems...) }

// Noted counts the problems that were noted so far.
func (s *Scope) Noted() int { return len(s.problems) }

// Suppresses reports whether problems at a path are not reported.
func (s *Scope) Suppresses(path string) bool { return s.Suppress != nil && s.Suppress(path) }

// Where is the place of a field of the policy: "file:line:column".
func (s *Scope) Where(path string) string {
	i, ok := s.origin[topField(path)]
	if !ok {
		return ""
	}
	return s.target.Layers[i].at(path)
}

// PrincipalClaims are the claims by which issuers of tokens name callers, by issuer, but for those that do
// it by "sub": by another claim a name may be somebody else's, also after a reload.
func (s *Scope) PrincipalClaims() map[string]string {
	claims := map[string]string{}
	for _, issuer := range s.Config.GetAuth().GetJwt() {
		if claim := issuer.GetPrincipalClaim(); claim != "" && claim != "sub" {
			claims[issuer.GetIssuer()] = claim
		}
	}
	return claims
}

// Backends finds the backends of other upstreams, by their names; nil for none that is
// known by a name.
func (s *Scope) Backends(name string) proxy.Backend {
	if s.target.Backends == nil {
		return nil
	}
	return s.target.Backends(name)
}

// KnownUpstreams says which names of upstreams may have been meant by one that none has,
// as ": a, b; did you mean a?".
func (s *Scope) KnownUpstreams(name string) string {
	var names []string
	for known := range s.Config.GetUpstreams() {
		names = append(names, known)
	}
	if len(names) == 0 {
		return "; there are none"
	}
	slices.Sort(names)
	text := ": " + strings.Join(names, ", ")
	if near := nearest.Of(names, name); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

// Leave takes an inherited field out of the policy, for it cannot hold for the method.
func (s *Scope) Leave(field protoreflect.Name) {
	s.drop(s.Policy.ProtoReflect().Descriptor().Fields().ByName(field))
}

// Exact reports whether a field of the policy was set for this one method.
func (s *Scope) Exact(field protoreflect.Name) bool {
	i, ok := s.origin[field]
	return ok && s.target.Layers[i].Exact
}

// SchemaExtensions finds the extensions of the method's schema; it may be nil.
func (s *Scope) SchemaExtensions() Extensions {
	if s.target.Extensions != nil {
		return s.target.Extensions
	}
	return s.Extensions
}

// PlainHTTP reports whether the policy is that of a plain HTTP route.
func (s *Scope) PlainHTTP() bool { return s.target.PlainHTTP }

// Methods are the methods of HTTP that a plain HTTP route takes; none for all.
func (s *Scope) Methods() []string { return s.target.Methods }

// Path is the path of a plain HTTP route as people see it, behind its host; "" for a method.
func (s *Scope) Path() string { return s.target.Path }

// Stream reports whether either side of the method streams; a plain HTTP route
// does not.
func (s *Scope) Stream() bool {
	return s.Method != nil && (s.Method.IsStreamingClient() || s.Method.IsStreamingServer())
}

// UnaryMethod refuses a field that looks at the one answer of a method where there
// is none, and reports whether there is one.
func (s *Scope) UnaryMethod(field string) bool {
	if s.Method == nil {
		s.Refuse(field, "%s looks at the answer of a gRPC method; a plain HTTP route has none", field)
		return false
	}
	if s.Stream() {
		s.Refuse(field, "%s needs a unary method, but %s streams", field, s.Method.FullName())
		return false
	}
	return true
}
