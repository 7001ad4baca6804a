package bookstore

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// slowReader takes a message only when it is allowed to.
type slowReader struct {
	grpc.ServerStreamingServer[pb.WatchBooksResponse]
	ctx   context.Context
	began chan struct{} // Has a value once the first message is waiting.
	allow chan struct{} // Closed when messages may pass.
}

func (r *slowReader) Context() context.Context { return r.ctx }

func (r *slowReader) Send(*pb.WatchBooksResponse) error {
	select {
	case r.began <- struct{}{}:
	default:
	}
	<-r.allow
	return nil
}

// A watcher that takes nothing costs the others nothing and is sent away.
func TestWatchSendsLaggardsAway(t *testing.T) {
	server := NewServer()
	reader := &slowReader{ctx: t.Context(), began: make(chan struct{}, 1), allow: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		done <- server.WatchBooks(&pb.WatchBooksRequest{
			Parent: "shelves/1", Interval: durationpb.New(1 << 40),
		}, reader)
	}()
	<-reader.began
	for range backlog + 1 {
		if _, err := server.CreateBook(t.Context(), &pb.CreateBookRequest{
			Parent: "shelves/1", Book: &pb.Book{Title: "T"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	close(reader.allow)
	if err := <-done; status.Code(err) != codes.Aborted {
		t.Errorf("got %v, want Aborted", err)
	}
	if n := len(server.watchers); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}
