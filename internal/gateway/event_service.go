package gateway

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// eventService is EventService of one snapshot: what is nil is not configured, and has no
// routes. Its handlers find the call in their context: policy.RequestOf.
type eventService struct {
	transomv1.UnimplementedEventServiceServer
	// subscribe answers Subscribe.
	subscribe func(*transomv1.SubscribeRequest, grpc.ServerStreamingServer[transomv1.SubscribeResponse]) error
	// publishes: Publish and PublishBatch are configured.
	publishes bool
}

// Subscribe implements transomv1.EventServiceServer.
func (s *eventService) Subscribe(r *transomv1.SubscribeRequest, stream grpc.ServerStreamingServer[transomv1.SubscribeResponse]) error {
	if s.subscribe == nil {
		return status.Error(codes.Unimplemented, "no topic may be listened to: events.streams is not set")
	}
	return s.subscribe(r, stream)
}

// openEvents makes what EventService needs, when a generation of policies begins. open gives
// the publisher.
func (b *builder) openEvents(_ *policy.Generation, _ func(*policy.Generation) (events.Publisher, error)) {
	e := b.file.Config.GetEvents()
	b.events.publishes = e.GetBehaviour() != nil
}
