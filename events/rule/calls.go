package rule

import (
	"context"
	"net/http"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// calls are the gateway-wide rules for one method or route (Events 130). As a Part it sees all
// of its calls.
type calls struct {
	*bus
	rpc           string
	plain         bool
	streams       bool
	login, logout bool
	cookie        string   // of sessions
	hidden        []string // parameters of queries that auth reads
	dnt           bool     // DNT is taken as Sec-GPC is
	rules         []*gatewayRule
	durable       bool
}

// gatewayRule is one of them.
type gatewayRule struct {
	rule
	query bool
}

var (
	_ policy.Admitter     = (*calls)(nil)
	_ policy.ReplyChanger = (*calls)(nil)
	_ policy.Finisher     = (*calls)(nil)
)

// compileCalls makes the gateway-wide rules of a method or route.
func compileCalls(s *policy.Scope, o Options) policy.Part {
	rules := s.Config.GetEvents().GetGateway()
	if len(rules) == 0 || strings.HasPrefix(s.RPC, "grpc.health.") || bringsEvents(s) {
		return nil
	}
	b := busOf(s.Generation, o)
	if b.err != nil {
		return nil // it was said
	}
	c := &calls{bus: b, rpc: s.RPC, plain: s.PlainHTTP(), login: s.Policy.GetLogin() != nil, logout: s.Policy.GetLogout() != nil,
		streams: s.Method != nil && s.Method.IsStreamingServer(), cookie: s.Config.GetAuth().GetSession().GetCookie(), dnt: s.Config.GetEvents().GetBehaviour().GetHonorDnt()}
	if c.cookie == "" {
		c.cookie = "session_id"
	}
	for i, r := range rules {
		if made := newGatewayRule(s, b, r, i); made != nil && c.concerns(made.kind) {
			c.rules = append(c.rules, made)
			c.durable = c.durable || made.durable
		}
	}
	if len(c.rules) == 0 {
		return nil
	}
	compiledOf(s).calls = c
	return c
}

// bringsEvents reports whether calls bring events of pages, which are not to bring others
// (Events 203).
func bringsEvents(s *policy.Scope) bool {
	b := s.Config.GetEvents().GetBehaviour()
	return strings.HasPrefix(s.RPC, "transom.v1.EventService/Publish") || s.PlainHTTP() && b != nil && (s.RPC == "POST "+b.GetBeacon() || s.RPC == "GET,HEAD "+b.GetScript())
}

// concerns reports whether calls may publish events of a type.
func (c *calls) concerns(kind string) bool {
	switch kind {
	case "auth.login":
		return c.login
	case "auth.logout":
		return c.logout
	}
	return true
}

func newGatewayRule(s *policy.Scope, b *bus, r *transomv1.GatewayEventRule, i int) *gatewayRule {
	made := &gatewayRule{query: r.GetQuery(), rule: rule{
		kind: r.GetType(), source: sourceOf(b.source, s.RPC), topic: r.GetTopic(), sinks: r.GetSinks(), share: 1,
		durable: r.GetDelivery() == transomv1.EventRule_AT_LEAST_ONCE,
	}}
	if made.topic == "" {
		made.topic = b.topics.Of(made.kind)
	}
	if made.setShare(r.GetSample()); made.kind == "api.error" || made.kind == "auth.failure" {
		made.moment = transomv1.EventRule_ERROR
	}
	if r.GetWhen() == "" {
		return made
	}
	var err error
	if made.when, err = expr.Compile(s, r.GetWhen(), cel.BoolType); err == nil && !made.when.ReadsRequest {
		return made
	}
	if at := gatewayPath(i, "when"); !b.said[at] { // once, not for each method
		b.said[at] = true
		text := "expected an expression over claims, principal, roles, headers and method, as calls of all methods are asked"
		if err != nil {
			text = err.Error()
		}
		s.Note(problem.At(placeOf(s.Generation, at), at+": "+text))
	}
	return nil
}

func placeOf(g *policy.Generation, path string) string {
	if g.Position == nil {
		return ""
	}
	return g.Position(path)
}

// Name implements policy.Part.
func (*calls) Name() string { return name }

// Finish implements policy.Finisher.
func (c *calls) Finish(s *policy.Set, _ []policy.Route) {
	c.hidden = append(s.QueryParameters(), "access_token")
}

// called is what is kept of a call.
type called struct {
	start  time.Time
	stored bool
}

// Admit implements policy.Admitter: it notes when the call began.
func (c *calls) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.HTTP.Method == http.MethodOptions {
		return ctx, nil, nil
	}
	began := &called{start: time.Now()}
	r.Keep(c, began)
	return ctx, func(o *policy.Outcome) {
		f := c.factsOf(r, o, began)
		for _, rule := range c.rules {
			if !rule.durable && c.is(rule.kind, &f) && rule.applies(context.Background(), &f.facts) {
				c.Publish(c.make(rule, &f))
			}
		}
	}, nil
}

// Reply implements policy.ReplyChanger: what is to be on disk before the answer is stored here.
func (c *calls) Reply(ctx context.Context, r *policy.Request, message []byte) ([]byte, error) {
	began, _ := r.Kept(c).(*called)
	if !c.durable || began == nil || c.streams || r.Answer != nil && r.Answer.Whole() {
		return message, nil // what leaves at the end is stored then, when more is known
	}
	began.stored = true
	o := policy.Outcome{RequestBytes: r.Received, ResponseBytes: int64(len(message))}
	if r.Answer != nil {
		o.HTTPStatus = r.Answer.Status(nil)
	}
	return message, c.store(ctx, c.factsOf(r, &o, began))
}

// Answering is called by policy.Set before the header of an answer of a plain HTTP route: what is to be on
// disk before the answer is stored here. Of the bodies is known what their headers say.
func (c *calls) Answering(ctx context.Context, r *policy.Request, httpStatus int, bytes int64) {
	began, _ := r.Kept(c).(*called)
	if !c.durable || began == nil || began.stored {
		return
	}
	began.stored = true
	_ = c.store(ctx, c.factsOf(r, &policy.Outcome{HTTPStatus: httpStatus, RequestBytes: max(r.HTTP.ContentLength, 0), ResponseBytes: max(bytes, 0)}, began)) // the answer is delivered all the same
}

// Conclude is called by policy.Set when a call ends.
func (c *calls) Conclude(ctx context.Context, r *policy.Request, o *policy.Outcome, err error) error {
	began, _ := r.Kept(c).(*called)
	if !c.durable || began == nil || began.stored {
		return err
	}
	began.stored = true
	o.Code = status.Code(err)
	if refusal := c.store(ctx, c.factsOf(r, o, began)); refusal != nil {
		return refusal
	}
	return err
}

// store stores the events that are not best effort. The error takes the place of the answer.
func (c *calls) store(ctx context.Context, f callFacts) error {
	var refusal error
	for _, rule := range c.rules {
		if !rule.durable || !c.is(rule.kind, &f) || !rule.applies(ctx, &f.facts) {
			continue
		}
		event := c.make(rule, &f)
		if c.storeOne(ctx, event) != nil {
			if c.Lost(event); c.refuse {
				refusal = errLog
			}
		}
	}
	return refusal
}

func (c *calls) storeOne(ctx context.Context, e *events.Event) error {
	ctx, cancel := storing(ctx)
	defer cancel()
	return c.Store(ctx, e)
}

// is reports whether a call that has ended is one that a type tells of.
func (c *calls) is(kind string, f *callFacts) bool {
	refused := f.code == codes.Unauthenticated || f.code == codes.PermissionDenied
	switch kind {
	case "api.response":
		return !f.failed
	case "api.error":
		return f.failed
	case "auth.login":
		return !f.failed && f.r.LoggedIn != ""
	case "auth.logout":
		return !f.failed
	case "auth.failure":
		return f.failed && refused && (f.r.RefusedBy == "auth" || c.login)
	}
	return false // api.request was told of before
}

// compileAdmitted makes the Part that publishes api.request of admitted calls.
func compileAdmitted(s *policy.Scope) policy.Part {
	c := compiledOf(s).calls
	if c == nil {
		return nil
	}
	var own []*gatewayRule
	for _, r := range c.rules {
		if r.kind == "api.request" {
			own = append(own, r)
		}
	}
	if len(own) == 0 {
		return nil
	}
	return &requests{c, own}
}

// requests publishes api.request.
type requests struct {
	calls *calls
	rules []*gatewayRule
}

var _ policy.Admitter = (*requests)(nil)

// Name implements policy.Part.
func (*requests) Name() string { return name }

// Admit implements policy.Admitter.
func (p *requests) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.HTTP.Method == http.MethodOptions {
		return ctx, nil, nil
	}
	f := callFacts{facts: facts{r: r, at: time.Now()}, begins: true}
	for _, rule := range p.rules {
		if !rule.applies(ctx, &f.facts) {
			continue
		}
		event := p.calls.make(rule, &f)
		if !rule.durable {
			p.calls.Publish(event)
		} else if p.calls.storeOne(ctx, event) != nil {
			return ctx, nil, errLog
		}
	}
	return ctx, nil, nil
}
