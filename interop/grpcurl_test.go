package interop

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// buildGrpcurl builds the real grpcurl, of the version that go.mod names.
func buildGrpcurl(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "grpcurl")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/fullstorydev/grpcurl/cmd/grpcurl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building grpcurl: %v\n%s", err, out)
	}
	return bin
}

// The exit codes of grpcurl: a gRPC status is 64 and its number.
const (
	grpcurlNotFound = 64 + 5
	grpcurlTooLate  = 64 + 4
)

// TestGrpcurl has grpcurl, which knows nothing but what the gateway's reflection
// tells, do all that it can do.
func TestGrpcurl(t *testing.T) {
	bin := buildGrpcurl(t)
	g := gatewaytest.Start(t, gatewaytest.Options{})

	secure := httptest.NewUnstartedServer(g)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, certificate(secure.TLS), 0o600); err != nil {
		t.Fatal(err)
	}
	const service = "bookstore.v1.BookstoreService"
	for transport, at := range map[string][]string{
		"cleartext": {"-plaintext", g.Addr},
		"TLS":       {"-cacert", authority, "-authority", "example.com", secure.Listener.Addr().String()},
	} {
		flags, address := at[:len(at)-1], at[len(at)-1]
		for name, c := range map[string]struct {
			flags []string // in front of the address
			verb  []string // behind it
			code  int
			want  []string
		}{
			"Semantics 45: list": {nil, []string{"list"}, 0, []string{
				"bookstore.v1.BookstoreService\n", "grpc.health.v1.Health\n", "grpc.reflection.v1.ServerReflection\n"}},
			"list of methods":    {nil, []string{"list", service}, 0, []string{service + ".GetShelf\n", service + ".Discuss\n"}},
			"describe a service": {nil, []string{"describe", service}, 0, []string{service + " is a service:", "rpc GetShelf (", `get: "/v1/{name=shelves/*}"`}},
			"describe a method": {nil, []string{"describe", service + ".Discuss"}, 0, []string{
				"rpc Discuss ( stream .bookstore.v1.DiscussRequest ) returns ( stream .bookstore.v1.DiscussResponse )"}},
			"describe a message": {nil, []string{"describe", "bookstore.v1.Shelf"}, 0, []string{"bookstore.v1.Shelf is a message:", "string name = 1"}},
			"a template of a message": {[]string{"-msg-template"}, []string{"describe", "bookstore.v1.GetShelfRequest"}, 0, []string{
				"Message template:", `"name": ""`}},
			"unary": {[]string{"-d", `{"name":"shelves/1"}`}, []string{service + "/GetShelf"}, 0, []string{`"name": "shelves/1"`}},
			"server streaming": {[]string{"-d", `{"parent":"shelves/1","count":1}`}, []string{service + "/WatchBooks"}, 0, []string{
				`"sequence": "1"`, `"sequence": "3"`}},
			"client streaming": {[]string{"-d", `{"parent":"shelves/2","book":{"title":"a"}} {"book":{"title":"b"}}`}, []string{service + "/ImportBooks"}, 0, []string{
				`"names": [`, `"shelves/2/books/`}},
			"bidi": {[]string{"-d", `{"text":"a"}{"text":"b"}`}, []string{service + "/Discuss"}, 0, []string{"You said: a", "You said: b"}},
			"an error": {[]string{"-d", `{"name":"shelves/99"}`}, []string{service + "/GetShelf"}, grpcurlNotFound, []string{
				"Code: NotFound", "shelves/99"}},
			"an error with details": {[]string{"-d", `{"code":5,"message":"no such thing","rich":true}`}, []string{service + "/Fail"}, grpcurlNotFound, []string{
				"Code: NotFound", "Message: no such thing", "google.rpc.ErrorInfo", "TOLD_TO", "google.rpc.BadRequest"}},
			"a method that is not there": {nil, []string{service + "/Vanish"}, 1, []string{"does not include a method named \"Vanish\""}},
			"time that is over": {[]string{"-max-time", "5", "-d", `{"parent":"shelves/1","interval":"60s"}`}, []string{service + "/WatchBooks"}, grpcurlTooLate, []string{
				"Code: DeadlineExceeded"}},
			"metadata": {[]string{"-H", "x-request-id: harbour-7", "-v", "-d", `{"name":"shelves/1"}`}, []string{service + "/GetShelf"}, 0, []string{
				"x-request-id: harbour-7", "Response contents:", "Response trailers received:"}},
			"Semantics 45: health":              {nil, []string{"grpc.health.v1.Health/Check"}, 0, []string{`"status": "SERVING"`}},
			"Semantics 45: health of a service": {[]string{"-d", `{"service":"` + service + `"}`}, []string{"grpc.health.v1.Health/Check"}, 0, []string{`"status": "SERVING"`}},
		} {
			t.Run(transport+"/"+name, func(t *testing.T) {
				args := append(append(append(append([]string{}, flags...), c.flags...), address), c.verb...)
				code, out := grpcurl(t, bin, args...)
				if code != c.code {
					t.Errorf("exit code %d, want %d", code, c.code)
				}
				for _, want := range c.want {
					if !strings.Contains(out, want) {
						t.Errorf("no %q", want)
					}
				}
				if t.Failed() {
					t.Logf("grpcurl %q:\n%s", args, out)
				}
			})
		}
	}
}

// grpcurl runs one command and gives all that it wrote.
func grpcurl(t *testing.T, bin string, args ...string) (code int, out string) {
	t.Helper()
	text, err := exec.CommandContext(context.WithoutCancel(t.Context()), bin, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return code, string(text)
}

// certificate is a server's own, in PEM.
func certificate(c *tls.Config) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificates[0].Certificate[0]})
}
