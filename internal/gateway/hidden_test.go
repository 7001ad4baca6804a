package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// secretProto is a service that nobody is to know of, with messages of its own.
const secretProto = `syntax = "proto3";
package secret.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Vault {
  rpc Open(Key) returns (Key) { option (google.api.http) = { get: "/v1/vault/{id}" }; }
  rpc Watch(Key) returns (stream Key) { option (google.api.http) = { get: "/v1/vault/{id}:watch" }; }
}
message Key { string id = 1; }
`

// shownProto has one method of two hidden by an option of its own.
const shownProto = `syntax = "proto3";
package shown.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Desk {
  rpc Ask(Question) returns (Question) { option (google.api.http) = { get: "/v1/desk/{id}" }; }
  rpc Fire(Question) returns (Question) {
    option (google.api.http) = { get: "/v1/fire/{id}" };
    option (transom.v1.method) = { hidden: true };
  }
}
message Question { string id = 1; }
`

// TestHidden: what is hidden, or not among the services of a source, answers as what
// does not exist, by every protocol, and is in no listing (Semantics 319).
func TestHidden(t *testing.T) {
	served := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error { return stream.SendMsg(&emptypb.Empty{}) })
	for name, config := range map[string]string{
		"a policy for a service": "policies: [{ selector: secret.v1.Vault.*, policy: { hidden: true } }]\n",
		"a policy for a package": "policies: [{ selector: secret.v1.*, policy: { hidden: true } }]\n",
		"exclude":                "", "services": "",
	} {
		t.Run("Semantics 319: "+name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Backend: served, NoBookstore: true, Config: config,
				Protos: map[string]string{"secret/v1/secret.proto": secretProto, "shown/v1/shown.proto": shownProto}})
			switch name {
			case "exclude":
				refilter(t, g, `exclude: ["secret.*"]`)
			case "services":
				refilter(t, g, `services: [shown.v1.Desk]`)
			}
			for _, rpc := range []string{"secret.v1.Vault/Open", "shown.v1.Desk/Fire"} {
				sameAsNothing(t, g, "POST", "/"+rpc, "/"+rpc[:len(rpc)-1]+"x")
			}
			sameAsNothing(t, g, "GET", "/v1/vault/1", "/v1/vaulx/1")
			sameAsNothing(t, g, "GET", "/v1/vault/1:watch", "/v1/vaulx/1:watch")
			sameAsNothing(t, g, "GET", "/v1/fire/1", "/v1/firx/1")
			if a := g.Do(t, "GET", "/v1/desk/1", ""); a.Status != 200 {
				t.Errorf("the other method: %d %s", a.Status, a.Body)
			}
			for _, r := range g.Routes() {
				if !strings.HasPrefix(r.RPC, "shown.v1.Desk/Ask") {
					t.Errorf("the listing has %s", r.RPC)
				}
			}
			checkHiddenServices(t, g)
		})
	}
	t.Run("Semantics 319: a narrower policy shows it again", func(t *testing.T) {
		g := gatewaytest.Start(t, gatewaytest.Options{Backend: served, NoBookstore: true, Protos: map[string]string{"shown/v1/shown.proto": shownProto},
			Config: "policies: [{ selector: shown.v1.Desk.Fire, policy: { hidden: false } }]\n"})
		if a := g.Do(t, "GET", "/v1/fire/1", ""); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	})
	t.Run("Semantics 319: a pattern that names nothing", func(t *testing.T) {
		g := gatewaytest.Start(t, gatewaytest.Options{Backend: served, NoBookstore: true, Protos: map[string]string{"shown/v1/shown.proto": shownProto}})
		refilter(t, g, `services: [shown.v1.Desk, shown.v1.Desc]`)
		problems := g.Status().Problems
		if len(problems) != 1 || !strings.Contains(problems[0].Message, "schemas[0].services: there is no service shown.v1.Desc; did you mean shown.v1.Desk?") || problems[0].Line != 1 {
			t.Errorf("said %v", problems)
		}
	})
}

// refilter adds a setting to the first source and loads it.
func refilter(t *testing.T, g *gatewaytest.Gateway, setting string) {
	t.Helper()
	text, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "directory: ./protos", "directory: ./protos, "+setting, 1)
	if err := os.WriteFile(g.Config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// sameAsNothing compares the answers at a path with those at one that does not
// exist, by every protocol.
func sameAsNothing(t *testing.T, g *gatewaytest.Gateway, method, path, nothing string) {
	t.Helper()
	forms := map[string][]string{
		"REST": {}, "Connect": {"Content-Type", "application/json", "Connect-Protocol-Version", "1"},
		"Connect stream": {"Content-Type", "application/connect+json"},
		"gRPC-Web":       {"Content-Type", "application/grpc-web+proto"},
		"gRPC":           {"Content-Type", "application/grpc", "Te", "trailers"},
		"WebSocket":      {"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
		"preflight":      {"Origin", "https://a.example", "Access-Control-Request-Method", "GET"},
	}
	for name, headers := range forms {
		client, verb := g.Client, method
		switch name {
		case "gRPC":
			client, verb = g.HTTP2, "POST"
		case "WebSocket":
			verb = "GET"
		case "preflight":
			verb = "OPTIONS"
		case "REST":
		default:
			verb = "POST"
		}
		is, want := g.DoWith(t, client, verb, path, "", headers...), g.DoWith(t, client, verb, nothing, "", headers...)
		same := func(a gatewaytest.Answer, path string) string {
			h := a.Header.Clone()
			for _, varying := range []string{"Date", "X-Request-Id", "Content-Length"} {
				h.Del(varying)
			}
			all := a.Body + " " + headerText(h)
			return strings.ReplaceAll(strings.ReplaceAll(all, path, "PATH"), strings.ReplaceAll(path, "/", "%2F"), "PATH")
		}
		if is.Status != want.Status || same(is, path) != same(want, nothing) {
			t.Errorf("%s %s: %d %s\nwant %d %s", name, path, is.Status, same(is, path), want.Status, same(want, nothing))
		}
	}
}

func headerText(h http.Header) string {
	var b strings.Builder
	_ = h.Write(&b) // a builder never fails
	return b.String()
}

// checkHiddenServices asks health and reflection.
func checkHiddenServices(t *testing.T, g *gatewaytest.Gateway) {
	t.Helper()
	conn := dial(t, g)
	health := healthv1.NewHealthClient(conn)
	// Of a service that was there before a reload, health says that it is unknown.
	answer, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "secret.v1.Vault"})
	if status.Code(err) != codes.NotFound && answer.GetStatus() != healthv1.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("health of the hidden service: %v %v", answer, err)
	}
	if _, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: "shown.v1.Desk"}); err != nil {
		t.Errorf("health of the other service: %v", err)
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	var listed []string
	for _, s := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		listed = append(listed, s.GetName())
	}
	if slices.Contains(listed, "secret.v1.Vault") || !slices.Contains(listed, "shown.v1.Desk") {
		t.Errorf("reflection lists %v", listed)
	}
	for _, name := range []string{"secret.v1.Vault", "secret.v1.Vault.Open", "secret.v1.Key", "shown.v1.Desk.Fire", "shown.v1.Desk", "shown.v1.Question"} {
		answer := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}})
		hidden := strings.HasPrefix(name, "secret") || strings.HasSuffix(name, "Fire")
		// Of the own messages of a service that a policy hides the same holds.
		if (answer.GetErrorResponse() != nil) != hidden {
			t.Errorf("reflection of %s: %v", name, answer)
		}
		for _, file := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
			if strings.Contains(string(file), "Fire") || strings.Contains(string(file), "Vault") {
				t.Errorf("the file of %s tells what is hidden", name)
			}
		}
	}
	byName := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: filepath.Join("secret", "v1", "secret.proto")}})
	if byName.GetErrorResponse() == nil {
		t.Errorf("the hidden file: %v", byName)
	}
	_ = stream.CloseSend()
}
