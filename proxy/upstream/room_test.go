package upstream_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// startEcho is a backend that answers with what it is told.
func startEcho(t *testing.T) *attempt.GRPC {
	t.Helper()
	s := grpc.NewServer()
	testpb.RegisterTestServiceServer(s, echo{})
	return attempt.NewGRPC(get(t, upstream.Target{Address: grpctest.Serve(t, s)}), 16<<20)
}

// echoed makes a call whose answer has so many bytes and some.
func echoed(ctx context.Context, t *testing.T, backend *attempt.GRPC, size int) (proxy.Reply, error) {
	t.Helper()
	wire, err := proto.Marshal(&testpb.SimpleRequest{Payload: &testpb.Payload{Body: bytes.Repeat([]byte("x"), size)}})
	if err != nil {
		t.Fatal(err)
	}
	return backend.Call(ctx, "/grpc.testing.TestService/UnaryCall", nil, proxy.WrapFrame(wire))
}

// TestRoom has the answers of one client's connection share its room: a large one
// comes when those before it are freed (Semantics 303).
func TestRoom(t *testing.T) {
	backend := startEcho(t)
	const size, limit, calls = 400 << 10, 1 << 20, 20
	ctx, cancel := context.WithTimeout(proxy.WithRoom(t.Context(), limit), 30*time.Second)
	defer cancel()
	room := transport.RoomOf(ctx)
	answers := make(chan proxy.Reply, calls)
	var work sync.WaitGroup
	for range calls {
		work.Go(func() {
			reply, err := echoed(ctx, t, backend, size)
			if err != nil {
				t.Error(err)
			}
			answers <- reply
		})
	}
	for range calls {
		reply := <-answers
		if held := room.Held(); held > limit || held < int64(reply.Message.Len()) {
			t.Errorf("%d bytes are held; expected at most %d, and this answer's %d at least", held, limit, reply.Message.Len())
		}
		reply.Message.Free()
	}
	work.Wait()
	if held := room.Held(); held != 0 {
		t.Errorf("%d bytes are held at the end", held)
	}
}

// TestRoomOfOneLargeAnswer: an answer above the whole room comes alone, a small
// one beside it.
func TestRoomOfOneLargeAnswer(t *testing.T) {
	backend := startEcho(t)
	ctx := proxy.WithRoom(t.Context(), 1<<20)
	large, err := echoed(ctx, t, backend, 3<<20)
	if err != nil {
		t.Fatal(err)
	}
	small, err := echoed(ctx, t, backend, 10<<10)
	if err != nil {
		t.Fatal(err)
	}
	small.Message.Free()
	large.Message.Free()
	if held := transport.RoomOf(ctx).Held(); held != 0 {
		t.Errorf("%d bytes are held at the end", held)
	}
}

// TestRoomOfCancelledCalls: who gives up while waiting for room leaves none taken,
// and is in nobody's way.
func TestRoomOfCancelledCalls(t *testing.T) {
	backend := startEcho(t)
	ctx := proxy.WithRoom(t.Context(), 1<<20)
	first, err := echoed(ctx, t, backend, 900<<10)
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := echoed(soon, t, backend, 500<<10); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the call without room ended with %v", err)
	}
	second, err := echoed(ctx, t, backend, 80<<10) // for which there is room
	if err != nil {
		t.Fatal(err)
	}
	second.Message.Free()
	first.Message.Free()
	poll.Until(t, "the room to be free", func() bool { return transport.RoomOf(ctx).Held() == 0 })
}
