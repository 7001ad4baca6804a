package peers

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// backend answers every call from prepared messages.
type backend struct {
	benchv1.UnimplementedItemServiceServer
}

// serveBackend is the gRPC server behind all gateways.
func serveBackend(ctx context.Context, listener net.Listener, _ Backends) error {
	server := grpc.NewServer()
	benchv1.RegisterItemServiceServer(server, backend{})
	release := context.AfterFunc(ctx, server.Stop)
	defer release()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}

// GetItem returns the small item.
func (backend) GetItem(context.Context, *benchv1.GetItemRequest) (*benchv1.Item, error) {
	return small, nil
}

// GetSecuredItem returns the small item too.
func (backend) GetSecuredItem(context.Context, *benchv1.GetItemRequest) (*benchv1.Item, error) {
	return small, nil
}

// CreateItem returns what it is sent.
func (backend) CreateItem(_ context.Context, item *benchv1.Item) (*benchv1.Item, error) {
	return item, nil
}

// ListItems returns the list, or as much of it as is asked for.
func (backend) ListItems(_ context.Context, r *benchv1.ListItemsRequest) (*benchv1.ListItemsResponse, error) {
	if n := int(r.GetPageSize()); n > 0 && n < len(list.GetItems()) {
		return &benchv1.ListItemsResponse{Items: list.GetItems()[:n], NextPageToken: list.GetNextPageToken()}, nil
	}
	return list, nil
}

// WatchItems sends ticks that are alike but for their number.
func (backend) WatchItems(r *benchv1.WatchItemsRequest, stream grpc.ServerStreamingServer[benchv1.Tick]) error {
	if r.GetCount() > maxTicks {
		return status.Errorf(codes.InvalidArgument, "count is %d, expected at most %d", r.GetCount(), maxTicks)
	}
	for i := range r.GetCount() {
		if err := stream.Send(tick(uint64(i) + 1)); err != nil {
			return err
		}
	}
	return nil
}

// Chat returns every tick until the caller has no more.
func (backend) Chat(stream grpc.BidiStreamingServer[benchv1.Tick, benchv1.Tick]) error {
	for {
		t, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(t); err != nil {
			return err
		}
	}
}
