package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// keptProto has a method that reads and one that writes.
const keptProto = `syntax = "proto3";
package kept.v1;
import "bookstore/v1/book.proto";
import "google/api/annotations.proto";
message Request { string name = 1; }
service Service {
  rpc Read(Request) returns (bookstore.v1.Shelf) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/kept/{name}" };
  }
  rpc Write(Request) returns (bookstore.v1.Shelf) { option (google.api.http) = { post: "/v1/kept/{name}" }; }
}`

// written is a backend whose one value changes with each write.
type written struct {
	version atomic.Int32
	// asked is closed when a write has come, whose client is to go then.
	asked chan struct{}
	// leave has a write end; nil for one that is carried out at once, and then waits for the
	// gateway to give it up.
	leave chan struct{}
	// lost tells that a write was given up before it was to end.
	lost atomic.Bool
}

// write makes a write, whose call has a context.
func (w *written) write(ctx context.Context) error {
	if w.leave == nil {
		w.version.Add(1)
		close(w.asked)
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	close(w.asked)
	<-w.leave
	w.lost.Store(ctx.Err() != nil)
	w.version.Add(1)
	return nil
}

// keptMethods starts a gateway before methods of a backend.
func keptMethods(t *testing.T, w *written, more string) *gatewaytest.Gateway {
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		request := new(pb.GetShelfRequest)
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Write") {
			if err := w.write(stream.Context()); err != nil {
				return err
			}
		}
		return stream.SendMsg(&pb.Shelf{Name: request.GetName(), BookCount: w.version.Load()})
	})
	return gatewaytest.Start(t, gatewaytest.Options{
		Backend: backend, Protos: map[string]string{"kept.proto": keptProto},
		Config: `policies:
- { selector: kept.v1.Service.Read, policy: { cache: { ttl: 600s, tags: ["n:{name}"] } } }
- { selector: kept.v1.Service.Write, policy: { cache: { invalidates: ["n:{name}"] }` + more + ` } }
`,
	})
}

// keptRoute starts a gateway before a route of a backend.
func keptRoute(t *testing.T, w *written, more string) *gatewaytest.Gateway {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && w.write(r.Context()) != nil {
			return
		}
		rw.Header().Set("Cache-Control", "max-age=600")
		_, _ = fmt.Fprint(rw, "version ", w.version.Load()) // the client looks
	}))
	t.Cleanup(server.Close)
	return startCachedRoute(t, strings.TrimPrefix(server.URL, "http://"), "{}"+more, "")
}

// TestWriteThatOutlivesItsClient: Traffic 87 and 127: a write under a key that ends after its
// client has gone drops the answers about it when it ends; one without a key is given up, and
// drops them, too, for nobody knows whether it was carried out.
func TestWriteThatOutlivesItsClient(t *testing.T) {
	for name, start := range map[string]func(*testing.T, *written, string) *gatewaytest.Gateway{"method": keptMethods, "route": keptRoute} {
		t.Run(name+"/with a key", func(t *testing.T) {
			w := &written{asked: make(chan struct{}), leave: make(chan struct{})}
			g := start(t, w, ", idempotency_key: { scope: METHOD }")
			before := readKept(t, g)
			writeAndGo(t, g, w)
			got := readKept(t, g)
			close(w.leave)
			if got != before {
				t.Fatalf("before the write has ended: %s, want %s", got, before)
			}
			poll.Until(t, "what the write has changed is read", func() bool { return readKept(t, g) != before })
			if w.lost.Load() {
				t.Error("the write was given up when its client went")
			}
		})
		t.Run(name+"/without a key", func(t *testing.T) {
			w := &written{asked: make(chan struct{})}
			g := start(t, w, "")
			before := readKept(t, g)
			writeAndGo(t, g, w)
			poll.Until(t, "what the write has changed is read", func() bool { return readKept(t, g) != before })
		})
	}
}

// readKept reads the value through a gateway.
func readKept(t *testing.T, g *gatewaytest.Gateway) string {
	t.Helper()
	response, err := g.Client.Get(g.URL + "/v1/kept/a")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %q, %v", response.Status, body, err)
	}
	return string(body)
}

// writeAndGo begins a write by a client that goes when the backend has it.
func writeAndGo(t *testing.T, g *gatewaytest.Gateway, w *written) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/v1/kept/a", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", "k")
	gone := make(chan error, 1)
	go func() {
		response, err := g.Client.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		gone <- err
	}()
	select {
	case <-w.asked:
	case err := <-gone:
		t.Fatalf("the write did not wait: %v", err)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("the client has %v, want that it went", err)
	}
}
