package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const sourceProto = `syntax = "proto3";
package source.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
message Part { string text = 1; int32 n = 2; }
message Whole { string name = 1; string text = 2; int32 n = 3; Part part = 4; google.api.HttpBody file = 5; }
service Source {
  rpc Put(Whole) returns (Whole) {
    option (google.api.http) = {
      post: "/v1/{name=a/*}" body: "*"
      additional_bindings { put: "/v1/{name=a/*}" body: "*" }
      additional_bindings { post: "/v1/{name=b/*}" body: "part" }
      additional_bindings { post: "/v1/{name=c/*}" body: "file" }
    };
  }
}`

const sourceConfig = `
rest: { method_override: true }
policies:
  - { selector: source.v1.Source.Put, policy: { idempotency_key: { scope: METHOD } } }
`

// sourceMessage is what the service is asked and answers.
type sourceMessage struct {
	Name, Text string
	N          int
	Part       struct {
		Text string
		N    int
	}
	File struct{ ContentType, Data string }
}

// TestSources: Traffic 85: a request gets the answer of another one under its key only if both make one message,
// in whatever way each was written. Each request stands before and behind each other one, under a
// key of theirs. What their messages are, the gateway says where they have no key.
func TestSources(t *testing.T) {
	var squeezed bytes.Buffer
	w := gzip.NewWriter(&squeezed)
	if _, err := w.Write([]byte(`{"text":"a"}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	type request struct {
		method, path, body string
		headers            []string
	}
	requests := []request{
		{"POST", "/v1/a/1", `{"text":"a"}`, nil},
		{"POST", "/v1/a/1", `{"text" : "a"}`, nil},
		{"POST", "/v1/a/1", `{"text":"a"}`, []string{"Content-Type", "application/json; charset=utf-8"}},
		{"POST", "/v1/a/1", squeezed.String(), []string{"Content-Encoding", "gzip"}},
		{"PUT", "/v1/a/1", `{"text":"a"}`, nil},
		{"POST", "/v1/a/1", `{"text":"a"}`, []string{"X-Http-Method-Override", "PUT"}},
		{"POST", "/v1/a/2", `{"text":"a"}`, nil},
		{"POST", "/v1/a/%31", `{"text":"a"}`, nil},
		{"POST", "/v1/b/1", `{"text":"a"}`, nil},
		{"POST", "/v1/b/1?text=a", `{"n":1}`, nil},
		{"POST", "/v1/b/1?text=a", `{"n":2}`, nil},
		{"POST", "/v1/b/1?text=b", `{"n":1}`, nil},
		{"POST", "/v1/c/1", `{"text":"a"}`, []string{"Content-Type", "application/json"}},
		{"POST", "/v1/c/1", `{"text":"a"}`, []string{"Content-Type", "text/plain"}},
		{"POST", "/v1/a/1", "text=a", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"POST", "/v1/a/1", "\x12\x01a", []string{"Content-Type", "application/x-protobuf", "Accept", "application/json"}},
		{"POST", "/source.v1.Source/Put", `{"name":"a/1","text":"a"}`, []string{"Connect-Protocol-Version", "1"}},
		{"POST", "/v1/a/1", ``, nil},
		{"POST", "/v1/a/1", `{}`, nil},
		{"POST", "/v1/a/1", `{"text":1}`, nil},
		{"POST", "/v1/a/1", `{"text":"a"`, nil},
	}
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		request := new(emptypb.Empty)
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		return stream.SendMsg(request)
	})
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"source.proto": sourceProto}, Backend: backend, Config: sourceConfig,
	})
	send := func(q request, headers ...string) gatewaytest.Answer {
		answer := g.Do(t, q.method, q.path, q.body, append(headers, q.headers...)...)
		if answer.Status == http.StatusOK { // Connect leaves fields out that are not set
			message := new(sourceMessage)
			if err := json.Unmarshal([]byte(answer.Body), message); err != nil {
				t.Fatal(err)
			}
			answer.Body = fmt.Sprintf("%+v", *message)
		}
		return answer
	}
	bare := make([]gatewaytest.Answer, len(requests))
	for i, q := range requests {
		if bare[i] = send(q); bare[i].Status != http.StatusOK && i < len(requests)-2 {
			t.Fatalf("%+v: %d %s", q, bare[i].Status, bare[i].Body)
		}
	}
	for i, first := range requests {
		for j, second := range requests {
			key := fmt.Sprintf("%d-%d", i, j)
			for range 2 {
				if got := send(first, "Idempotency-Key", key); got.Status != bare[i].Status || got.Body != bare[i].Body {
					t.Fatalf("%+v: %d %s, without a key %d %s", first, got.Status, got.Body, bare[i].Status, bare[i].Body)
				}
			}
			got, want := send(second, "Idempotency-Key", key), bare[j]
			if want.Status == http.StatusOK && bare[i].Status == http.StatusOK && bare[i].Body != bare[j].Body {
				if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "another request") {
					t.Errorf("%+v under the key of %+v: %d %s", second, first, got.Status, got.Body)
				}
				continue
			}
			if got.Status != want.Status || got.Body != want.Body {
				t.Errorf("%+v under the key of %+v: %d %s, want %d %s", second, first, got.Status, got.Body, want.Status, want.Body)
			}
			if replayed := got.Header.Get("Idempotent-Replayed") != ""; replayed != (want.Status == http.StatusOK && bare[i].Status == http.StatusOK) {
				t.Errorf("%+v under the key of %+v: replayed: %v", second, first, replayed)
			}
		}
	}
}
