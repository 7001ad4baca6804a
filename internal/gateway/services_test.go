package gateway_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// Who does not want to tell everybody what there is switches reflection off.
func TestOwnServicesOff(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "own_services: { reflection: false }\n"})
	conn := grpctest.Dial(t, g.Addr)
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("reflection: %v", err)
	}
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
}

// TestOwnServicesTakePolicies: what defaults and policies say holds for health and
// reflection as for any method (Semantics 330).
func TestOwnServicesTakePolicies(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: `
auth: { jwt: [{ issuer: tests, secret: "0123456789abcdef0123456789abcdef" }] }
policies:
  - selector: grpc.reflection.v1.ServerReflection.*
    policy: { auth: { jwt: {} } }
  - selector: grpc.health.v1.Health.Check
    policy: { rate_limit: [{ requests: 1, per: 86400s, key: ROUTE }], headers: { response: { set: { x-seen: "yes" } } } }
`})
	conn := grpctest.Dial(t, g.Addr)
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection v1 without a token: %v", err)
	}
	alpha, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := alpha.Send(&reflectionv1alpha.ServerReflectionRequest{ //nolint:staticcheck // old clients still ask it
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := alpha.Recv(); err != nil {
		t.Errorf("reflection v1alpha, of which no policy speaks: %v", err)
	}
	_ = alpha.CloseSend()
	const check = "/grpc.health.v1.Health/Check"
	if a := g.Do(t, "POST", check, `{}`); a.Status != 200 || a.Header.Get("X-Seen") != "yes" {
		t.Errorf("health: %d %s %v", a.Status, a.Body, a.Header)
	}
	if a := g.Do(t, "POST", check, `{}`); a.Status != 429 {
		t.Errorf("health for the second time: %d %s", a.Status, a.Body)
	}
	for _, r := range g.Routes() {
		if strings.HasPrefix(r.RPC, "grpc.") {
			t.Errorf("the listing has %s", r.RPC)
		}
	}
}

func TestOwnServices(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	conn := grpctest.Dial(t, g.Addr)
	const service = "bookstore.v1.BookstoreService"
	health := healthv1.NewHealthClient(conn)
	for _, name := range []string{"", service} {
		answer, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: name})
		if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("Semantics 45: health of %q: %v %v", name, answer, err)
		}
	}
	v1, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := v1.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := v1.Recv()
	if err != nil || !strings.Contains(answer.String(), service) {
		t.Errorf("Semantics 45: v1 lists %v %v", answer, err)
	}
	_ = v1.CloseSend()
	alpha, err := reflectionv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := alpha.Send(&reflectionv1alpha.ServerReflectionRequest{ //nolint:staticcheck // old clients still ask it
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service}, //nolint:staticcheck // old clients still ask it
	}); err != nil {
		t.Fatal(err)
	}
	described, err := alpha.Recv()
	if err != nil || len(described.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 { //nolint:staticcheck // old clients still ask it
		t.Errorf("Semantics 45: v1alpha describes %v %v", described, err)
	}
	_ = alpha.CloseSend()
}

// TestOwnServicesByAll has clients of the other protocols ask, too.
func TestOwnServicesByAll(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	const check = "/grpc.health.v1.Health/Check"
	t.Run("JSON", func(t *testing.T) {
		if a := g.Do(t, "POST", check, `{}`); a.Status != 200 || a.Body != `{"status":"SERVING"}` {
			t.Errorf("Semantics 45: %d %s", a.Status, a.Body)
		}
		if a := g.Do(t, "POST", check, `{"service":"no.Such"}`); a.Status != 404 || !strings.Contains(a.Body, "not_found") {
			t.Errorf("an unknown service: %d %s", a.Status, a.Body)
		}
		if a := g.Do(t, "POST", check, `{"servise":""}`); a.Status != 400 {
			t.Errorf("an unknown field: %d %s", a.Status, a.Body)
		}
		if a := g.Do(t, "GET", check, ""); a.Status != 405 {
			t.Errorf("a GET: %d %s", a.Status, a.Body)
		}
	})
	for name, option := range map[string]connect.ClientOption{
		"Connect": connect.WithClientOptions(), "gRPC-Web": connect.WithGRPCWeb(), "gRPC": connect.WithGRPC(),
	} {
		t.Run(name, func(t *testing.T) {
			health := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](g.HTTP2, g.URL+check, option)
			answer, err := health.CallUnary(t.Context(), connect.NewRequest(&healthv1.HealthCheckRequest{}))
			if err != nil || answer.Msg.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Errorf("Semantics 45: %v, %v", answer, err)
			}
			asked := connect.NewClient[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse](
				g.HTTP2, g.URL+reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName, option).CallBidiStream(t.Context())
			for range 2 {
				err := asked.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
				if err != nil {
					t.Fatal(err)
				}
				if answer, err := asked.Receive(); err != nil || !strings.Contains(answer.String(), "bookstore.v1.BookstoreService") {
					t.Fatalf("Semantics 45: %v, %v", answer, err)
				}
			}
			if err := asked.CloseRequest(); err != nil {
				t.Error(err)
			}
			if _, err := asked.Receive(); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end: %v", err)
			}
			if err := asked.CloseResponse(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHealthIsWatched: who watches hears when the gateway shuts down.
func TestHealthIsWatched(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	watch := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](g.HTTP2, g.URL+healthv1.Health_Watch_FullMethodName)
	stream, err := watch.CallServerStream(t.Context(), connect.NewRequest(&healthv1.HealthCheckRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", stream.Msg(), stream.Err())
	}
	g.Drain()
	for stream.Receive() {
		if s := stream.Msg().GetStatus(); s != healthv1.HealthCheckResponse_NOT_SERVING {
			t.Errorf("got %v", s)
		}
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("the end: %v", stream.Err())
	}
	_ = stream.Close() // it has ended
}
