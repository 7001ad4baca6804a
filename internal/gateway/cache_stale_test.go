package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// failingServer answers for as long as it is well, with answers that are stale at once.
type failingServer struct {
	asked atomic.Int64
	ill   atomic.Bool
	says  string // Cache-Control
}

func (s *failingServer) serve(_ any, stream grpc.ServerStream) error {
	request := new(pb.GetShelfRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	s.asked.Add(1)
	if s.ill.Load() {
		return status.Error(codes.Unavailable, "not now")
	}
	if err := stream.SetHeader(metadata.Pairs("cache-control", s.says)); err != nil {
		return err
	}
	return stream.SendMsg(&pb.Shelf{Name: request.GetName(), Theme: "kept"})
}

const staleConfig = `policies:
  - selector: shared.v1.Service.Read
    policy: { cache: { stale_if_error: 600s }, circuit_breaker: { consecutive_failures: 1, open_for: 3600s } }
`

// TestStaleWhileOpen: Traffic 107, 126: while a circuit breaker is open the stale answer is given by
// every protocol, and the backend is left alone; the log and the metrics say so. must-revalidate
// forbids it.
func TestStaleWhileOpen(t *testing.T) {
	s := &failingServer{says: "max-age=0"}
	var log logtext.Text
	proto := plainSharedProto
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, s.serve), Protos: map[string]string{"shared.proto": proto}, Config: staleConfig, Log: &log})
	clients := sharedClients(grpctest.Dial(t, g.Addr))
	ask := func(c sharedClient) {
		t.Helper()
		if a, err := c.ask(t.Context(), g, "shelves/1"); err != nil || a.code != codes.OK || a.shelf.GetTheme() != "kept" {
			t.Errorf("%s: %v %q %v, %v", c.name, a.code, a.message, a.shelf, err)
		}
	}
	ask(clients[0])
	s.ill.Store(true)
	ask(clients[0]) // the backend fails, and the breaker opens
	if n := s.asked.Load(); n != 2 {
		t.Fatalf("%d calls reached the backend", n)
	}
	for _, c := range clients {
		ask(c)
	}
	if n := s.asked.Load() - 2; n != 0 {
		t.Errorf("%d calls passed the open breaker", n)
	}
	poll.Until(t, "lines of the log", func() bool { return strings.Count(log.String(), `"cache":"stale"`) == len(clients)+1 })
	if strings.Contains(log.String(), "refused_by") {
		t.Error("the log has calls as refused that were answered")
	}
	metrics := metricsOf(g)
	for _, want := range []string{
		fmt.Sprintf(`transom_policy_decisions_total{policy="cache",result="stale",rpc="shared.v1.Service/Read"} %d`, len(clients)+1),
		`transom_circuit_state{rpc="shared.v1.Service/Read",upstream="backend"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if a := g.Do(t, "GET", "/v1/shared/shelves/2", ""); a.Status != 503 || !strings.Contains(a.Body, "CIRCUIT_OPEN") {
		t.Errorf("of what nothing is kept: %d %s", a.Status, a.Body)
	}

	t.Run("Traffic 126: must-revalidate", func(t *testing.T) {
		s := &failingServer{says: "max-age=0, must-revalidate"}
		g := gatewaytest.Start(t, gatewaytest.Options{Backend: grpctest.ServeAny(t, s.serve), Protos: map[string]string{"shared.proto": proto}, Config: staleConfig})
		g.Do(t, "GET", "/v1/shared/shelves/1", "")
		s.ill.Store(true)
		for range 2 {
			if a := g.Do(t, "GET", "/v1/shared/shelves/1", ""); a.Status != 503 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
	})
}

// TestStaleRouteWhileOpen: Traffic 107, 126, 131: it is the same on routes to plain HTTP servers.
func TestStaleRouteWhileOpen(t *testing.T) {
	var asked atomic.Int64
	var ill atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Cache-Control", "max-age=0")
		_, _ = w.Write([]byte("kept")) // the client looks
	}))
	t.Cleanup(server.Close)
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(server.URL, "http://")), Log: &log,
		Config: "routes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: { stale_if_error: 600s }, circuit_breaker: { consecutive_failures: 1, open_for: 3600s } } }]",
	})
	for i := range 4 {
		if a := g.Do(t, "GET", "/a", ""); a.Status != 200 || a.Body != "kept" {
			t.Errorf("request %d: %d %s", i, a.Status, a.Body)
		}
		ill.Store(true)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests reached the server", n)
	}
	poll.Until(t, "lines of the log", func() bool { return strings.Count(log.String(), `"cache":"stale"`) == 3 })
	if strings.Contains(log.String(), "refused_by") {
		t.Error("the log has requests as refused that were answered")
	}
	if a := g.Do(t, "GET", "/b", ""); a.Status != 503 {
		t.Errorf("of what nothing is kept: %d %s", a.Status, a.Body)
	}
}
