package bookstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/examples/bookstore"
	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial starts a server on a free port and returns a client of it.
func dial(t *testing.T) pb.BookstoreServiceClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- bookstore.ServeListener(ctx, listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
	})
	return pb.NewBookstoreServiceClient(conn)
}

// deadline is a context that no healthy test outlives.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// wantCode fails the test unless err is a gRPC status of that code.
func wantCode(t *testing.T, err error, want interface{ String() string }) {
	t.Helper()
	if got := status.Code(err); got.String() != want.String() {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// receiveAll reads a server stream to its end.
func receiveAll[T any](t *testing.T, stream grpc.ServerStreamingClient[T]) ([]*T, error) {
	t.Helper()
	var all []*T
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}
