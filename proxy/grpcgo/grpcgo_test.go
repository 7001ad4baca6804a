package grpcgo_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/grpcgo"
	"github.com/transom-gateway/transom/proxy/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server tells its address, and sends back the metadata that it gets.
type server struct {
	testpb.UnimplementedTestServiceServer
	address string
}

func (s *server) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	echo := metadata.MD{"echo-bin": md["a-bin"], "echo": md["a"]}
	_ = grpc.SetHeader(ctx, echo)
	_ = grpc.SetTrailer(ctx, echo)
	if r.GetResponseSize() > 0 {
		return &testpb.SimpleResponse{Payload: &testpb.Payload{Body: make([]byte, r.GetResponseSize())}}, nil
	}
	return &testpb.SimpleResponse{Username: s.address}, nil
}

func start(t testing.TB) *server {
	t.Helper()
	l := loopback.Listen(t)
	s := &server{address: l.Addr().String()}
	g := grpc.NewServer()
	testpb.RegisterTestServiceServer(g, s)
	grpctest.ServeOn(t, l, g)
	return s
}

func get(t testing.TB, target upstream.Target) *grpcgo.Conn {
	t.Helper()
	conn, err := grpcgo.NewPool(slog.New(slog.DiscardHandler)).Get(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	return conn
}

const unary = "/grpc.testing.TestService/UnaryCall"

func ask(t testing.TB, conn *grpcgo.Conn) (name string, err error) {
	t.Helper()
	answer, err := testpb.NewTestServiceClient(attempt.NewClientOf(conn, conn.Backend(1000))).UnaryCall(t.Context(), &testpb.SimpleRequest{})
	return answer.GetUsername(), err
}

// TestMetadata has metadata cross both ways, with values that are any bytes, and names
// that are the transport's left out.
func TestMetadata(t *testing.T) {
	backend := get(t, upstream.Target{Address: start(t).address}).Backend(1000)
	raw := "\x00\xff,="
	header := proxy.Metadata{"a-bin", raw, "a", "1", "a", " 2 ", "content-type", "text/plain", "connection", "close"}
	reply, err := backend.Call(t.Context(), unary, header, proxy.Frame{})
	if err != nil {
		t.Fatal(err)
	}
	reply.Message.Free()
	want := metadata.MD{"echo-bin": {raw}, "echo": {"1", "2"}}
	for _, got := range []metadata.MD{reply.Header, reply.Trailer} {
		if len(got) != 2 || !slices.Equal(got["echo-bin"], want["echo-bin"]) || !slices.Equal(got["echo"], want["echo"]) {
			t.Errorf("%q; want %q", got, want)
		}
	}
	for name, bad := range map[string]proxy.Metadata{"a name": {"A b", "1"}, "a value": {"a", "1\n2"}} {
		if _, err := backend.Call(t.Context(), unary, bad, proxy.Frame{}); status.Code(err) != codes.Internal {
			t.Errorf("%s that HTTP/2 cannot carry: %v", name, err)
		}
	}
}

// TestTrailersOnly has a stream refused by a server, which is its own word.
func TestTrailersOnly(t *testing.T) {
	backend := get(t, upstream.Target{Address: start(t).address}).Backend(1000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := backend.Open(ctx, "/grpc.testing.TestService/FullDuplexCall", nil, proxy.Shape{ClientStreams: true, ServerStreams: true})
	if err != nil {
		t.Fatal(err)
	}
	if header, err := stream.Header(); header != nil || err != nil {
		t.Errorf("the header is %v, %v; want none", header, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unimplemented || !proxy.FromBackend(err) {
		t.Errorf("%v; want the server's own UNIMPLEMENTED", err)
	}
	if err := stream.Send(proxy.WrapFrame([]byte("x"))); err != io.EOF {
		t.Errorf("a message after the end: %v; want EOF", err)
	}
	if trailer := stream.Trailer(); len(trailer) > 0 {
		t.Errorf("the trailer is %v", trailer)
	}
}

// TestTooLarge has an answer above the limit.
func TestTooLarge(t *testing.T) {
	backend := get(t, upstream.Target{Address: start(t).address}).Backend(1000)
	request, err := proxy.Marshal(&testpb.SimpleRequest{ResponseSize: 1001})
	if err != nil {
		t.Fatal(err)
	}
	_, err = backend.Call(t.Context(), unary, nil, request)
	var large *proxy.LargeMessageError
	if !errors.As(err, &large) || large.Limit != 1000 {
		t.Errorf("%v; want a LargeMessageError", err)
	}
}

// TestBalancing spreads calls by grpc-go's balancers.
func TestBalancing(t *testing.T) {
	names := manual.NewBuilderWithScheme("grpcgo-balancing")
	resolver.Register(names)
	servers := []*server{start(t), start(t)}
	names.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: servers[0].address}, {Addr: servers[1].address}}})
	for _, policy := range []string{"round_robin", "least_request", ""} {
		conn := get(t, upstream.Target{Address: names.Scheme() + ":///x", LoadBalancing: policy})
		seen := map[string]bool{}
		poll.Until(t, "calls at both servers", func() bool {
			name, err := ask(t, conn)
			if err != nil {
				t.Fatal(err)
			}
			seen[name] = true
			return len(seen) == len(servers)
		})
	}
}

// TestRefused has targets that grpc-go cannot serve as they are meant.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		target upstream.Target
		want   string
	}{
		{upstream.Target{}, "the target is empty"},
		{upstream.Target{Address: "a:1", LoadBalancing: "random"}, `no load balancing policy "random"; expected least_request, round_robin or pick_first`},
		{upstream.Target{Address: "a:1", Connections: 2}, "connections: 2"},
		{upstream.Target{Address: "a:1", TLS: &upstream.TLS{CA: "none.pem"}}, "none.pem"},
	} {
		if _, err := grpcgo.NewPool(slog.New(slog.DiscardHandler)).Get(test.target); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.target, err, test.want)
		}
	}
}

// TestUnreachable: Semantics 26: what is wrong is said without an address.
func TestUnreachable(t *testing.T) {
	for _, test := range []struct {
		target upstream.Target
		want   string
	}{
		{upstream.Target{Address: loopback.Address(t)}, "the backend cannot be reached: connection refused"},
		{upstream.Target{Address: "unix:" + filepath.Join(t.TempDir(), "none")}, "the backend cannot be reached: its socket does not exist"},
		{upstream.Target{Address: "dns:///nowhere.invalid:1"}, "the backend cannot be reached: its name has no address"},
		{upstream.Target{Address: start(t).address, TLS: &upstream.TLS{}}, "the backend cannot be reached: TLS failed"},
	} {
		conn := get(t, test.target)
		if _, err := ask(t, conn); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != test.want {
			t.Errorf("%s: %v, want %q", test.target.Address, err, test.want)
		}
		poll.Until(t, "the state TRANSIENT_FAILURE", func() bool { return conn.State() == connectivity.TransientFailure && conn.Failure() != nil })
	}
}

// TestShared has equal targets share a connection until the last gives it back.
func TestShared(t *testing.T) {
	pool := grpcgo.NewPool(slog.New(slog.DiscardHandler))
	s := start(t)
	var conns []*grpcgo.Conn
	for _, tls := range []*upstream.TLS{{ServerName: "a"}, {ServerName: "a"}, {ServerName: "b"}, nil} {
		conn, err := pool.Get(upstream.Target{Address: s.address, TLS: tls})
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if conns[0] != conns[1] || conns[1] == conns[2] || conns[2] == conns[3] {
		t.Error("equal targets have connections of their own, or others share one")
	}
	conns[0].Release()
	if conns[1].State() == connectivity.Shutdown {
		t.Error("the connection is closed while it is used")
	}
	for _, conn := range conns[1:] {
		conn.Release()
	}
	if state := conns[3].State(); state != connectivity.Shutdown {
		t.Errorf("the state of a connection that nobody uses is %v", state)
	}
}
