// Package rule is the field events: which events calls publish, of what and when. It makes events
// and knows a Publisher alone; where they go is others' matter.
//
//	o := rule.Options{Open: func(g *policy.Generation) (events.Publisher, error) { … }}
//	first, last := rule.Kinds(o)
//	kinds := append(kinds.All(append(telemetry, first...)...), last...)
//
// The first Kinds see how calls end, refused ones too. The last ones stand before the backend:
// what they see was admitted.
package rule

import (
	"maps"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

const name = "events"

// Options are the outside of the Kinds.
type Options struct {
	// Open gives the publisher of a generation. It is called when a rule is compiled. Required.
	Open func(*policy.Generation) (events.Publisher, error)
	// JSON says how the answers of a method are written whose policy is given. Nil: as
	// protojson does, with default values.
	JSON func(*transomv1.Json) jsonwire.Output
}

// Kinds are those of the rules of methods and routes, and of the gateway's own.
func Kinds(o Options) (first, last []policy.Kind) {
	needs := []policy.Need{{Field: "events.sinks", Config: "events"}, {Field: "events.sensitive", Config: "events"}}
	first = []policy.Kind{
		{Open: func(g *policy.Generation) { checkConfig(g, o) }, Compile: func(s *policy.Scope) policy.Part { return compileCalls(s, o) }},
		{Compile: func(s *policy.Scope) policy.Part { return compileEnds(s, o) }},
	}
	last = []policy.Kind{
		{Field: name, Compile: compileListed, Needs: needs},
		{Compile: compileAdmitted},
	}
	return first, last
}

// compiled is what a first Kind has made of a target, for the last one.
type compiled struct {
	scope *policy.Scope
	ends  *ends
	calls *calls
}

func newCompiled(*policy.Generation) *compiled { return new(compiled) }

// compiledOf is that of the target that is compiled now.
func compiledOf(s *policy.Scope) *compiled {
	c := policy.Shared(s.Generation, newCompiled)
	if c.scope != s {
		*c = compiled{scope: s}
	}
	return c
}

// bus is what all rules of a generation share.
type bus struct {
	events.Publisher
	err    error
	source string
	limit  int
	refuse bool // answers whose events cannot be stored
	auth   bool // the extensions authid and authtype
	topics events.Topics
	sinks  []string
	key    []byte // of hashes; nil for none
	keyErr error
	said   map[string]bool // what all methods would say
}

func busOf(g *policy.Generation, o Options) *bus {
	return policy.Shared(g, func(g *policy.Generation) *bus {
		c := g.Config.GetEvents()
		b := &bus{said: map[string]bool{}, source: c.GetSource(), limit: int(c.GetMaxEventBytes()), topics: events.NewTopics(c), sinks: sinksOf(c)} //nolint:gosec // 1 MiB at most
		if b.source == "" {
			b.source = "/transom"
		}
		if b.limit == 0 {
			b.limit = maxEventBytes
		}
		b.refuse = c.GetLog().GetOnAppendFailure() == transomv1.EventLog_REFUSE_ANSWER
		b.auth = slices.Contains(c.GetExtensions(), transomv1.Events_AUTH)
		if c.GetHashKey() != "" {
			var key string
			key, b.keyErr = g.Secret(c.GetHashKey())
			b.key = []byte(key)
		}
		b.Publisher, b.err = o.Open(g)
		return b
	})
}

// maxEventBytes is the largest event.
const maxEventBytes = 256 << 10

// sinksOf are the names of the sinks there are.
func sinksOf(c *transomv1.Events) []string { return slices.Sorted(maps.Keys(events.Configured(c))) }

// errLog refuses calls whose events cannot be stored (Events 137).
var errLog = policy.Refusal(codes.Unavailable, "the call's event cannot be stored at the moment; try again later",
	&errdetails.ErrorInfo{Reason: "EVENT_LOG_UNAVAILABLE", Domain: policy.ErrorDomain})
