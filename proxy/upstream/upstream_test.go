package upstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// server is a real gRPC server that says which one it is.
type server struct {
	testpb.UnimplementedTestServiceServer
	*grpc.Server
	address string
	hold    chan struct{} // streams wait for it
	begun   chan struct{} // a stream has begun
}

func (s *server) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	p, _ := peer.FromContext(ctx)
	return &testpb.SimpleResponse{
		Username: s.address, OauthScope: p.Addr.String(),
		Payload: &testpb.Payload{Body: make([]byte, r.GetResponseSize())},
	}, nil
}

func (s *server) StreamingOutputCall(_ *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
		return err
	}
	s.begun <- struct{}{}
	<-s.hold
	return stream.Send(&testpb.StreamingOutputCallResponse{})
}

// start starts a server; address ":0" is one of the machine's choice.
func start(t testing.TB, network, address string) *server {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, l)
}

func startOn(t testing.TB, l net.Listener, options ...grpc.ServerOption) *server {
	t.Helper()
	return startWith(t, l, nil, options...)
}

// startRegistered starts a server with more services.
func startRegistered(t testing.TB, address string, register func(grpc.ServiceRegistrar)) *server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, l, register)
}

func startWith(t testing.TB, l net.Listener, register func(grpc.ServiceRegistrar), options ...grpc.ServerOption) *server {
	t.Helper()
	s := &server{Server: grpc.NewServer(options...), address: l.Addr().String(), hold: make(chan struct{}), begun: make(chan struct{}, 10)}
	testpb.RegisterTestServiceServer(s, s)
	if register != nil {
		register(s)
	}
	grpctest.ServeOn(t, l, s.Server)
	return s
}

func get(t testing.TB, target upstream.Target) *upstream.Conn {
	t.Helper()
	conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	return conn
}

// ask makes a call and returns who answered, and from which address we called.
func ask(t testing.TB, conn *upstream.Conn) (server, client string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	reply, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).UnaryCall(ctx, &testpb.SimpleRequest{})
	return reply.GetUsername(), reply.GetOauthScope(), err
}

// names is a resolver whose answers the test gives.
func names(t testing.TB, addresses ...string) (*manual.Resolver, string) {
	t.Helper()
	r := manual.NewBuilderWithScheme(strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())))
	r.InitialState(state(addresses...))
	resolver.Register(r)
	return r, r.Scheme() + ":///whatever"
}

func state(addresses ...string) resolver.State {
	var s resolver.State
	for _, a := range addresses {
		s.Addresses = append(s.Addresses, resolver.Address{Addr: a})
	}
	return s
}

// TestBalancing spreads calls over the addresses of a name and follows it when
// they change.
func TestBalancing(t *testing.T) {
	a, b, c := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	seen := func(conn *upstream.Conn) map[string]int {
		counts := map[string]int{}
		for range 30 {
			name, _, err := ask(t, conn)
			if err != nil {
				t.Fatal(err)
			}
			counts[name]++
		}
		return counts
	}
	t.Run("round robin", func(t *testing.T) {
		r, target := names(t, a.address, b.address)
		conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin"})
		poll.Until(t, "calls to both", func() bool { return len(seen(conn)) == 2 })
		if counts := seen(conn); counts[a.address] != 15 || counts[b.address] != 15 {
			t.Errorf("%v", counts)
		}
		// A stream to an address that goes away may end in peace.
		stream := []testpb.TestService_StreamingOutputCallClient{}
		for range 2 {
			s, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				t.Fatal(err)
			}
			stream = append(stream, s)
		}
		r.UpdateState(state(b.address, c.address))
		poll.Until(t, "calls to the new address", func() bool { counts := seen(conn); return counts[c.address] > 0 && counts[a.address] == 0 })
		close(a.hold)
		close(b.hold)
		for _, s := range stream {
			if _, err := s.Recv(); err != nil {
				t.Error(err)
			}
		}
		b.Stop()
		poll.Until(t, "calls to the one that is left", func() bool {
			name, _, err := ask(t, conn)
			return err == nil && name == c.address && upstream.Connections(conn) == 1
		})
	})
	t.Run("pick first", func(t *testing.T) {
		_, target := names(t, loopback.Address(t), a.address, c.address)
		conn := get(t, upstream.Target{Address: target, LoadBalancing: "pick_first"})
		if counts := seen(conn); counts[a.address] != 30 {
			t.Errorf("%v, want all to %s", counts, a.address)
		}
		a.Stop()
		poll.Until(t, "calls to the next", func() bool { name, _, _ := ask(t, conn); return name == c.address })
	})
	t.Run("several connections", func(t *testing.T) {
		conn := get(t, upstream.Target{Address: c.address, Connections: 3})
		poll.Until(t, "three connections", func() bool { return upstream.Connections(conn) == 3 })
		clients := map[string]int{}
		for range 30 {
			_, client, err := ask(t, conn)
			if err != nil {
				t.Fatal(err)
			}
			clients[client]++
		}
		if len(clients) != 3 {
			t.Errorf("calls from %v", clients)
		}
	})
	t.Run("no addresses", func(t *testing.T) {
		_, target := names(t)
		if _, _, err := ask(t, get(t, upstream.Target{Address: target})); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "its name has no address") {
			t.Error(err)
		}
	})
}

// TestTargets reaches servers by addresses of all kinds.
func TestTargets(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	start(t, "unix", socket)
	tcp := startOn(t, loopback.Listen(t))
	for _, address := range []string{tcp.address, "dns:///" + tcp.address, "passthrough:///" + tcp.address, "unix://" + socket, "unix:" + socket} {
		if _, _, err := ask(t, get(t, upstream.Target{Address: address})); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, test := range []struct {
		target upstream.Target
		want   string
	}{
		{upstream.Target{}, "the target is empty"},
		{upstream.Target{Address: "a:1", LoadBalancing: "best"}, `the load balancing policy "best" is not known; expected least_request, round_robin, random, hash or pick_first`},
		{upstream.Target{Address: "dns:///"}, "missing address"},
		{upstream.Target{Address: "unix://host/path"}, "unix://host/path"},
	} {
		if _, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(test.target); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.target, err, test.want)
		}
	}
}

// TestUnreachable: Semantics 26: what is wrong is said without an address, and
// at once.
func TestUnreachable(t *testing.T) {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := web.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	defer func() {
		_ = web.Close()
		<-done
	}()
	plain := startOn(t, loopback.Listen(t))
	for _, test := range []struct {
		target upstream.Target
		want   string
	}{
		{upstream.Target{Address: loopback.Address(t)}, "the backend cannot be reached: connection refused"},
		{upstream.Target{Address: "unix:" + filepath.Join(t.TempDir(), "none")}, "the backend cannot be reached: its socket does not exist"},
		{upstream.Target{Address: "dns:///nowhere.invalid:1"}, "the backend cannot be reached: its name has no address"},
		{upstream.Target{Address: web.Addr().String()}, "the backend does not speak HTTP/2"},
		{upstream.Target{Address: plain.address, TLS: &upstream.TLS{}}, "the backend cannot be reached: TLS failed"},
	} {
		conn := get(t, test.target)
		_, _, err := ask(t, conn)
		if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != test.want {
			t.Errorf("%s: %v, want %q", test.target.Address, err, test.want)
		}
		if state := conn.State(); state != connectivity.TransientFailure {
			t.Errorf("%s: the state is %v", test.target.Address, state)
		}
	}
}

// TestRestart stops a server at its ease, with calls under way, and starts
// another one at its address.
func TestRestart(t *testing.T) {
	first := startOn(t, loopback.Listen(t))
	conn := get(t, upstream.Target{Address: first.address})
	stream, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-first.begun
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		first.GracefulStop()
	}()
	poll.Until(t, "the end of the state READY", func() bool { return conn.State() != connectivity.Ready })
	second := start(t, "tcp", first.address)
	poll.Until(t, "an answer of the next server", func() bool { name, _, err := ask(t, conn); return err == nil && name == second.address })
	close(first.hold)
	for range 2 {
		if _, err := stream.Recv(); err != nil {
			t.Error("the stream to the first server:", err)
		}
	}
	<-stopped
}

// TestLog: the operator hears once that a backend cannot be reached, and why, and
// once that it is again.
func TestLog(t *testing.T) {
	address := loopback.Address(t)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for range 3 {
		if _, _, err := ask(t, conn); status.Code(err) != codes.Unavailable {
			t.Error(err)
		}
	}
	if err := conn.Failure(); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
	start(t, "tcp", address)
	poll.Until(t, "the server to be reached", func() bool { return strings.Contains(lines.String(), "reached again") })
	if err := conn.Failure(); err != nil {
		t.Error(err)
	}
	got := lines.String()
	for _, want := range []string{`level=WARN msg="the backend cannot be reached" target=` + address, `connect: connection refused`, `level=INFO msg="the backend is reached again"`} {
		if strings.Count(got, want) != 1 {
			t.Errorf("%q is not there once in\n%s", want, got)
		}
	}
}

// TestRelease closes a connection with calls under way.
func TestRelease(t *testing.T) {
	s := startOn(t, loopback.Listen(t))
	pool := upstream.NewPool(slog.New(slog.DiscardHandler))
	conn, err := pool.Get(upstream.Target{Address: s.address})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := pool.Get(upstream.Target{Address: s.address}); err != nil || again != conn {
		t.Fatal("equal targets share no connection:", err)
	}
	stream, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-s.begun
	conn.Release()
	if _, err := stream.Recv(); err != nil {
		t.Error("released by one of two:", err)
	}
	conn.Release()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	if _, _, err := ask(t, conn); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	close(s.hold)
}

// TestBusy makes many calls of all kinds at once, some of them given up, while
// the server is stopped and started again.
func TestBusy(t *testing.T) {
	s := startOn(t, loopback.Listen(t))
	close(s.hold)
	conn := get(t, upstream.Target{Address: s.address, Connections: 2})
	client := testpb.NewTestServiceClient(attempt.NewClient(conn))
	var work sync.WaitGroup
	var mu sync.Mutex
	seen := map[codes.Code]error{}
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		seen[status.Code(err)] = err
	}
	for i := range 16 {
		work.Go(func() {
			for j := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%7 == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(j)*10*time.Microsecond)
				}
				if i%4 > 0 {
					_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, j*1000)}})
					note(err)
				} else if stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}); err != nil {
					note(err)
				} else {
					_, err := stream.Recv()
					note(err)
					select {
					case <-s.begun:
					default:
					}
				}
				cancel()
			}
		})
	}
	work.Wait()
	if _, ok := seen[codes.OK]; !ok {
		t.Error("no call went well")
	}
	for code, err := range seen {
		switch code {
		case codes.OK, codes.Canceled, codes.DeadlineExceeded:
		default:
			t.Error(err)
		}
	}
	if got := fmt.Sprint(conn.State()); got != "READY" {
		t.Error(got)
	}
}
