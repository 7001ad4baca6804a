package policy

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// build is the compilation of one Target. Each policy's file has a method of
// it that reads b.policy, adds problems with b.refuse and returns what it made.
type build struct {
	*Compiler
	target Target
	// policy is the merged one, never nil.
	policy *transomv1.Policy
	// origin is the index in target.Layers that each field of policy came from, by
	// proto name.
	origin   map[protoreflect.Name]int
	problems Problems
	// suppressed reports whether a problem was found and not reported.
	suppressed bool
}

func newBuild(c *Compiler, t Target) *build {
	b := &build{Compiler: c, target: t}
	b.policy, b.origin = merge(t.Layers)
	return b
}

// refuse notes a problem at a field of the policy, by a path of proto names
// such as "rate_limit[0].cel".
func (b *build) refuse(path, format string, args ...any) {
	if b.suppresses(path) {
		b.suppressed = true
		return
	}
	b.problems = append(b.problems, problemAt(b.where(path), fmt.Sprintf(format, args...)))
}

// suppresses reports whether problems at a path are not reported.
func (b *build) suppresses(path string) bool {
	return b.env.Suppress != nil && b.env.Suppress(path)
}

// where is the place of a field of the merged policy: "file:line:column".
func (b *build) where(path string) string {
	i, ok := b.origin[topField(path)]
	if !ok {
		return ""
	}
	return b.target.Layers[i].at(path)
}

// exact reports whether a field of the policy was set for this one method.
func (b *build) exact(field protoreflect.Name) bool {
	i, ok := b.origin[field]
	return ok && b.target.Layers[i].Exact
}

// extensions finds the extensions of the target's schema; it may be nil.
func (b *build) extensions() Extensions {
	if b.target.Extensions != nil {
		return b.target.Extensions
	}
	return b.env.Extensions
}

// stream reports whether either side of the method streams; a plain HTTP route
// does not.
func (b *build) stream() bool {
	m := b.target.Method
	return m != nil && (m.IsStreamingClient() || m.IsStreamingServer())
}
