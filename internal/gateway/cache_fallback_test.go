package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestFallbackIsNotKept: Traffic 107, 117: what another upstream answers while the circuit breaker is open is
// not kept as the answer of the method's own.
func TestFallbackIsNotKept(t *testing.T) {
	own := &failingServer{says: "max-age=60"}
	own.ill.Store(true)
	var others atomic.Int64
	other := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(pb.GetShelfRequest)); err != nil {
			return err
		}
		return stream.SendMsg(&pb.Shelf{Theme: fmt.Sprint("other ", others.Add(1))})
	})
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, own.serve), Protos: map[string]string{"shared.proto": plainSharedProto},
		Upstreams: fmt.Sprintf("other: { grpc: { target: %q } }", other), Config: `policies:
  - selector: shared.v1.Service.Read
    policy: { cache: { ttl: 60s }, circuit_breaker: { consecutive_failures: 1, open_for: 3600s, fallback: other } }
`,
	})
	g.Do(t, "GET", "/v1/shared/shelves/1", "") // it fails, and the breaker opens
	for n := range 3 {
		if a, want := g.Do(t, "GET", "/v1/shared/shelves/1", ""), fmt.Sprint("other ", n+1); !strings.Contains(a.Body, want) {
			t.Errorf("%d %s, want %q", a.Status, a.Body, want)
		}
	}
}

// TestRouteFallbackIsNotKept: Traffic 107, 131: it is the same on routes to plain HTTP servers. An old
// answer that the other server takes for its own is kept no longer for it.
func TestRouteFallbackIsNotKept(t *testing.T) {
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" && len(r.Header["If-None-Match"]) == 0 {
			w.Header().Set("Cache-Control", "max-age=0")
			w.Header().Set("Etag", `"1"`)
			_, _ = w.Write([]byte("own")) // the client looks
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(own.Close)
	var others atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if n := others.Add(1); len(r.Header["If-None-Match"]) > 0 {
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
		} else {
			_, _ = fmt.Fprint(w, "other ", n) // the client looks
		}
	}))
	t.Cleanup(other.Close)
	address := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }, other: { http: { servers: [%q] } }", address(own), address(other)),
		Config:    "routes: [{ match: { path_prefix: / }, upstream: site, policy: { cache: {}, circuit_breaker: { consecutive_failures: 1, open_for: 3600s, fallback: other } } }]",
	})
	g.Do(t, "GET", "/old", "")
	g.Do(t, "GET", "/a", "") // it fails, and the breaker opens
	for n := range 3 {
		if a, want := g.Do(t, "GET", "/a", ""), fmt.Sprint("other ", n+1); a.Body != want {
			t.Errorf("%d %s, want %q", a.Status, a.Body, want)
		}
	}
	for n := range 3 {
		if a := g.Do(t, "GET", "/old", ""); a.Body != "own" || others.Load() != int64(n+4) {
			t.Errorf("%d %s after %d requests to the other server, want the old answer, which was asked about", a.Status, a.Body, others.Load())
		}
	}
}
