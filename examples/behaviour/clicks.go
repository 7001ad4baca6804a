package behaviour

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/behaviour/protos/clicks/v1"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// clicks counts clicks. An event may come again: after a restart of the gateway, say, which has
// called us and could not note it any more. So it remembers which it has counted.
type clicks struct {
	pb.UnimplementedClicksServiceServer

	mu      sync.Mutex
	counted map[string]*pb.Clicks // by the key of the event, with what was answered
	totals  map[string]int32
}

func newClicks() *clicks {
	return &clicks{counted: map[string]*pb.Clicks{}, totals: map[string]int32{}}
}

// Count implements clicksv1.ClicksServiceServer. A real service would keep both maps in the same
// transaction of its database.
func (c *clicks) Count(ctx context.Context, e *transomv1.UserEvent) (*pb.Clicks, error) {
	target := e.GetClick().GetTarget()
	if target == "" {
		return nil, status.Error(codes.InvalidArgument, "click.target is empty: there is nothing to count")
	}
	// The gateway sends the same key whenever it sends the same event.
	key := metadata.ValueFromIncomingContext(ctx, "idempotency-key")
	if len(key) != 1 {
		return nil, status.Error(codes.InvalidArgument, "there is no idempotency-key")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.counted[key[0]]; before != nil {
		return before, nil
	}
	c.totals[target]++
	now := &pb.Clicks{Target: target, Clicks: c.totals[target]}
	c.counted[key[0]] = now
	return now, nil
}

// ListClicks implements clicksv1.ClicksServiceServer.
func (c *clicks) ListClicks(context.Context, *pb.ListClicksRequest) (*pb.ListClicksResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := &pb.ListClicksResponse{}
	for target, n := range c.totals {
		all.Clicks = append(all.Clicks, &pb.Clicks{Target: target, Clicks: n})
	}
	slices.SortFunc(all.Clicks, func(a, b *pb.Clicks) int { return cmp.Compare(a.GetTarget(), b.GetTarget()) })
	return all, nil
}
