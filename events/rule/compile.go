package rule

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/expr"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// compileEnds makes the rules of a method or route.
func compileEnds(s *policy.Scope, o Options) policy.Part {
	rules := s.Policy.GetEvents()
	if len(rules) == 0 {
		return nil
	}
	if s.PlainHTTP() && !s.Exact(name) && slices.ContainsFunc(rules, readsMessages) {
		s.Leave(name) // it was said for methods
		return nil
	}
	before := s.Noted()
	e := &ends{bus: busOf(s.Generation, o), rpc: s.RPC}
	if e.err != nil {
		s.Refuse(name, "events: %v", e.err)
		return nil
	}
	for i, r := range rules {
		c := compiler{Scope: s, ends: e, rule: r, at: fmt.Sprintf("events[%d]", i), said: map[string]bool{}}
		c.compile(o, i)
	}
	if s.Noted() > before {
		return nil
	}
	compiledOf(s).ends = e
	return e
}

// readsMessages reports whether a rule is for methods alone.
func readsMessages(r *transomv1.EventRule) bool {
	return len(r.GetFields()) > 0 || r.GetSubject() != "" || r.GetEncoding() == transomv1.EventRule_PROTOBUF
}

// compiler makes one rule.
type compiler struct {
	*policy.Scope
	ends *ends
	rule *transomv1.EventRule
	at   string
	data layout
	said map[string]bool // what several moments would say
}

func (c *compiler) fail(field, format string, args ...any) {
	path := c.at + "." + field
	if text := fmt.Sprintf(format, args...); !c.said[path+text] {
		c.said[path+text] = true
		c.Refuse(path, "%s: %s", path, text)
	}
}

// compile adds the rule to those of its moments.
func (c *compiler) compile(o Options, i int) {
	r := &rule{group: i, kind: c.rule.GetType(), source: sourceOf(c.ends.source, c.RPC), topic: c.rule.GetTopic(), sinks: c.rule.GetSinks(),
		durable: c.rule.GetDelivery() == transomv1.EventRule_AT_LEAST_ONCE, intent: c.rule.GetIntent(), share: 1, sampleErrors: c.rule.GetSampleErrors()}
	moments := c.moments()
	c.checkType()
	c.checkSample(r)
	c.checkSinks()
	c.checkDelivery(moments)
	if r.topic == "" {
		r.topic = c.ends.topics.Of(r.kind)
	} else if problem := topicProblem(r.topic); problem != "" {
		c.fail("topic", "found %q, %s", r.topic, problem)
	}
	if c.PlainHTTP() {
		c.checkPlain()
	} else {
		c.data = newLayout(c, o)
	}
	for _, m := range moments {
		c.add(*r, m)
	}
	if c.State.Offline {
		c.note(r)
	}
}

// note notes where the events go, for those who look at a configuration.
func (c *compiler) note(r *rule) {
	field := ".type"
	if c.rule.GetTopic() != "" {
		field = ".topic"
	}
	c.ends.uses = append(c.ends.uses, events.Use{At: c.Where(c.at + field), By: c.at + " of " + c.RPC, Topic: r.topic, Types: []string{r.kind}, Sinks: r.sinks})
}

// add adds the rule for one moment.
func (c *compiler) add(r rule, m transomv1.EventRule_Moment) {
	r.moment = m
	r.key, r.keyHeader, r.keyless = c.key(m)
	if c.rule.GetSubject() != "" && !c.PlainHTTP() {
		r.subject = c.value("subject", c.rule.GetSubject(), m)
	}
	if w := c.rule.GetWhen(); w != "" {
		var err error
		if r.when, err = expr.CompileWithResponse(c.Scope, w, cel.BoolType, c.response()); err != nil {
			c.fail("when", "%v", err)
		}
	}
	r.data = c.data.of(m)
	e := c.ends
	e.needsRequest = e.needsRequest || m != transomv1.EventRule_REQUEST && r.readsRequest()
	switch m {
	case transomv1.EventRule_REQUEST:
		e.request = append(e.request, &r)
	case transomv1.EventRule_ERROR:
		e.failure = append(e.failure, &r)
	default:
		e.response = append(e.response, &r)
	}
	e.intents = e.intents || r.intent
}

// response is the message of answers that rules see; nil for streams, whose messages are many.
func (c *compiler) response() protoreflect.MessageDescriptor {
	if c.Method == nil || c.Method.IsStreamingServer() {
		return nil
	}
	return c.Method.Output()
}

// request is the like.
func (c *compiler) request() protoreflect.MessageDescriptor {
	if c.Method == nil || c.Method.IsStreamingClient() {
		return nil
	}
	return c.Method.Input()
}

func (c *compiler) moments() []transomv1.EventRule_Moment {
	var all []transomv1.EventRule_Moment
	for i, m := range c.rule.GetOn() {
		if m == transomv1.EventRule_MOMENT_UNSPECIFIED || slices.Contains(all, m) {
			c.fail(fmt.Sprintf("on[%d]", i), "found %v, expected each of REQUEST, RESPONSE and ERROR once at most", m)
			continue
		}
		all = append(all, m)
	}
	if len(c.rule.GetOn()) == 0 {
		return []transomv1.EventRule_Moment{transomv1.EventRule_RESPONSE}
	}
	return all
}

func (c *compiler) checkType() {
	switch kind := c.rule.GetType(); {
	case !events.IsType(kind):
		c.fail("type", "found %q, expected words of letters, digits, \"-\" and \"_\" with dots between them, such as \"book.read\", up to 200 bytes", kind)
	case events.IsReserved(kind):
		c.fail("type", "found %q, but api.*, auth.* and transom.* are events of the gateway's own: choose another, or add it to events.gateway of the configuration", kind)
	}
}

// topicProblem tells why nothing can be a topic of that name; "" if it can (Events 128).
func topicProblem(topic string) string {
	if len(topic) > 249 || topic == "." || topic == ".." || strings.Trim(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return `expected 1 to 249 of letters, digits, ".", "_" and "-"`
	}
	return ""
}

func (c *compiler) checkSample(r *rule) {
	share := c.rule.GetSample()
	switch {
	case share == 0 && c.rule.GetSampleErrors():
		c.fail("sample_errors", "found it without sample, of which it says more: add sample, or remove it")
	case share == 0:
	case !(share > 0 && share <= 1): // NaN, too
		c.fail("sample", "found %v, expected a number above 0 and up to 1", share)
	default:
		r.setShare(share)
	}
}

// setShare sets the share of events that are published; 0 is all.
func (r *rule) setShare(share float64) {
	if share > 0 {
		r.share = share
		r.rate = fmt.Sprint(int64(math.Round(1 / max(share, 1e-9))))
	}
}

func (c *compiler) checkSinks() {
	for i, sink := range c.rule.GetSinks() {
		if !slices.Contains(c.ends.sinks, sink) {
			c.fail(fmt.Sprintf("sinks[%d]", i), "%s", unknownSink(c.ends.sinks, sink))
		}
	}
}

func unknownSink(known []string, sink string) string {
	if len(known) == 0 {
		return fmt.Sprintf("found %q, but the configuration's events has no sink: remove it, or add kafka, nats or sinks there", sink)
	}
	text := fmt.Sprintf("found %q, expected one of %s", sink, strings.Join(known, ", "))
	if near := nearest.Of(known, sink); near != "" {
		text += "; did you mean " + near + "?"
	}
	return text
}

func (c *compiler) checkDelivery(moments []transomv1.EventRule_Moment) {
	durable := c.rule.GetDelivery() == transomv1.EventRule_AT_LEAST_ONCE
	afterwards := slices.ContainsFunc(moments, func(m transomv1.EventRule_Moment) bool { return m != transomv1.EventRule_REQUEST })
	switch {
	case c.rule.GetIntent() && !durable:
		c.fail("intent", "found true without delivery: AT_LEAST_ONCE, which it is for: add that, or remove it")
	case c.rule.GetIntent() && !afterwards:
		c.fail("intent", "found true, but the event is published before the call: set on to RESPONSE or ERROR, or remove it")
	}
	if durable {
		if err := c.ends.Open(); err != nil {
			c.fail("delivery", "found AT_LEAST_ONCE, but the events log cannot be opened: %v", err)
		}
	}
}

// checkPlain refuses what a plain HTTP route does not have.
func (c *compiler) checkPlain() {
	const why = "a plain HTTP route has no message: remove it"
	if len(c.rule.GetFields()) > 0 {
		c.fail("fields", "found %s, but "+why, strings.Join(c.rule.GetFields(), ", "))
	}
	if c.rule.GetSubject() != "" {
		c.fail("subject", "found %q, but "+why, c.rule.GetSubject())
	}
	if c.rule.GetEncoding() == transomv1.EventRule_PROTOBUF {
		c.fail("encoding", "found PROTOBUF, but "+why)
	}
}

// output is how JSON is written.
func (c *compiler) output(o Options) jsonwire.Output {
	var json jsonwire.Output
	if o.JSON != nil {
		json = o.JSON(c.Policy.GetJson())
	}
	json.NamedAny, json.LenientAny, json.OpaqueAny = true, false, false
	json.MaxBytes = c.ends.limit
	return json
}
