package gateway_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestClientGone: Semantics 321: the access log says of a call whose client went away that
// it did, and names the server that the call went to.
func TestClientGone(t *testing.T) {
	arrived := make(chan struct{}, 1)
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		arrived <- struct{}{}
		<-stream.Context().Done()
		return stream.Context().Err()
	})
	log := new(logLines)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log, Backend: backend})
	for name, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
		for _, path := range []string{"/v1/shelves/1", "/v1/shelves/1/books:watch"} {
			t.Run(name+" "+path, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				id := strings.NewReplacer("/", "-", ":", "-", ".", "-").Replace("gone-" + name + path)
				r, err := http.NewRequestWithContext(ctx, "GET", g.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("X-Request-Id", id)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					if response, err := client.Do(r); err == nil {
						_ = response.Body.Close()
					}
				}()
				<-arrived
				cancel()
				<-ended
				var line map[string]any
				poll.Until(t, "the line of the access log", func() bool { line = log.of(id); return line != nil })
				if line["reason"] != "the client went away" || line["code"] != "CANCELLED" {
					t.Errorf("%v", line)
				}
				if address, _ := line["endpoint"].(string); !sameAddress(address, backend) {
					t.Errorf("the endpoint is %q, want %s", address, backend)
				}
			})
		}
	}
}

// sameAddress compares addresses of this machine by their ports.
func sameAddress(a, b string) bool {
	_, one, err := net.SplitHostPort(a)
	_, other, otherErr := net.SplitHostPort(b)
	return err == nil && otherErr == nil && one == other
}
