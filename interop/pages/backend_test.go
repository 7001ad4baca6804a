package pages

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/examples/bookstore"
	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// backend is a bookstore that tells the test of its streams.
type backend struct {
	*bookstore.Server
	address string
	begun   chan metadata.MD // the request metadata of each stream
	ended   chan error       // what ended its context; nil: the stream itself
}

// startBackend starts one. At most 100 streams are told of.
func startBackend(t *testing.T) *backend {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Server: bookstore.NewServer(), address: l.Addr().String(), begun: make(chan metadata.MD, 100), ended: make(chan error, 100)}
	server := grpc.NewServer()
	pb.RegisterBookstoreServiceServer(server, b)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *backend) WatchBooks(r *pb.WatchBooksRequest, stream grpc.ServerStreamingServer[pb.WatchBooksResponse]) error {
	b.tell(stream.Context())
	err := b.Server.WatchBooks(r, stream)
	b.ended <- stream.Context().Err()
	return err
}

func (b *backend) Discuss(stream grpc.BidiStreamingServer[pb.DiscussRequest, pb.DiscussResponse]) error {
	b.tell(stream.Context())
	err := b.Server.Discuss(stream)
	b.ended <- stream.Context().Err()
	return err
}

func (b *backend) tell(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx) // every call has some
	b.begun <- md
}

// next waits for what a channel of the backend tells.
func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	var told T
	select {
	case told = <-from:
	case <-time.After(patience):
		t.Fatalf("the backend does not see %s", what)
	}
	return told
}

// ended waits for the end of a stream at the backend: by an error of its context,
// or of its own (nil).
func ended(t *testing.T, b *backend, want error) {
	t.Helper()
	if got := next(t, "the end of a stream", b.ended); !errors.Is(got, want) {
		t.Errorf("the stream's context ended by %v, want %v", got, want)
	}
}
