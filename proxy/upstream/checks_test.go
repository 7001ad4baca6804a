package upstream_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// startChecked starts a server with a health service.
func startChecked(t *testing.T) (*server, *grpchealth.Server) {
	t.Helper()
	h := grpchealth.NewServer()
	return startRegistered(t, loopback.Address(t), func(s grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(s, h) }), h
}

func check(c health.Check) *health.Check {
	c = c.WithDefaults()
	return &c
}

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

// settled waits until calls are answered by these servers alone.
func settled(t *testing.T, conn *upstream.Conn, servers ...*server) {
	t.Helper()
	poll.Until(t, "calls to "+strings.Join(addressesOf(servers...), " and "), func() bool {
		seen, err := answered(t, conn)
		return err == nil && slices.Equal(seen, addressesOf(servers...))
	})
}

// TestGRPCHealth: Traffic 178: servers that are not SERVING get no calls, from the moment
// that they say so.
func TestGRPCHealth(t *testing.T) {
	a, sayA := startChecked(t)
	b, sayB := startChecked(t)
	silent := startOn(t, loopback.Listen(t)) // it has no health service
	_, target := names(t, a.address, b.address, silent.address)
	conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin", Health: check(health.Check{})})
	settled(t, conn, a, b, silent)
	sayA.SetServingStatus("", notServing)
	settled(t, conn, b, silent)
	sayB.SetServingStatus("", notServing)
	settled(t, conn, silent)
	sayA.SetServingStatus("", serving)
	settled(t, conn, a, silent)
}

// TestGracefulStop: Traffic 178: a server that stops in good order does not wait for the
// Watch over it.
func TestGracefulStop(t *testing.T) {
	a, _ := startChecked(t)
	conn := get(t, upstream.Target{Address: a.address, Health: check(health.Check{})})
	answering(t, conn)
	a.GracefulStop() // it waits for all streams
}

// TestNobodyIsHealthy: Traffic 180: where no server is well, all get calls.
func TestNobodyIsHealthy(t *testing.T) {
	a, sayA := startChecked(t)
	b, sayB := startChecked(t)
	sayA.SetServingStatus("", notServing)
	sayB.SetServingStatus("", notServing)
	r, target := names(t, a.address, b.address)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: target, LoadBalancing: "round_robin", Health: check(health.Check{})})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	settled(t, conn, a, b)
	poll.Until(t, "a word in the log", func() bool { return strings.Contains(lines.String(), "too few endpoints are well") })
	sayB.SetServingStatus("", serving)
	settled(t, conn, b)
	poll.Until(t, "a word of its end", func() bool { return strings.Contains(lines.String(), "enough endpoints are well again") })
	c, sayC := startChecked(t)
	sayC.SetServingStatus("", notServing)
	r.UpdateState(state(a.address, b.address, c.address))
	settled(t, conn, b)
	sayC.SetServingStatus("", serving)
	settled(t, conn, b, c)
}

// TestStartWaitsForChecks: Traffic 180: calls wait for the first checks, one timeout at
// most.
func TestStartWaitsForChecks(t *testing.T) {
	t.Run("for all of them", func(t *testing.T) {
		well, _ := startChecked(t)
		ill, say := startChecked(t)
		say.SetServingStatus("", notServing)
		_, target := names(t, ill.address, well.address)
		conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin", Health: check(health.Check{Timeout: time.Hour})})
		for range 20 {
			if name, _, err := ask(t, conn); name != well.address || err != nil {
				t.Fatalf("%s answers, %v", name, err)
			}
		}
	})
	t.Run("not for one that cannot be reached", func(t *testing.T) {
		well, _ := startChecked(t)
		_, target := names(t, "127.0.0.1:1", well.address)
		conn := get(t, upstream.Target{Address: target, Health: check(health.Check{Timeout: time.Hour})})
		settled(t, conn, well)
	})
	t.Run("no longer than one timeout", func(t *testing.T) {
		hold := make(chan struct{})
		a := startRegistered(t, loopback.Address(t), func(s grpc.ServiceRegistrar) { healthpb.RegisterHealthServer(s, &mute{hold: hold}) })
		t.Cleanup(func() { close(hold) })
		conn := get(t, upstream.Target{Address: a.address, Health: check(health.Check{Timeout: 50 * time.Millisecond})})
		if s := conn.State(); s != connectivity.Connecting {
			t.Error(s)
		}
		answering(t, conn)
	})
}

// mute is a health service that does not answer.
type mute struct {
	healthpb.UnimplementedHealthServer
	hold chan struct{}
}

func (m *mute) Watch(_ *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	select {
	case <-m.hold:
	case <-s.Context().Done():
	}
	return nil
}

func (m *mute) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	select {
	case <-m.hold:
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

// TestReturnedServer: Traffic 178: a server that is reached again is asked before it gets
// calls.
func TestReturnedServer(t *testing.T) {
	a, _ := startChecked(t)
	b, _ := startChecked(t)
	_, target := names(t, a.address, b.address)
	conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin", Health: check(health.Check{})})
	settled(t, conn, a, b)
	b.Stop()
	settled(t, conn, a)
	h := grpchealth.NewServer()
	h.SetServingStatus("", notServing)
	asked := make(chan struct{}, 1)
	again := startRegistered(t, b.address, func(s grpc.ServiceRegistrar) {
		healthpb.RegisterHealthServer(s, &watched{Server: h, asked: asked})
	})
	<-asked
	for range 20 {
		if name, _, err := ask(t, conn); name != a.address || err != nil {
			t.Fatalf("%s answers, %v", name, err)
		}
	}
	h.SetServingStatus("", serving)
	settled(t, conn, a, again)
}

// TestOnlyServerReturns: Traffic 180: calls wait for the first answer of a server that
// comes back where there is no other one.
func TestOnlyServerReturns(t *testing.T) {
	a, _ := startChecked(t)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: a.address, Health: check(health.Check{Timeout: time.Hour})})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	answering(t, conn)
	a.Stop()
	poll.Until(t, "it to be away", func() bool { return conn.State() != connectivity.Ready })
	h := grpchealth.NewServer()
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	startRegistered(t, a.address, func(s grpc.ServiceRegistrar) {
		healthpb.RegisterHealthServer(s, &late{watched{Server: h, asked: asked}, answer})
	})
	<-asked
	if s := conn.State(); s != connectivity.Connecting {
		t.Error(s)
	}
	close(answer)
	answering(t, conn)
	if text := lines.String(); strings.Contains(text, "healthy") || strings.Contains(text, "well") {
		t.Error(text)
	}
}

// late is a health service that answers when a test says so.
type late struct {
	watched
	answer chan struct{}
}

func (l *late) Watch(r *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	l.asked <- struct{}{}
	select {
	case <-l.answer:
	case <-s.Context().Done():
	}
	return l.Server.Watch(r, s)
}

// watched tells that it has been asked.
type watched struct {
	*grpchealth.Server
	asked chan struct{}
}

func (w *watched) Watch(r *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	select {
	case w.asked <- struct{}{}:
	default:
	}
	return w.Server.Watch(r, s)
}

// TestServiceHealth: Traffic 178: per service, calls avoid the servers where theirs is
// not well.
func TestServiceHealth(t *testing.T) {
	a, sayA := startChecked(t)
	b, sayB := startChecked(t)
	service := testpb.TestService_ServiceDesc.ServiceName
	for _, say := range []*grpchealth.Server{sayA, sayB} {
		say.SetServingStatus(service, serving)
		say.SetServingStatus("other.Service", serving)
	}
	_, target := names(t, a.address, b.address)
	conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin", Health: check(health.Check{PerService: true})})
	conn.CheckServices([]string{service, "other.Service"})
	settled(t, conn, a, b)
	sayA.SetServingStatus("other.Service", notServing) // which nobody calls
	sayB.SetServingStatus(service, notServing)
	settled(t, conn, a)
	sayA.SetServingStatus(service, notServing)
	settled(t, conn, a, b) // it is well nowhere
	sayB.SetServingStatus(service, serving)
	settled(t, conn, b)
	conn.CheckServices([]string{"other.Service"})
	settled(t, conn, a, b)
}

// TestHTTPHealth: Traffic 179: servers from DNS are asked by GET at another port, each
// for itself.
func TestHTTPHealth(t *testing.T) {
	servers, port := backends(t, 2)
	var ill [2]atomic.Bool
	var probes [2]*httptest.Server
	probePort := "0"
	for i := range probes {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:%s", i+1, probePort))
		if err != nil {
			t.Fatal(err)
		}
		_, probePort, _ = net.SplitHostPort(l.Addr().String())
		probes[i] = &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if ill[i].Load() || r.URL.Path != "/ready" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}), ReadHeaderTimeout: time.Minute}}
		probes[i].Start()
		t.Cleanup(probes[i].Close)
	}
	number, err := strconv.ParseUint(probePort, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	dns := startNameServer(t)
	dns.say(dnsmessage.RCodeSuccess, servers...)
	target := upstream.Target{Address: dns.target(port), LoadBalancing: "round_robin"}
	c := health.Check{Path: "/ready", Port: uint16(number), Interval: 10 * time.Millisecond}
	target.Health = check(c)
	conn := get(t, target)
	// Another upstream with the same addresses: its check never succeeds.
	c.Path = "/nowhere"
	other := target
	other.Health = check(c)
	elsewhere := get(t, other)
	settled(t, conn, servers...)
	ill[1].Store(true)
	settled(t, conn, servers[0])
	settled(t, elsewhere, servers...)
	ill[1].Store(false)
	settled(t, conn, servers...)
	probes[0].Close()
	settled(t, conn, servers[1])
}

// TestFlappingHealth: Traffic 180: a server whose health flaps fills no log.
func TestFlappingHealth(t *testing.T) {
	a, say := startChecked(t)
	b := startOn(t, loopback.Listen(t))
	_, target := names(t, a.address, b.address)
	lines := &logtext.Text{}
	conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: target, Health: check(health.Check{})})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	settled(t, conn, a, b)
	for range 20 {
		say.SetServingStatus("", notServing)
		settled(t, conn, b)
		say.SetServingStatus("", serving)
		settled(t, conn, a, b)
	}
	text := lines.String()
	if n := strings.Count(text, "\n"); n != 10 || !strings.Contains(text, "an endpoint is not healthy") || !strings.Contains(text, "endpoint="+a.address) || !strings.Contains(text, "NOT_SERVING") || !strings.Contains(text, "left out") {
		t.Errorf("%d lines:\n%s", n, text)
	}
}
