package gateway_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// asked is a health service that tells which services it is watched for.
type asked struct {
	*health.Server
	services chan string
}

func (a *asked) Watch(r *healthpb.HealthCheckRequest, s healthpb.Health_WatchServer) error {
	a.services <- r.GetService()
	return a.Server.Watch(r, s)
}

// TestServicesAreChecked: Traffic 178: with per_service each service of the schemas that
// an upstream has is asked for, once, also after a reload; /upstreams has what it says
// (Traffic 181).
func TestServicesAreChecked(t *testing.T) {
	h := &asked{health.NewServer(), make(chan string, 100)}
	server := grpc.NewServer()
	pb.RegisterBookstoreServiceServer(server, pb.UnimplementedBookstoreServiceServer{})
	healthpb.RegisterHealthServer(server, h)
	h.SetServingStatus("bookstore.v1.BookstoreService", healthpb.HealthCheckResponse_NOT_SERVING)
	address := grpctest.Serve(t, server)
	const one = "syntax = \"proto3\";\npackage one.v1;\nmessage M {}\nservice One { rpc Get(M) returns (M); }\n"
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: address, Upstream: "health_check: { per_service: true }", Protos: map[string]string{"one.proto": one},
	})
	watched := []string{<-h.services, <-h.services}
	slices.Sort(watched)
	if want := []string{"bookstore.v1.BookstoreService", "one.v1.One"}; !slices.Equal(watched, want) {
		t.Errorf("watched are %v, want %v", watched, want)
	}
	said := func() string {
		for _, u := range g.Upstreams() {
			for _, e := range u.Servers {
				return e.Checks["bookstore.v1.BookstoreService"].Why
			}
		}
		return ""
	}
	poll.Until(t, "the answer", func() bool { return strings.Contains(said(), "NOT_SERVING") })
	config, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.Config, append(config, "\ndefaults: { timeout: 3s }\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(h.services); n != 0 {
		t.Errorf("after a reload %d services are asked for anew", n)
	}
}
