// Package behaviour takes what pages and apps tell of their users: it checks and completes
// UserEvents and publishes them as events.
//
//	c := behaviour.New(behaviour.Options{Config: config, Publisher: publisher, Memory: memory, …})
//	batch, err := c.Decode(contentType, body)       // of a beacon
//	result := c.Take(ctx, &behaviour.Client{Header: h, Address: address}, batch)
//
// It knows neither HTTP servers nor gRPC: who calls it knows who the client is. All that a client
// says is a claim; what the gateway knows itself stands in UserEvent.observed.
package behaviour

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Bounds of what is taken (Events 189).
const (
	MaxBody   = 256 << 10
	MaxEvents = 500
	maxEvent  = 32 << 10
)

// Options are the outside of a Collector.
type Options struct {
	// Config are the settings.
	Config *transomv1.Behaviour
	// WriteKeys are those of Config with what their files hold.
	WriteKeys []string
	// Source is the attribute `source` of events, and Topics says where they go.
	Source string
	Topics events.Topics
	// Publisher takes the events. Required.
	Publisher events.Publisher
	// Own reports whether the gateway publishes events of a type itself, so that no client may. Nil:
	// it publishes those alone that events.IsReserved names.
	Own func(kind string) bool
	// Memory is what outlives the Collector. Required.
	Memory *Memory
	// Shared remembers what came to all gateways. Nil: each knows what came to itself.
	Shared Shared
	// Count is told what becomes of events: a result ("accepted", "rejected", "dropped" or
	// "corrected") and why. Required.
	Count func(result, reason string, n int)
	// MaxBytes bounds an event with its attributes; 0 does not.
	MaxBytes int
	// Auth: events have the extensions authid and authtype.
	Auth bool
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Collector takes events. It is safe for concurrent use.
type Collector struct {
	Options
	origins map[string]bool
	scrub   scrubber
}

// New makes a Collector.
func New(o Options) *Collector {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Own == nil {
		o.Own = func(string) bool { return false }
	}
	c := &Collector{Options: o, origins: map[string]bool{}, scrub: newScrubber(o.Config)}
	for _, origin := range o.Config.GetOrigins() {
		c.origins[origin] = true
	}
	return c
}

// Client is who sends events.
type Client struct {
	// Header is that of the request, in Go's canonical form.
	Header http.Header
	// Address is the client's, as far as its proxies can be trusted.
	Address netip.Addr
	// Principal is who it is, by Mechanism; empty for nobody.
	Principal, Mechanism string
	// RequestID, TraceParent and TraceState become extensions; empty for none.
	RequestID, TraceParent, TraceState string
	// Session is the session by the cookie of Collector.Session; empty for none.
	Session string
}

// Batch are events as a client sends them. Those that are nil could not be read: Wrong says why, by
// their index.
type Batch struct {
	Events []*transomv1.UserEvent
	Wrong  map[int]string
	// SentAt is for those that do not say it themselves; nil for none.
	SentAt *timestamppb.Timestamp
}

// Result is what became of a batch.
type Result struct {
	// Accepted counts those that were taken, those among them that were dropped, too: no page is
	// to know which.
	Accepted int
	// Rejected are the others, by their index.
	Rejected []*transomv1.RejectedEvent
	// Forged: some event is of a type that clients may not publish.
	Forged bool
	// Unavailable: some event could not be stored; sent again it may be.
	Unavailable bool
}

// Rejections and the like, as they are counted.
const (
	malformed   = "malformed"
	invalid     = "invalid"
	forged      = "forged"
	tooLarge    = "too_large"
	tooMany     = "too_many"
	unavailable = "unavailable"
	duplicate   = "duplicate"
)

func (r *Result) reject(c *Collector, index int, reason, text string) {
	c.Count("rejected", reason, 1)
	r.Rejected = append(r.Rejected, &transomv1.RejectedEvent{Index: int32(index), Reason: reason + ": " + text}) //nolint:gosec // a body has fewer
}

// Take takes a batch. It changes its events.
func (c *Collector) Take(ctx context.Context, from *Client, batch *Batch) Result {
	var result Result
	v := c.visit(from)
	made := make([]taken, 0, min(len(batch.Events), MaxEvents))
	for i, e := range batch.Events {
		if i == MaxEvents { // said once, as a small body may have very many
			result.reject(c, i, tooMany, "a batch has at most 500 events: this one and all behind it are not taken")
			break
		}
		if e == nil {
			text := batch.Wrong[i]
			if text == "" {
				text = "there is no event"
			}
			result.reject(c, i, malformed, text)
			continue
		}
		if e.SentAt == nil {
			e.SentAt = batch.SentAt
		}
		if reason, text := c.check(e); reason != "" {
			result.Forged = result.Forged || reason == forged
			result.reject(c, i, reason, text)
			continue
		}
		if t, ok := v.take(e, i, &result); ok {
			made = append(made, t)
		}
	}
	c.publish(ctx, c.unseen(ctx, made, &result), &result)
	return result
}

// taken is an event of a batch that is to be published.
type taken struct {
	event *events.Event
	at    int // in the batch
	key   id  // of Memory
	again bool
}

// take makes the event of one that is right. It reports false for one that is not to be published.
func (v *visit) take(e *transomv1.UserEvent, at int, result *Result) (t taken, ok bool) {
	c := v.Collector
	if why := v.drops(e); why != "" {
		c.Count("dropped", why, 1)
		result.Accepted++
		return t, false
	}
	key, again := c.Memory.seen(e, v.now)
	if again {
		c.Count("dropped", duplicate, 1)
		result.Accepted++
		return t, false
	}
	t = taken{at: at, key: key, again: e.GetMessageId() != ""}
	var err error
	t.event, err = v.event(e)
	switch {
	case err != nil:
		c.Memory.forget(key)
		result.reject(c, at, malformed, "it has no JSON form: "+clipped(err.Error()))
	case c.tooLarge(t.event):
		c.Memory.forget(key)
		result.reject(c, at, tooLarge, "with what the gateway adds it is larger than events.max_event_bytes")
	default:
		return t, true
	}
	return t, false
}

// publish hands the events on.
func (c *Collector) publish(ctx context.Context, made []taken, result *Result) {
	if c.Config.GetDelivery() != transomv1.EventRule_AT_LEAST_ONCE {
		for _, t := range made {
			c.Publisher.Publish(t.event)
		}
	} else {
		stored := made[:0]
		for k, err := range c.store(ctx, made) {
			if err == nil {
				stored = append(stored, made[k])
				continue
			}
			c.Memory.forget(made[k].key)
			result.Unavailable = true
			result.reject(c, made[k].at, unavailable, "it cannot be stored at the moment; send it again")
		}
		made = stored
	}
	c.remember(ctx, made)
	result.Accepted += len(made)
	if len(made) > 0 {
		c.Count("accepted", "", len(made))
	}
}

// store makes events durable in their order, which those of a visitor have to keep, and returns the errors of each.
func (c *Collector) store(ctx context.Context, made []taken) []error {
	errs := make([]error, len(made))
	if len(made) == 1 {
		errs[0] = c.Publisher.Store(ctx, made[0].event)
		return errs
	}
	all := make([]*events.Event, len(made))
	for i, t := range made {
		all[i] = t.event
	}
	c.Publisher.StoreAll(ctx, all, errs)
	return errs
}

// tooLarge reports whether an event cannot be published for its size.
func (c *Collector) tooLarge(e *events.Event) bool {
	const attributes = 4 << 10
	return c.MaxBytes > 0 && len(e.Data)+attributes > c.MaxBytes
}

// plan writes UserEvents as JSON, and reads them.
var plan = sync.OnceValue(func() *jsonwire.Plan {
	return jsonwire.NewPlans(nil).Message((&transomv1.UserEvent{}).ProtoReflect().Descriptor())
})
