package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/behaviour"
	"github.com/transom-gateway/transom/events/rule"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/store"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// eventService is EventService of one snapshot: what is nil is not configured, and has no
// routes. Its handlers find the call in their context: policy.RequestOf.
type eventService struct {
	transomv1.UnimplementedEventServiceServer
	// listeners answer Subscribe.
	listeners *listeners
	// collector takes what Publish, PublishBatch and beacons bring.
	collector *behaviour.Collector
	// own are the types of events that the gateway's rules publish, in lower case.
	own map[string]bool
}

// Publish implements transomv1.EventServiceServer.
func (s *eventService) Publish(ctx context.Context, r *transomv1.PublishRequest) (*transomv1.PublishResponse, error) {
	result := s.take(ctx, &behaviour.Batch{Events: []*transomv1.UserEvent{r.GetEvent()}})
	if len(result.Rejected) == 0 {
		return &transomv1.PublishResponse{}, nil
	}
	reason, text, _ := strings.Cut(result.Rejected[0].GetReason(), ": ")
	code := codes.InvalidArgument
	switch {
	case result.Forged:
		code = codes.PermissionDenied
	case result.Unavailable:
		code, reason = codes.Unavailable, "log_unavailable"
	}
	return nil, policy.Refusal(code, text, &errdetails.ErrorInfo{Reason: "EVENT_" + strings.ToUpper(reason), Domain: policy.ErrorDomain})
}

// PublishBatch implements transomv1.EventServiceServer.
func (s *eventService) PublishBatch(ctx context.Context, r *transomv1.PublishBatchRequest) (*transomv1.PublishBatchResponse, error) {
	if len(r.GetEvents()) == 0 {
		// Fields that the request does not have are ignored: where the events stand in one of another name, they would be lost unnoticed.
		return nil, policy.Refusal(codes.InvalidArgument, `events: found none, expected at least one, as in {"events": [{"type": "user.click"}]}`,
			&errdetails.ErrorInfo{Reason: "EVENT_INVALID", Domain: policy.ErrorDomain})
	}
	result := s.take(ctx, &behaviour.Batch{Events: r.GetEvents(), SentAt: r.GetSentAt()})
	return &transomv1.PublishBatchResponse{Accepted: int32(result.Accepted), Rejected: result.Rejected}, nil //nolint:gosec // a message has fewer
}

// take takes the events of a call.
func (s *eventService) take(ctx context.Context, batch *behaviour.Batch) behaviour.Result {
	return takeEvents(ctx, s.collector, policy.RequestOf(ctx), batch)
}

// takeEvents takes events of a request, whose answer gets the cookie of its session.
func takeEvents(ctx context.Context, c *behaviour.Collector, q *policy.Request, batch *behaviour.Batch) behaviour.Result {
	from := &behaviour.Client{Header: q.HTTP.Header, Address: q.ClientIP, RequestID: q.RequestID}
	from.TraceParent, from.TraceState = rule.Trace(q)
	if q.Identity != nil {
		from.Principal, from.Mechanism = q.Identity.Principal, q.Identity.Mechanism
	}
	session, cookie := c.Session(q.HTTP.Header, q.Secure())
	if from.Session = session; cookie != nil {
		q.ResponseHeader.Add("Set-Cookie", cookie.String())
	}
	return c.Take(ctx, from, batch)
}

// publishPath is what events of pages and apps have behind events.source.
const publishPath = "/transom.v1.EventService/Publish"

// memoryKey is that of what is remembered of events.
type memoryKey struct{}

// openEvents makes what EventService needs, when a generation of policies begins. open gives
// the publisher.
func (b *builder) openEvents(g *policy.Generation, open func(*policy.Generation) (events.Publisher, error)) {
	e := b.file.Config.GetEvents()
	b.openStreams(g)
	config := e.GetBehaviour()
	if config == nil {
		return
	}
	publisher, err := open(g)
	if err == nil && config.GetDelivery() == transomv1.EventRule_AT_LEAST_ONCE {
		err = publisher.Open()
	}
	if err != nil {
		g.RefuseConfig("events.behaviour", fmt.Errorf("the events cannot be published: %w", err))
		return
	}
	memory, err := policy.Lease(g, memoryKey{}, func() (*behaviour.Memory, error) { return behaviour.NewMemory(), nil })
	if err != nil {
		g.RefuseConfig("events.behaviour", err)
		return
	}
	o := behaviour.Options{
		Config: config, Source: strings.TrimSuffix(e.GetSource(), "/") + publishPath, Topics: events.NewTopics(e), Publisher: publisher, Memory: memory,
		MaxBytes: int(e.GetMaxEventBytes()), Count: b.gateway.options.Telemetry.Metrics.Behaviour, //nolint:gosec // checked
	}
	if e.GetSource() == "" {
		o.Source = "/transom" + publishPath
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultEventBytes
	}
	for _, extension := range e.GetExtensions() {
		o.Auth = o.Auth || extension == transomv1.Events_AUTH
	}
	o.Shared = sharedEvents(g, config)
	for i, key := range config.GetWriteKeys() {
		secret, err := g.Secret(key)
		if err == nil && secret == "" {
			err = errors.New("found no key, expected one")
		}
		if err != nil {
			g.RefuseConfig(policy.Index("events.behaviour.write_keys", i), err)
		}
		o.WriteKeys = append(o.WriteKeys, secret)
	}
	own := map[string]bool{}
	o.Own = func(kind string) bool { return own[strings.ToLower(kind)] }
	b.events.collector, b.events.own = behaviour.New(o), own
}

// sharedEvents is what gateways remember together of events; nil where each does by itself.
func sharedEvents(g *policy.Generation, c *transomv1.Behaviour) behaviour.Shared {
	if c.GetDuplicates() != transomv1.Behaviour_REDIS || g.State.Offline {
		return nil
	}
	r, err := store.Of(g)
	if err != nil {
		store.Refuse(g, err)
		return nil
	}
	return r.Seen("event", behaviour.Window)
}

// noteEventTypes notes which types of events rules publish, when all are compiled.
func (b *builder) noteEventTypes() {
	note := func(route *Route) {
		if part, ok := policy.Find[interface{ EventTypes() []string }](route.guard.set); ok {
			for _, kind := range part.EventTypes() {
				b.events.own[strings.ToLower(kind)] = true
			}
		}
	}
	for _, route := range b.snapshot.paths {
		note(route)
	}
	for _, route := range b.snapshot.inside {
		note(route)
	}
	for _, route := range b.snapshot.routes {
		note(route)
	}
}
