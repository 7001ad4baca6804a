package rule

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// ends are the rules of one method or route. As a Part it sees how calls end.
type ends struct {
	*bus
	rpc                        string
	request, response, failure []*rule
	needsRequest               bool // after the call
	intents                    bool
	uses                       []events.Use // of a configuration that is only looked at
}

var _ policy.ReplyChanger = (*ends)(nil)

// Name implements policy.Part.
func (*ends) Name() string { return name }

// Summary is one line for people.
func (e *ends) Summary() string {
	var all []string
	for _, r := range slices.Concat(e.request, e.response, e.failure) {
		text := r.kind + " on " + strings.TrimPrefix(r.moment.String(), "MOMENT_") + " to " + r.topic
		if r.durable {
			text += ", at least once"
		}
		if r.share < 1 {
			text += fmt.Sprintf(", of %.4g %%", 100*r.share)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// EventTypes are the types of events that calls publish, and EventTopics where they go.
func (e *ends) EventTypes() []string { return e.each(func(r *rule) string { return r.kind }) }

// EventTopics is described with EventTypes.
func (e *ends) EventTopics() []string { return e.each(func(r *rule) string { return r.topic }) }

// EventUses are the topics that calls publish to, in a configuration that is only looked at.
func (e *ends) EventUses() []events.Use { return e.uses }

func (e *ends) each(of func(*rule) string) []string {
	var all []string
	for _, r := range slices.Concat(e.request, e.response, e.failure) {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// call is what is kept of one call.
type call struct {
	request proxy.Frame
	known   bool // the request
	ended   bool // its event is published
	open    []open
}

// open is an intent.
type open struct {
	group  int
	id     string
	intent events.Intent
}

var kept = sync.Pool{New: func() any { return new(call) }}

// callOf is what is kept of a call.
func (e *ends) callOf(r *policy.Request) *call {
	if c, ok := r.Kept(e).(*call); ok {
		return c
	}
	c := kept.Get().(*call) //nolint:forcetypeassert // the pool holds nothing else
	r.Keep(e, c)
	return c
}

// admitted publishes what is published before the backend is called, and keeps what is needed
// afterwards. message is nil where there is none yet. The error refuses the call.
func (e *ends) admitted(ctx context.Context, r *policy.Request, message []byte, has bool) error {
	f := facts{r: r, at: time.Now()}
	if has {
		f.request = notNil(message)
	}
	for _, rule := range e.request {
		if err := e.publish(ctx, rule, &f, nil); err != nil {
			return errLog
		}
	}
	if e.needsRequest && has {
		c := e.callOf(r)
		c.request, c.known = proxy.NewFrame(message), true
	}
	if e.intents {
		return e.begin(ctx, r, &f)
	}
	return nil
}

// notNil tells a message without bytes from none.
func notNil(message []byte) []byte {
	if message == nil {
		return []byte{}
	}
	return message
}

// begin stores that the call begins (Events 138).
func (e *ends) begin(ctx context.Context, r *policy.Request, f *facts) error {
	c := e.callOf(r)
	for _, rule := range slices.Concat(e.response, e.failure) {
		if !rule.intent || slices.ContainsFunc(c.open, func(o open) bool { return o.group == rule.group }) || !rule.drawn(rule.keyOf(f)) {
			continue
		}
		event := e.event(rule, f)
		ctx, cancel := storing(ctx)
		intent, err := e.Begin(ctx, event)
		cancel()
		if err != nil {
			return errLog
		}
		c.open = append(c.open, open{rule.group, event.ID, intent})
	}
	return nil
}

// storeTime is how long a call waits for the log.
const storeTime = 10 * time.Second

// storing is the context in which a call's event is stored, whether the client waits for it or
// not (Events 139).
func storing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTime)
}

// Reply implements policy.ReplyChanger: the call has succeeded, and nothing of its answer has left.
func (e *ends) Reply(ctx context.Context, r *policy.Request, message []byte) ([]byte, error) {
	if len(e.response) == 0 {
		return message, nil
	}
	c := e.callOf(r)
	c.ended = true
	f := facts{r: r, at: time.Now(), response: notNil(message)}
	if c.known {
		f.request = notNil(c.request.Bytes())
	}
	return message, e.finish(ctx, e.response, &f, c)
}

// Answering is called by policy.Set before the header of an answer of a plain HTTP route: what is to be on
// disk before the answer is stored here.
func (e *ends) Answering(ctx context.Context, r *policy.Request, httpStatus int, _ int64) {
	rules := e.response
	if httpStatus >= http.StatusBadRequest {
		rules = e.failure
	}
	if !slices.ContainsFunc(rules, func(r *rule) bool { return r.durable }) || r.HTTP.Method == http.MethodOptions {
		return
	}
	c := e.callOf(r)
	if c.ended {
		return
	}
	c.ended = true
	_ = e.finish(ctx, rules, &facts{r: r, at: time.Now(), httpStatus: httpStatus}, c) // the answer is delivered all the same
}

// finish publishes what is published when a call ends. The error takes the place of the answer.
func (e *ends) finish(ctx context.Context, rules []*rule, f *facts, c *call) error {
	var refusal error
	for _, rule := range rules {
		if e.publish(ctx, rule, f, c) != nil && e.refuse {
			refusal = errLog
		}
	}
	return refusal
}

// Conclude is called by policy.Set when a call ends.
func (e *ends) Conclude(ctx context.Context, r *policy.Request, o *policy.Outcome, err error) error {
	c, _ := r.Kept(e).(*call)
	rules := e.response
	if err != nil || r.PlainHTTP && o.HTTPStatus >= http.StatusBadRequest {
		rules = e.failure
	}
	if len(rules) > 0 && (c == nil || !c.ended) && r.HTTP.Method != http.MethodOptions {
		f := facts{r: r, at: time.Now(), failed: err != nil, code: status.Code(err)}
		if r.PlainHTTP {
			f.httpStatus = o.HTTPStatus
		}
		if c != nil && c.known {
			f.request = notNil(c.request.Bytes())
		}
		if refusal := e.finish(ctx, rules, &f, c); refusal != nil {
			err = refusal
		}
	}
	if c != nil {
		c.close(ctx)
		kept.Put(c)
	}
	return err
}

// close ends the intents of which nothing is published, and gives c back.
func (c *call) close(ctx context.Context) {
	for _, o := range c.open {
		if o.intent != nil {
			ctx, cancel := storing(ctx)
			_ = o.intent.Complete(ctx, nil) // it is published as unknown then, which is so
			cancel()
		}
	}
	c.request.Free()
	clear(c.open)
	*c = call{open: c.open[:0]}
}

// publish publishes the event of a rule, if it applies. The error is of one that cannot be stored.
func (e *ends) publish(ctx context.Context, r *rule, f *facts, c *call) error {
	if !r.applies(ctx, f) {
		return nil
	}
	event := e.event(r, f)
	if !r.durable {
		e.Publish(event)
		return nil
	}
	ctx, cancel := storing(ctx)
	defer cancel()
	var err error
	if o := c.openOf(r); o != nil {
		event.ID = o.id
		err = o.intent.Complete(ctx, event)
		o.intent = nil
	} else {
		err = e.Store(ctx, event)
	}
	if err != nil && r.moment != transomv1.EventRule_REQUEST {
		e.Lost(event)
	}
	return err
}

// openOf is the open intent of a rule; nil for none.
func (c *call) openOf(r *rule) *open {
	if c == nil || !r.intent {
		return nil
	}
	for i := range c.open {
		if c.open[i].group == r.group && c.open[i].intent != nil {
			return &c.open[i]
		}
	}
	return nil
}
