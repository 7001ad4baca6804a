package health

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	grpcgo "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// follow follows a server that a test sets up, and returns what it tells.
func follow(t *testing.T, c Check, service string, setUp func(*grpcgo.Server), options ...grpcgo.ServerOption) chan Report {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpcgo.NewServer(options...)
	if setUp != nil {
		setUp(server)
	}
	var work sync.WaitGroup
	work.Go(func() { _ = server.Serve(l) }) // it ends by Stop
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := transport.New(t.Context(), tcp, transport.Options{Pool: proxy.Buffers, Authority: "x"})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan Report, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	work.Go(func() { Follow(ctx, conn, c.WithDefaults(), service, func(r Report) { told <- r }) })
	t.Cleanup(func() {
		cancel()
		conn.Close()
		<-conn.Done()
		server.Stop()
		work.Wait()
	})
	return told
}

const often = 10 * time.Millisecond

// TestWatch: Traffic 178: what Watch says holds at once.
func TestWatch(t *testing.T) {
	h := grpchealth.NewServer()
	h.SetServingStatus("books", healthpb.HealthCheckResponse_NOT_SERVING)
	told := follow(t, Check{}, "books", func(s *grpcgo.Server) { healthpb.RegisterHealthServer(s, h) })
	if r := <-told; r.Well || !r.Final || r.Why != "the server says that it is NOT_SERVING" || r.At.IsZero() {
		t.Errorf("%+v", r)
	}
	h.SetServingStatus("books", healthpb.HealthCheckResponse_SERVING)
	if r := <-told; !r.Well || !r.Final {
		t.Errorf("%+v", r)
	}
	unknown := follow(t, Check{}, "shelves", func(s *grpcgo.Server) { healthpb.RegisterHealthServer(s, h) })
	if r := <-unknown; r.Well || !strings.Contains(r.Why, "SERVICE_UNKNOWN") {
		t.Errorf("%+v", r)
	}
}

// TestFewStreams: Traffic 178: a server that allows few streams at once is asked by Check,
// which leaves them to calls.
func TestFewStreams(t *testing.T) {
	server := &scripted{
		watch: func(healthpb.Health_WatchServer) error {
			t.Error("it is watched")
			return nil
		},
		check: func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			return healthpb.HealthCheckResponse_SERVING, nil
		},
	}
	told := follow(t, Check{Interval: often}, "", func(s *grpcgo.Server) { healthpb.RegisterHealthServer(s, server) }, grpcgo.MaxConcurrentStreams(1))
	for range 3 {
		if r := <-told; !r.Well || r.Final {
			t.Errorf("%+v", r)
		}
	}
}

// TestUnimplemented: Traffic 178: a server without the health service is well, and is not
// asked again.
func TestUnimplemented(t *testing.T) {
	told := follow(t, Check{}, "", nil)
	if r := <-told; !r.Well || !r.Final {
		t.Errorf("%+v", r)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		conn, reports := &nothing{}, 0
		Follow(ctx, conn, Check{}.WithDefaults(), "", func(Report) { reports++ })
		if conn.calls != 1 || reports != 1 {
			t.Errorf("asked %d times in an hour, told %d times", conn.calls, reports)
		}
	})
}

// nothing is a connection to a server that knows nothing.
type nothing struct{ calls int }

var errUnimplemented = status.Error(codes.Unimplemented, "x")

func (n *nothing) Call(context.Context, *transport.Request) (transport.Reply, error) {
	n.calls++
	return transport.Reply{}, errUnimplemented
}

func (*nothing) Open(context.Context, *transport.Request) (*transport.Stream, error) {
	return nil, errUnimplemented
}

func (*nothing) Limit() uint32 { return 100 }

func (*nothing) Leaving() <-chan struct{} { return nil }

// scripted is a health service whose Watch and Check are a test's.
type scripted struct {
	healthpb.UnimplementedHealthServer
	watch func(healthpb.Health_WatchServer) error
	check func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error)
}

func (s *scripted) Watch(_ *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	if s.watch == nil {
		return s.UnimplementedHealthServer.Watch(nil, stream)
	}
	return s.watch(stream)
}

func (s *scripted) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	now, err := s.check(ctx)
	return &healthpb.HealthCheckResponse{Status: now}, err
}

// TestFallback: Traffic 178: where a Watch ends, is silent or not there, Check is asked
// each interval, and what it says is counted.
func TestFallback(t *testing.T) {
	serving := func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
		return healthpb.HealthCheckResponse_SERVING, nil
	}
	for name, test := range map[string]struct {
		server  *scripted
		timeout time.Duration
		want    []string // of each report
	}{
		"a Watch that ends": {&scripted{check: serving, watch: func(s healthpb.Health_WatchServer) error {
			return s.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING})
		}}, time.Minute, []string{"the server says that it is NOT_SERVING", "", ""}},
		"no Watch": {&scripted{check: serving}, time.Minute, []string{"", "", ""}},
		"a silent Watch": {&scripted{check: serving, watch: func(s healthpb.Health_WatchServer) error {
			<-s.Context().Done()
			return s.Context().Err()
		}}, 20 * time.Millisecond, []string{"", "", ""}},
		"a Check that fails": {&scripted{check: func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			return 0, status.Error(codes.Internal, "no disk")
		}}, time.Minute, []string{"no disk", "no disk"}},
		"a silent Check": {&scripted{check: func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		}}, 20 * time.Millisecond, []string{"within 20ms", "within 20ms"}},
		"a Check that does not know the service": {&scripted{check: func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
			return 0, status.Error(codes.NotFound, "x")
		}}, time.Minute, []string{"does not know the service"}},
	} {
		t.Run(name, func(t *testing.T) {
			told := follow(t, Check{Interval: often, Timeout: test.timeout}, "", func(s *grpcgo.Server) { healthpb.RegisterHealthServer(s, test.server) })
			for i, want := range test.want {
				r := <-told
				for want == "" && strings.Contains(r.Why, "NOT_SERVING") { // until the Watch has ended, its word holds on
					r = <-told
				}
				if r.Well != (want == "") || !strings.Contains(r.Why, want) || r.Final != (i == 0 && strings.Contains(want, "NOT_SERVING")) {
					t.Errorf("report %d: %+v, want %q", i, r, want)
				}
			}
		})
	}
}
