package interop

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/grpcgo"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// TestGRPCInterop runs gRPC's own interoperability tests for clients
// (doc/interop-test-descriptions.md) over the connections that calls to
// backends take, against the server that belongs to them: behind grpc-go's
// HTTP/2, behind net/http's and behind nginx. A test that fails ends the process,
// with its reason.
func TestGRPCInterop(t *testing.T) {
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, interop.NewTestServer())
	t.Cleanup(server.Stop)
	direct := listenLocally(t)
	go func() { _ = server.Serve(direct) }() // it says that it was stopped
	for name, target := range map[string]string{
		"grpc-go":  direct.Addr().String(),
		"net_http": serveHTTP2(t, server),
		"nginx":    startNginx(t, direct.Addr().String()),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: target})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Release)
			runGRPCInterop(t, attempt.NewClient(conn))
			t.Run("by grpc-go's client", func(t *testing.T) {
				conn, err := grpcgo.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: target})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(conn.Release)
				runGRPCInterop(t, attempt.NewClientOf(conn, conn.Backend(attempt.MaxOwnMessage)))
			})
		})
	}
}

func listenLocally(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serveHTTP2 serves a handler over cleartext HTTP/2 by net/http.
func serveHTTP2(t *testing.T, handler http.Handler) (address string) {
	t.Helper()
	listener := listenLocally(t)
	server := &http.Server{Handler: handler, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }() // it says that it was closed
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// startNginx starts nginx in front of a gRPC server, on a socket in a folder.
func startNginx(t *testing.T, backend string) (target string) {
	t.Helper()
	folder := t.TempDir()
	runNginx(t, folder, fmt.Sprintf(`	server {
		listen unix:%[1]s/socket http2;
		keepalive_requests 5; # it leaves often, in the middle of things
		client_max_body_size 0;
		location / { grpc_pass grpc://%[2]s; }
	}
`, folder, backend))
	socket := filepath.Join(folder, "socket")
	poll.Until(t, "nginx to listen", func() bool { // there is a file before anybody listens
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return "unix:" + socket
}

func runGRPCInterop(t *testing.T, conn grpc.ClientConnInterface) {
	t.Helper()
	client := testpb.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, run := range map[string]func(context.Context, testpb.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"custom_metadata":             interop.DoCustomMetadata,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
		"special_status_message":      interop.DoSpecialStatusMessage,
	} {
		t.Run(name, func(*testing.T) { run(ctx, client) })
	}
	t.Run("unimplemented_service", func(*testing.T) { interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(conn)) })
}
