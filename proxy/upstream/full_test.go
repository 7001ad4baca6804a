package upstream_test

import (
	"net"
	"testing"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestFullServer: Traffic 169: of two connections to a server of grpc-go that takes
// one stream each, the one with room is picked; where both are full, calls wait.
func TestFullServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := startOn(t, l, grpc.MaxConcurrentStreams(1))
	conn := get(t, upstream.Target{Address: s.address, Connections: 2, MaxConnections: 2})
	poll.Until(t, "two connections", func() bool { return upstream.Connections(conn) == 2 })
	client := testpb.NewTestServiceClient(attempt.NewClient(conn))
	watch := func() testpb.TestService_StreamingOutputCallClient {
		stream, err := client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		<-s.begun
		return stream
	}
	first := watch()
	for range 8 {
		if _, _, err := ask(t, conn); err != nil {
			t.Error("beside one watcher:", err)
		}
	}
	watch()
	answered := make(chan error)
	go func() {
		_, _, err := ask(t, conn)
		answered <- err
	}()
	poll.Until(t, "a call that waits", func() bool { n, _, _ := conn.Waiting(); return n == 1 })
	close(s.hold)
	for err == nil {
		_, err = first.Recv()
	}
	if err := <-answered; err != nil {
		t.Error("after the watchers:", err)
	}
}
