package gateway_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const taggedProto = `syntax = "proto3";
package tagged.v1;
import "google/api/annotations.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Service {
  rpc Read(google.protobuf.Empty) returns (google.protobuf.StringValue) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/read" additional_bindings { post: "/v1/read" body: "*" } };
    option (transom.v1.method) = { cache: { validators_only: true } };
  }
  rpc Plain(google.protobuf.Empty) returns (google.protobuf.StringValue) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/plain" };
  }
}`

// taggedServer answers as the test says.
type taggedServer struct {
	mu      sync.Mutex
	text    string
	raw     []byte // the message, in the place of text
	header  metadata.MD
	trailer metadata.MD
	err     error
}

func (s *taggedServer) set(text string, header metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.raw, s.header, s.trailer, s.err = text, nil, header, nil, nil
}

func (s *taggedServer) fail(err error, trailer metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.trailer = err, trailer
}

func (s *taggedServer) start(t *testing.T, proto string) *gatewaytest.Gateway {
	t.Helper()
	return s.startWith(t, proto, "")
}

// startWith starts it behind a gateway whose configuration has more.
func (s *taggedServer) startWith(t *testing.T, proto, config string) *gatewaytest.Gateway {
	t.Helper()
	address := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		stream.SetTrailer(s.trailer)
		if s.err != nil {
			return s.err
		}
		if err := stream.SetHeader(s.header); err != nil {
			return err
		}
		if s.raw != nil {
			answer := new(emptypb.Empty)
			answer.ProtoReflect().SetUnknown(s.raw)
			return stream.SendMsg(answer)
		}
		return stream.SendMsg(wrapperspb.String(s.text))
	})
	return gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: map[string]string{"tagged.proto": proto}, Config: config})
}

const (
	taggedGet      = "/tagged.v1.Service/Read?connect=v1&encoding=json&message=%7B%7D"
	taggedProtoGet = "/tagged.v1.Service/Read?connect=v1&encoding=proto&message="
)

// TestEntityTags: Traffic 121: answers to GET and HEAD have the backend's entity tag, else
// a weak one that stays while the answer and its form do.
func TestEntityTags(t *testing.T) {
	s := &taggedServer{text: "one"}
	g := s.start(t, taggedProto)
	tag := func(path string, headers ...string) string {
		t.Helper()
		a := g.Do(t, "GET", path, "", headers...)
		if a.Status != 200 {
			t.Fatalf("%s: got %d, %s", path, a.Status, a.Body)
		}
		return a.Header.Get("Etag")
	}
	t.Run("Traffic 121: a weak one of the gateway's", func(t *testing.T) {
		rest, connect, binary := tag("/v1/read"), tag(taggedGet), tag(taggedProtoGet)
		for _, one := range []string{rest, connect, binary} {
			if !strings.HasPrefix(one, `W/"`) || len(one) != len(`W/""`)+22 {
				t.Errorf("got %q", one)
			}
		}
		if rest == connect || connect == binary || rest == binary {
			t.Errorf("other forms have equal tags: %s, %s, %s", rest, connect, binary)
		}
		if again := tag("/v1/read"); again != rest {
			t.Errorf("the same answer has %s and %s", rest, again)
		}
		if a := g.Do(t, "HEAD", "/v1/read", ""); a.Header.Get("Etag") != rest {
			t.Errorf("HEAD has %q, GET %q", a.Header.Get("Etag"), rest)
		}
		s.mu.Lock()
		s.raw = []byte("\x0a\x03two\x0a\x03one") // the last one holds
		s.mu.Unlock()
		if again := tag("/v1/read"); again != rest {
			t.Errorf("the same answer, written in another way, has %s and %s", rest, again)
		}
		s.set("two", nil)
		if other := tag("/v1/read"); other == rest {
			t.Errorf("another answer has %s, too", rest)
		}
	})
	t.Run("Traffic 121: the backend's", func(t *testing.T) {
		for own, want := range map[string]string{`"v1"`: `"v1"`, `W/"v1"`: `W/"v1"`} {
			s.set("one", metadata.Pairs("etag", own, "cache-control", "max-age=5"))
			for _, path := range []string{"/v1/read", taggedGet} {
				a := g.Do(t, "GET", path, "")
				if got := a.Header.Values("Etag"); len(got) != 1 || got[0] != want || a.Header.Get("Cache-Control") != "max-age=5" {
					t.Errorf("%s: got %q, %q", path, got, a.Header)
				}
			}
		}
		s.set("one", metadata.Pairs("etag", "not one"))
		for _, path := range []string{"/v1/read", taggedGet} {
			if got := tag(path); !strings.HasPrefix(got, `W/"`) {
				t.Errorf("%s: a broken one became %q", path, got)
			}
		}
		s.set(strings.Repeat("long ", 1000), metadata.Pairs("etag", `"v1"`))
		if got := tag("/v1/read", "Accept-Encoding", "gzip"); got != `W/"v1"` {
			t.Errorf("compressed, it is %q", got)
		}
	})
	t.Run("Traffic 121: none elsewhere", func(t *testing.T) {
		s.set("one", nil)
		for _, a := range []gatewaytest.Answer{
			g.Do(t, "GET", "/v1/plain", ""),
			g.Do(t, "POST", "/v1/read", "{}", "Content-Type", "application/json"),
			g.Do(t, "POST", "/tagged.v1.Service/Read", "{}", "Content-Type", "application/json"),
		} {
			if a.Status != 200 || a.Header.Get("Etag") != "" {
				t.Errorf("got %d, %q", a.Status, a.Header)
			}
		}
		s.fail(status.Error(codes.NotFound, "no"), nil)
		if a := g.Do(t, "GET", "/v1/read", ""); a.Status != 404 || a.Header.Get("Etag") != "" {
			t.Errorf("an error: got %d, %q", a.Status, a.Header)
		}
	})
}

// TestConditionalRequests: Traffic 122: If-None-Match on GET and HEAD.
func TestConditionalRequests(t *testing.T) {
	s := &taggedServer{}
	g := s.start(t, taggedProto)
	fresh := metadata.Pairs("etag", `"v1"`, "cache-control", "max-age=5", "expires", "Thu, 01 Jan 2026 00:00:00 GMT")
	for _, c := range []struct {
		method, path, body, header string
		want                       int
	}{
		{"GET", "/v1/read", "", `"v1"`, 304},
		{"HEAD", "/v1/read", "", `"v1"`, 304},
		{"GET", "/v1/read", "", `W/"v1"`, 304},
		{"GET", "/v1/read", "", `"v0", W/"v1"`, 304},
		{"GET", "/v1/read", "", `*`, 304},
		{"GET", "/v1/read", "", `"v2"`, 200},
		{"GET", "/v1/read", "", `v1`, 200},
		{"GET", "/v1/read", "", `"` + strings.Repeat("x", 9<<10) + `", "v1"`, 200},
		{"GET", taggedGet, "", `"v1"`, 304},
		{"GET", taggedProtoGet, "", `"v1"`, 304},
		{"GET", taggedGet, "", `"v2"`, 200},
		{"GET", "/v1/plain", "", `"v1"`, 200},
		{"POST", "/v1/read", "{}", `"v1"`, 200},
		{"POST", "/tagged.v1.Service/Read", "{}", `"v1"`, 200},
	} {
		t.Run("Traffic 122: "+c.method+" "+c.path+" "+c.header[:min(20, len(c.header))], func(t *testing.T) {
			s.set("one", fresh)
			h := []string{"If-None-Match", c.header}
			if c.body != "" {
				h = append(h, "Content-Type", "application/json")
			}
			a := g.Do(t, c.method, c.path, c.body, h...)
			if a.Status != c.want {
				t.Fatalf("got %d, %q", a.Status, a.Body)
			}
			if c.want != 304 {
				return
			}
			if a.Body != "" || a.Header.Get("Content-Type") != "" || a.Header.Get("Content-Length") != "" {
				t.Errorf("got the body %q, %q", a.Body, a.Header)
			}
			whole := g.Do(t, "GET", c.path, "")
			for _, name := range []string{"Etag", "Cache-Control", "Expires"} {
				if a.Header.Get(name) == "" || a.Header.Get(name) != whole.Header.Get(name) {
					t.Errorf("%s: 304 has %q, 200 %q", name, a.Header.Get(name), whole.Header.Get(name))
				}
			}
			if got, want := strings.Join(a.Header.Values("Vary"), ", "), strings.Join(whole.Header.Values("Vary"), ", "); got != want || !strings.Contains(got, "Accept") {
				t.Errorf("Vary: 304 has %q, 200 %q", got, want)
			}
		})
	}
	t.Run("Traffic 122: gRPC takes no notice", func(t *testing.T) {
		s.set("one", fresh)
		envelope := string([]byte{0, 0, 0, 0, 0})
		a := g.Do(t, "POST", "/tagged.v1.Service/Read", envelope, "Content-Type", "application/grpc-web+proto", "If-None-Match", `"v1"`)
		var message []byte
		message = protowire.AppendTag(message, 1, protowire.BytesType)
		message = protowire.AppendString(message, "one")
		if a.Status != 200 || !strings.Contains(a.Body, string(message)) || a.Header.Get("Vary") != "" {
			t.Errorf("got %d, %q, %q", a.Status, a.Body, a.Header)
		}
	})
	t.Run("Traffic 122: a handler's own not modified", func(t *testing.T) {
		s.fail(status.Error(codes.Unknown, "not modified"), metadata.Pairs("etag", `"v7"`))
		for _, path := range []string{"/v1/read", taggedGet, "/tagged.v1.Service/Plain?connect=v1&encoding=json&message=%7B%7D"} {
			a := g.Do(t, "GET", path, "", "If-None-Match", `"v7"`)
			if a.Status != 304 || a.Body != "" || a.Header.Get("Etag") != `"v7"` {
				t.Errorf("%s: got %d, %q, %q", path, a.Status, a.Body, a.Header)
			}
			if a := g.Do(t, "GET", path, ""); a.Status != 500 {
				t.Errorf("%s, without a condition: got %d, %q", path, a.Status, a.Body)
			}
		}
		for _, path := range []string{"/v1/read", "/tagged.v1.Service/Read"} {
			if a := g.Do(t, "POST", path, "{}", "Content-Type", "application/json", "If-None-Match", `"v7"`); a.Status != 500 {
				t.Errorf("POST %s: got %d, %q", path, a.Status, a.Body)
			}
		}
	})
}

// TestCachesOnTheWay: Traffic 123: caches between the gateway and its clients are told how long
// an answer is good, whatever protocol gets it, and nothing of it by gRPC.
func TestCachesOnTheWay(t *testing.T) {
	s := &taggedServer{text: "one"}
	g := s.start(t, strings.Replace(taggedProto, "validators_only: true", `ttl { seconds: 60 } vary: "x-tenant"`, 1))
	for range 2 {
		for _, path := range []string{"/v1/read", taggedGet} {
			a := g.Do(t, "GET", path, "")
			if got := a.Header.Get("Cache-Control"); !strings.HasPrefix(got, "public, max-age=") || a.Header.Get("Etag") == "" {
				t.Errorf("Traffic 123: %s: %q", path, a.Header)
			}
			if got := strings.Join(slices.Sorted(slices.Values(a.Header["Vary"])), ", "); got != "Accept, Accept-Encoding, Grpc-Metadata-X-Tenant, X-Tenant" {
				t.Errorf("Traffic 123: %s: Vary: %s", path, got)
			}
		}
	}
	a := g.Do(t, "POST", "/tagged.v1.Service/Read", string([]byte{0, 0, 0, 0, 0}), "Content-Type", "application/grpc-web+proto")
	for _, name := range []string{"Vary", "Cache-Control", "Age", "Etag"} {
		if a.Header.Get(name) != "" {
			t.Errorf("Traffic 123: gRPC-Web has %s: %q", name, a.Header.Get(name))
		}
	}
}

// TestNotModifiedIsNoFailure: Traffic 122: a handler's "not modified" is a success with status 304 in the
// log and the metrics, and no failure for circuit_breaker and retry.
func TestNotModifiedIsNoFailure(t *testing.T) {
	var asked atomic.Int64
	address := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		asked.Add(1)
		stream.SetTrailer(metadata.Pairs("etag", `"v7"`))
		return status.Error(codes.Unknown, "not modified")
	})
	var log logtext.Text
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true, Protos: map[string]string{"tagged.proto": taggedProto}, Log: &log,
		Config: "policies: [{ selector: tagged.v1.Service.*, policy: { circuit_breaker: { consecutive_failures: 1, open_for: 3600s }, retry: { codes: [UNKNOWN] } } }]\n"})
	paths := []string{"/v1/read", taggedGet, "/tagged.v1.Service/Plain?connect=v1&encoding=json&message=%7B%7D"}
	for _, path := range paths {
		for range 2 {
			if a := g.Do(t, "GET", path, "", "If-None-Match", `"v7"`); a.Status != 304 {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
	}
	if n := asked.Load(); n != 2*int64(len(paths)) {
		t.Errorf("%d calls reached the backend", n)
	}
	poll.Until(t, "lines of the log", func() bool { return strings.Count(log.String(), `"status":304`) == 2*len(paths) })
	if n := strings.Count(log.String(), `"code":"OK","status":304`); n != 2*len(paths) || strings.Contains(log.String(), `"reason"`) {
		t.Errorf("%d are OK:\n%s", n, log.String())
	}
	if metrics := metricsOf(g); strings.Contains(metrics, `code="UNKNOWN"`) || strings.Contains(metrics, "transom_circuit_state{rpc=\"tagged.v1.Service/Read\",upstream=\"backend\"} 2") {
		t.Error("the metrics have failures")
	}
}

// TestConditionsStayAtTheCache: Traffic 122, 124: the call of a miss is for all who ask, so that the
// condition of one of them does not go with it; the gateway compares the entity tags.
func TestConditionsStayAtTheCache(t *testing.T) {
	var asked atomic.Int64
	address := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		asked.Add(1)
		md, _ := metadata.FromIncomingContext(stream.Context())
		for name := range md {
			if strings.HasSuffix(name, "if-none-match") {
				return status.Error(codes.Unknown, "not modified")
			}
		}
		if err := stream.SetHeader(metadata.Pairs("etag", `"v7"`)); err != nil {
			return err
		}
		return stream.SendMsg(wrapperspb.String("one"))
	})
	g := gatewaytest.Start(t, gatewaytest.Options{Backend: address, NoBookstore: true,
		Protos: map[string]string{"tagged.proto": strings.Replace(taggedProto, "validators_only: true", "ttl { seconds: 60 }", 1)}})
	for i, path := range []string{"/v1/read", taggedGet} {
		if a := g.Do(t, "GET", path, "", "If-None-Match", `"v7"`); a.Status != 304 || a.Header.Get("Etag") != `"v7"` {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
		if a := g.Do(t, "GET", path, ""); a.Status != 200 || !strings.Contains(a.Body, "one") {
			t.Errorf("%s, without the condition: %d %s", path, a.Status, a.Body)
		}
		if n := asked.Load(); n != int64(i+1) {
			t.Errorf("%d calls reached the backend", n)
		}
		if _, _, err := g.PurgeCache("", "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := g.PurgeCache("tagged.v1.Service/Raed", "", ""); err == nil || !strings.Contains(err.Error(), `did you mean "`) {
		t.Errorf("Traffic 128: a name that is none is dropped: %v", err)
	}
	if _, _, err := g.PurgeCache("", "shelf:1", ""); err == nil || !strings.Contains(err.Error(), `found "shelf:1", but no method has cache.tags`) {
		t.Errorf("Traffic 128: a tag that is none is dropped: %v", err)
	}
}
