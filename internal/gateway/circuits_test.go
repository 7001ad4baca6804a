package gateway_test

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/breaker"
)

const brokenProto = `syntax = "proto3";
package broken.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Service {
  option (transom.v1.service) = { circuit_breaker: { consecutive_failures: 3 open_for: { seconds: 3600 } } };
  rpc Read(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (google.api.http) = { get: "/v1/read" };
  }
  rpc Other(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (google.api.http) = { get: "/v1/other" };
  }
  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.Empty) {
    option (google.api.http) = { get: "/v1/watch" };
  }
}`

// TestCircuitBreaker: Traffic 99, 102, 106: three failures of a method stop its calls by every
// protocol, and no other method's; the client learns when to come again.
func TestCircuitBreaker(t *testing.T) {
	backend, address := startSick(t)
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: map[string]string{"broken.proto": brokenProto}, Log: &log})
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	backend.again(3, "")
	for range 3 {
		if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 503 || strings.Contains(a.Body, "CIRCUIT_OPEN") {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	backend.again(0, "")
	a := g.Do(t, "GET", "/v1/read", "")
	if wait := a.Header.Get("Retry-After"); a.Status != 503 || len(wait) != 4 || !strings.Contains(a.Body, `"reason":"CIRCUIT_OPEN"`) ||
		!strings.Contains(a.Body, `"upstream":"backend"`) || strings.Contains(a.Body, address) {
		t.Errorf("REST: %d, Retry-After %q: %s", a.Status, wait, a.Body)
	}
	a = g.Do(t, "POST", "/broken.v1.Service/Read", "{}", "Content-Type", "application/json", "Connect-Protocol-Version", "1")
	if a.Status != 503 || !strings.Contains(a.Body, `"code":"unavailable"`) {
		t.Errorf("Connect: %d %s", a.Status, a.Body)
	}
	var trailer metadata.MD
	err = conn.Invoke(t.Context(), "/broken.v1.Service/Read", new(emptypb.Empty), new(emptypb.Empty), grpc.Trailer(&trailer))
	info := new(errdetails.ErrorInfo)
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(*errdetails.ErrorInfo); ok {
			info = found
		}
	}
	if status.Code(err) != codes.Unavailable || info.GetReason() != "CIRCUIT_OPEN" || len(trailer["retry-after"]) != 1 {
		t.Errorf("gRPC: %v, %v, trailer %v", err, info, trailer)
	}
	if n := len(backend.again(0, "")); n != 0 {
		t.Errorf("%d calls arrived at the backend", n)
	}
	for _, path := range []string{"/v1/other", "/v1/watch"} {
		if a := g.Do(t, "GET", path, ""); a.Status != 200 {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	poll.Until(t, "a line of each refusal", func() bool { return strings.Count(log.String(), `"refused_by":"circuit_breaker"`) == 3 })
	if !strings.Contains(log.String(), `"msg":"circuit breaker","upstream":"backend","rpc":"broken.v1.Service/Read","from":"closed","to":"open"`) {
		t.Errorf("no line tells that it opened:\n%s", log.String())
	}
	scrape := httptest.NewRecorder()
	g.Telemetry.Metrics.Handler().ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`transom_circuit_state{rpc="broken.v1.Service/Read",upstream="backend"} 2`,
		`transom_circuit_state{rpc="broken.v1.Service/Other",upstream="backend"} 0`,
		`transom_policy_decisions_total{policy="circuit_breaker",result="refused",rpc="broken.v1.Service/Read"} 3`,
		`transom_upstream_panic{upstream="backend"} 0`,
	} {
		if !strings.Contains(scrape.Body.String(), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestCircuitOutlivesReloads: Traffic 106: an open breaker stays open while the gateway
// reloads again and again, under calls; changed parameters begin closed.
func TestCircuitOutlivesReloads(t *testing.T) {
	backend, address := startSick(t)
	const rule = "policies: [{ selector: broken.v1.Service.Read, policy: { circuit_breaker: { consecutive_failures: %, open_for: 1h } } }]\n"
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: map[string]string{"broken.proto": brokenProto},
		Config: strings.Replace(rule, "%", "2", 1)})
	backend.again(2, "")
	for range 2 {
		g.Do(t, "GET", "/v1/read", "")
	}
	backend.again(0, "")
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	callers.Go(func() {
		for ctx.Err() == nil {
			if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 503 {
				t.Errorf("an open breaker lets a call pass: %d", a.Status)
			}
		}
	})
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for range 20 {
		<-every.C
		if _, err := g.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	callers.Wait()
	if n := len(backend.again(0, "")); n != 0 {
		t.Errorf("%d calls arrived", n)
	}
	text, err := os.ReadFile(g.Config)
	if err == nil {
		err = os.WriteFile(g.Config, bytes.Replace(text, []byte("consecutive_failures: 2"), []byte("consecutive_failures: 3"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 200 {
		t.Errorf("with other parameters: %d", a.Status)
	}
	if n, err := g.SetCircuit("backend", "broken.v1.Service/Read", breaker.OpenByHand); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 503 || a.Header.Get("Retry-After") == "" ||
		!strings.Contains(a.Body, "an operator has stopped the calls of this method at the upstream backend") {
		t.Errorf("Traffic 102: opened by hand: %d %v %s", a.Status, a.Header, a.Body)
	}
	if n, err := g.SetCircuit("backend", "", breaker.Closed); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 200 {
		t.Errorf("closed again: %d", a.Status)
	}
	if _, err := g.SetCircuit("backend", "broken.v1.Service.Read", breaker.Closed); err == nil || !strings.Contains(err.Error(), `did you mean "broken.v1.Service/Read"?`) {
		t.Errorf("the selector's form: %v", err)
	}
	if _, err := g.SetCircuit("elsewhere", "", breaker.Closed); err == nil {
		t.Error("a breaker of no upstream is set")
	}
}
