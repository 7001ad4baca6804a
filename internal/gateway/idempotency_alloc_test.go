package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// twinProto has methods that differ by their policies alone. A name is as long as the others.
const twinProto = `syntax = "proto3";
package twin.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
message Payment { string name = 1; }
service Twin {
  rpc Bare(Payment) returns (Payment) { option (google.api.http) = { post: "/v1/bare" body: "*" }; }
  rpc Kept(Payment) returns (Payment) {
    option (google.api.http) = { post: "/v1/kept" body: "*" };
    option (transom.v1.method) = { idempotency_key: { scope: METHOD } };
  }
}`

// allocationsOf is how many allocations a request makes, within the gateway and its server.
func allocationsOf(t *testing.T, g *gatewaytest.Gateway, path string, body []byte, header http.Header, http2 bool) float64 {
	t.Helper()
	content := bytes.NewReader(body)
	open := io.NopCloser(content)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+path, open)
	if err != nil {
		t.Fatal(err)
	}
	request.RemoteAddr, request.RequestURI, request.ContentLength = "127.0.0.1:1", path, int64(len(body))
	if request.Header = header; http2 {
		request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/2.0", 2, 0
	}
	w := &unreadAnswer{header: http.Header{}}
	call := func() {
		clear(w.header)
		content.Reset(body)
		request.Body = open // the gateway has put its own there
		g.ServeHTTP(w, request)
	}
	call()
	if told := w.header.Get("Grpc-Status"); w.status > http.StatusOK || told != "" && told != "0" {
		t.Fatalf("%s: %d %v", path, w.status, w.header)
	}
	const calls = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		call()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls
}

// TestKeylessAllocations: Traffic 84: a call without a key to a method with the policy
// allocates what one to a method without it does, and so on routes.
func TestKeylessAllocations(t *testing.T) {
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		request := new(emptypb.Empty)
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		return stream.SendMsg(request)
	})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body) // the client looks
	}))
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"twin.proto": twinProto}, Backend: backend,
		Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config: `
routes:
  - { match: { path: /Bare }, upstream: site }
  - { match: { path: /Kept }, upstream: site, policy: { idempotency_key: { scope: METHOD } } }
`,
	})
	route := func(method string) string { return "/" + method }
	rest := func(method string) string { return "/v1/" + strings.ToLower(method) }
	rpc := func(method string) string { return "/twin.v1.Twin/" + method }
	text, frame := []byte(`{"name":"a"}`), []byte("\x00\x00\x00\x00\x03\x0a\x01a")
	for _, test := range []struct {
		name   string
		path   func(method string) string
		body   []byte
		header http.Header
		http2  bool
	}{
		{"REST", rest, text, http.Header{"Content-Type": {"application/json"}}, false},
		{"Connect", rpc, text, http.Header{"Content-Type": {"application/json"}, "Connect-Protocol-Version": {"1"}}, false},
		{"gRPC", rpc, frame, http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}, true},
		{"gRPC-Web", rpc, frame, http.Header{"Content-Type": {"application/grpc-web"}}, false},
		{"a route", route, text, http.Header{"Content-Type": {"application/json"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			count := func(method string) float64 {
				return allocationsOf(t, g, test.path(method), test.body, test.header, test.http2)
			}
			// Pools and goroutines that nobody here controls make it a little more or less at times.
			var rounds []string
			for range 5 {
				bare, kept := count("Bare"), count("Kept")
				if kept-bare < 0.5 {
					return
				}
				rounds = append(rounds, fmt.Sprintf("%.2f beside %.2f", kept, bare))
			}
			t.Errorf("allocations with the policy beside those without: %s", strings.Join(rounds, ", "))
		})
	}
}
