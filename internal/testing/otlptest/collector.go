// Package otlptest is an OpenTelemetry collector for tests, which keeps the spans that it
// gets.
//
//	var collector otlptest.Collector
//	endpoint := collector.OverHTTP(t) // for Otlp.endpoint
package otlptest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// Collector keeps the spans of all exports. Its zero value is ready.
type Collector struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []*tracev1.Span
}

// OverHTTP serves OTLP over HTTP until the test ends, and returns the endpoint.
func (c *Collector) OverHTTP(t testing.TB) (endpoint string) {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	return server.URL
}

// OverGRPC serves OTLP over gRPC until the test ends, and returns the endpoint.
func (c *Collector) OverGRPC(t testing.TB) (endpoint string) {
	t.Helper()
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	return "grpc://" + grpctest.Serve(t, server)
}

// Spans are all that have arrived. They are complete once the sender has shut down.
func (c *Collector) Spans() []*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Export implements the service of OTLP over gRPC.
func (c *Collector) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP implements http.Handler, as OTLP over HTTP.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	var request collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not an export", http.StatusBadRequest)
		return
	}
	_, _ = c.Export(r.Context(), &request) // it has no error
}
