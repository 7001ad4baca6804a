package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

const shelvedProto = `syntax = "proto3";
package shelved.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/wrappers.proto";
import "transom/v1/annotations.proto";
service Shelf {
  rpc Shared(google.protobuf.Empty) returns (google.protobuf.StringValue) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/shared" };
    option (transom.v1.method) = { cache: { ttl: { seconds: 3600 } tags: "shelf" store: REDIS } };
  }
  rpc Own(google.protobuf.Empty) returns (google.protobuf.StringValue) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/own" };
    option (transom.v1.method) = { cache: { ttl: { seconds: 3600 } tags: "shelf" } };
  }
  rpc Write(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (google.api.http) = { post: "/v1/write" body: "*" };
    option (transom.v1.method) = { cache: { invalidates: "shelf" } };
  }
}
`

// TestTwoGatewaysShareAnswers: Traffic 127, 129: of two processes that share a Redis, one has the
// answers that the other fetched, and no longer once a write at the other has dropped them; also where
// they are in memory alone, and where the gateway that wrote is killed.
func TestTwoGatewaysShareAnswers(t *testing.T) {
	var version, asked atomic.Int64
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		if method, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(method, "/Write") {
			version.Add(1)
			return stream.SendMsg(new(emptypb.Empty))
		}
		asked.Add(1)
		return stream.SendMsg(wrapperspb.String(fmt.Sprint("version ", version.Load())))
	})
	server := redistest.Start(t)
	dir := folder(t, map[string]string{"protos/shelved.proto": shelvedProto, "transom.yaml": fmt.Sprintf(
		"schemas: [{ directory: ./protos }]\nupstreams: { shelf: { grpc: { target: %q } } }\nstores: { redis: { url: %q, timeout: 10s } }\n", backend, server.URL)})
	bin := buildTransom(t)
	one, other := startProcess(t, bin, "--config", dir+"/transom.yaml"), startProcess(t, bin, "--config", dir+"/transom.yaml")
	get := func(gateway *process, path string) string {
		t.Helper()
		return fetch(t, http.MethodGet, gateway.url+path)
	}
	is := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	is(get(one, "/v1/shared"), `"version 0"`)
	is(get(one, "/v1/own"), `"version 0"`)
	client := server.Client(t)
	poll.Until(t, "the answer in Redis", func() bool { return len(client.Keys(t.Context(), "transom:cache:*").Val()) == 1 })
	is(get(other, "/v1/shared"), `"version 0"`)
	is(get(other, "/v1/own"), `"version 0"`)
	if n := asked.Load(); n != 3 { // the one that is shared once, the other one by each
		t.Errorf("the backend was asked %d times", n)
	}

	is(fetch(t, http.MethodPost, other.url+"/v1/write"), `{}`)
	is(get(other, "/v1/shared"), `"version 1"`)
	is(get(other, "/v1/own"), `"version 1"`)
	poll.Until(t, "the other gateway to drop what it has", func() bool {
		return get(one, "/v1/shared") == `"version 1"` && get(one, "/v1/own") == `"version 1"`
	})

	is(fetch(t, http.MethodPost, other.url+"/v1/write"), `{}`)
	other.once.Do(func() {
		_ = other.cmd.Process.Kill() // that is what is tried
		<-other.ended                //nolint:errcheck // "signal: killed"
	})
	poll.Until(t, "what a gateway has dropped that is no more", func() bool {
		return get(one, "/v1/shared") == `"version 2"` && get(one, "/v1/own") == `"version 2"`
	})
}

// fetch makes a request and returns what it is answered.
func fetch(t *testing.T, method, url string) string {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s, %v", method, url, answer.StatusCode, text, err)
	}
	return string(text)
}
