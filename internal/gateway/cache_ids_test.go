package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestHitIsNotTheFirstCall: Traffic 112, 131: an answer that is given again does not say that it is of the
// request, or of the trace, that it was fetched for.
func TestHitIsNotTheFirstCall(t *testing.T) {
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(pb.GetShelfRequest)); err != nil {
			return err
		}
		md := metadata.Pairs("x-request-id", "first", "traceparent", "00-1-2-00", "tracestate", "first=1", "x-other", "stays")
		if err := stream.SetHeader(md); err != nil {
			return err
		}
		return stream.SendMsg(&pb.Shelf{Theme: "kept"})
	})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{"X-Request-Id": "first", "Traceparent": "00-1-2-00", "Tracestate": "first=1", "X-Other": "stays", "Cache-Control": "max-age=60"} {
			w.Header().Set(name, value)
		}
	}))
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: backend, Protos: map[string]string{"shared.proto": plainSharedProto},
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config: `policies: [{ selector: shared.v1.Service.Read, policy: { cache: { ttl: 60s } } }]
routes: [{ match: { path_prefix: /site }, upstream: site, policy: { cache: {} } }]
`,
	})
	for _, path := range []string{"/v1/shared/shelves/1", "/site/a"} {
		for n := range 2 {
			h := g.Do(t, "GET", path, "", "X-Request-Id", "of-this-one").Header
			if h.Get("X-Other") != "stays" && h.Get("Grpc-Metadata-X-Other") != "stays" {
				t.Errorf("%s: %v", path, h)
			}
			if got := h["X-Request-Id"]; len(got) != 1 || got[0] != "of-this-one" || n > 0 && strings.Contains(fmt.Sprint(h), "first") {
				t.Errorf("%s: %v", path, h)
			}
		}
	}
	conn := grpctest.Dial(t, g.Addr)
	for range 2 {
		var h metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "of-this-one")
		if err := conn.Invoke(ctx, "/shared.v1.Service/Read", &pb.GetShelfRequest{Name: "shelves/1"}, new(pb.Shelf), grpc.Header(&h)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fmt.Sprint(h), "first") || fmt.Sprint(h["x-other"]) != "[stays]" {
			t.Errorf("gRPC: %v", h)
		}
	}
}
