package upstream_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// echo is a real gRPC server that says what it is told.
type echo struct {
	testpb.UnimplementedTestServiceServer
}

func (echo) UnaryCall(_ context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: r.GetPayload()}, nil
}

func (echo) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		r, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}

// roughNetwork is a way to a server on which bytes come in pieces of any size, some
// late, and connections break.
type roughNetwork struct {
	server string
	l      net.Listener
	work   sync.WaitGroup
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
}

func newRoughNetwork(t *testing.T, server string) *roughNetwork {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &roughNetwork{server: server, l: l, conns: map[net.Conn]bool{}}
	n.work.Go(n.serve)
	t.Cleanup(func() {
		_ = l.Close()
		n.breakAll(true)
		n.work.Wait()
	})
	return n
}

func (n *roughNetwork) serve() {
	for {
		near, err := n.l.Accept()
		if err != nil {
			return // the test has ended
		}
		far, err := net.Dial("tcp", n.server)
		if err != nil || !n.keep(near) || !n.keep(far) {
			_ = near.Close()
			if err == nil {
				_ = far.Close()
			}
			continue
		}
		n.work.Go(func() { n.carry(near, far) })
		n.work.Go(func() { n.carry(far, near) })
	}
}

func (n *roughNetwork) keep(conn net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[conn] = true
	return !n.closed
}

// carry copies in pieces, and resets both sides every now and then.
func (n *roughNetwork) carry(from, to net.Conn) {
	defer func() {
		for _, conn := range []net.Conn{from, to} {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset
			}
			_ = conn.Close()
		}
	}()
	buffer := make([]byte, 1<<14)
	for left := 1<<16 + rand.IntN(1<<21); left > 0; {
		k, err := from.Read(buffer[:1+rand.IntN(len(buffer))])
		if err != nil {
			return
		}
		left -= k
		for piece := buffer[:k]; len(piece) > 0; {
			m := min(len(piece), 1+rand.IntN(1<<(1+rand.IntN(14))))
			if _, err := to.Write(piece[:m]); err != nil {
				return
			}
			piece = piece[m:]
			for range rand.IntN(20) {
				runtime.Gosched() // late
			}
		}
	}
}

func (n *roughNetwork) breakAll(forever bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = n.closed || forever
	for conn := range n.conns {
		_ = conn.Close()
	}
	clear(n.conns)
}

// TestRoughNetwork has many calls of all kinds go over connections that break,
// some of them given up: each ends, and each answer is its own.
func TestRoughNetwork(t *testing.T) {
	pair, ca, _ := certificate(t, "localhost")
	for name, test := range map[string]struct {
		options []grpc.ServerOption
		tls     *upstream.TLS
	}{
		"cleartext": {options: []grpc.ServerOption{grpc.MaxConcurrentStreams(7)}},
		"TLS": {
			options: []grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&pair))},
			tls:     &upstream.TLS{CA: ca, ServerName: "localhost"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := grpc.NewServer(test.options...)
			testpb.RegisterTestServiceServer(server, echo{})
			n := newRoughNetwork(t, grpctest.Serve(t, server))
			conn := get(t, upstream.Target{Address: n.l.Addr().String(), Connections: 2, TLS: test.tls})
			client := testpb.NewTestServiceClient(attempt.NewClient(conn))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			var calls sync.WaitGroup
			var well atomic.Int32
			for caller := range 24 {
				calls.Go(func() {
					for i := range 40 {
						err := oneOf(ctx, client, fmt.Sprintf("%d.%d ", caller, i))
						switch status.Code(err) {
						case codes.OK:
							well.Add(1)
						case codes.Canceled, codes.Unavailable:
						default:
							t.Error(err)
						}
					}
				})
			}
			calls.Wait()
			if well.Load() == 0 {
				t.Error("no call went well")
			}
		})
	}
}

// oneOf makes a call of any kind, long or short, that is given up perhaps.
func oneOf(ctx context.Context, client testpb.TestServiceClient, id string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if rand.IntN(3) == 0 {
		go func() {
			for range rand.IntN(1000) {
				runtime.Gosched()
			}
			cancel()
		}()
	}
	payload := &testpb.Payload{Body: []byte(strings.Repeat(id, 1+rand.IntN(1<<rand.IntN(15))))}
	if rand.IntN(2) == 0 {
		reply, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload})
		return own(id, payload, reply.GetPayload(), err)
	}
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for range rand.IntN(5) {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload}); err != nil {
			_, err = stream.Recv()
			return err
		}
		reply, err := stream.Recv()
		if err := own(id, payload, reply.GetPayload(), err); err != nil {
			return err
		}
	}
	_ = stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		return err
	}
	return nil
}

// own tells an answer that is another call's from an error.
func own(id string, want, got *testpb.Payload, err error) error {
	if err == nil && string(got.GetBody()) != string(want.GetBody()) {
		return status.Errorf(codes.DataLoss, "%s got %d bytes that begin with %.20q, want %d", id, len(got.GetBody()), got.GetBody(), len(want.GetBody()))
	}
	return err
}
