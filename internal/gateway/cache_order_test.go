package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// ruledProto has a method with rules of its own for requests.
const ruledProto = `syntax = "proto3";
package ruled.v1;
import "bookstore/v1/book.proto";
import "buf/validate/validate.proto";
import "google/api/annotations.proto";
message ReadRequest { string name = 1 [(buf.validate.field).string.max_len = 14]; }
service Service {
  rpc Read(ReadRequest) returns (bookstore.v1.Shelf) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (google.api.http) = { get: "/v1/ruled/{name=shelves/*}" additional_bindings { post: "/v1/ruled:read" body: "*" } };
  }
}`

// ruled is a gateway with one method and a backend that answers as the name of a shelf says.
type ruled struct {
	*gatewaytest.Gateway
	log   logtext.Text
	leave chan struct{} // lets calls of shelves/slow go on

	mu    sync.Mutex
	calls map[string]int // by name
}

func startRuled(t *testing.T, policies string) *ruled {
	t.Helper()
	r := &ruled{leave: make(chan struct{}), calls: map[string]int{}}
	r.Gateway = gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, r.serve), Protos: map[string]string{"ruled.proto": ruledProto}, Log: &r.log,
		Config: toyIssuer + "policies: [{ selector: ruled.v1.Service.Read, policy: { cache: { ttl: 600s }, " + policies + " } }]\n",
	})
	return r
}

func (r *ruled) serve(_ any, stream grpc.ServerStream) error {
	request := new(pb.GetShelfRequest)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	name := strings.TrimPrefix(request.GetName(), "shelves/")
	r.mu.Lock()
	r.calls[name]++
	n := r.calls[name]
	r.mu.Unlock()
	switch {
	case name == "slow":
		<-r.leave
	case name == "bad", name == "flaky" && n == 1:
		return status.Error(codes.Unavailable, "come again")
	}
	return stream.SendMsg(&pb.Shelf{Name: request.GetName(), BookCount: int32(n)}) //nolint:gosec // a few
}

func (r *ruled) called(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[name]
}

// last is the log's line of the last request that has ended, of which there are n.
func (r *ruled) last(t *testing.T, n int) map[string]any {
	t.Helper()
	var lines []string
	poll.Until(t, fmt.Sprint(n, " lines of the log"), func() bool {
		lines = nil
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, `"msg":"request"`) {
				lines = append(lines, line)
			}
		}
		return len(lines) == n
	})
	said := map[string]any{}
	if err := json.Unmarshal([]byte(lines[n-1]), &said); err != nil {
		t.Fatal(err)
	}
	return said
}

// bearerOf is a token of somebody whom toyIssuer knows.
func bearerOf(t *testing.T, who string) []string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "id", "aud": "toys", "sub": who, "exp": time.Now().Add(time.Hour).Unix()}).
		SignedString([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + token}
}

// TestPlaceOfTheCache: Traffic 119: the cache stands behind what refuses calls, and before what
// the backend is called by.
func TestPlaceOfTheCache(t *testing.T) {
	const kept = "/v1/ruled/shelves/1"
	// step is a request, and what is to be seen of it.
	type step struct {
		path, body string
		who        string
		status     int
		refusedBy  string
		cache      any // nil: the cache was not asked
		attempts   any // nil: one, or none
	}
	for name, c := range map[string]struct {
		policies string
		steps    []step
	}{
		"Traffic 119: behind auth": {"auth: { jwt: {} }", []step{
			{path: kept, who: "ada", status: 200, cache: "miss"},
			{path: kept, who: "ada", status: 200, cache: "hit"},
			{path: kept, status: 401, refusedBy: "auth"},
			{path: kept, who: "eve", status: 200, cache: "miss"},
		}},
		"Traffic 119: behind rate_limit, which counts hits": {"rate_limit: [{ requests: 3, per: 86400s }]", []step{
			{path: kept, status: 200, cache: "miss"},
			{path: kept, status: 200, cache: "hit"},
			{path: kept, status: 200, cache: "hit"},
			{path: kept, status: 429, refusedBy: "rate_limit"},
		}},
		"Traffic 119: behind limits": {"limits: { max_body_bytes: 100 }", []step{
			{path: "/v1/ruled:read", body: `{"name":"shelves/1"}`, status: 200, cache: "miss"},
			{path: "/v1/ruled:read", body: `{"name":"shelves/1"}` + strings.Repeat(" ", 50), status: 200, cache: "hit"},
			{path: "/v1/ruled:read", body: `{"name":"shelves/1"}` + strings.Repeat(" ", 100), status: 413},
		}},
		"Traffic 119: behind validate": {"", []step{
			{path: "/v1/ruled/shelves/too-long", status: 400, refusedBy: "validate"},
			{path: "/v1/ruled/shelves/too-long", status: 400, refusedBy: "validate"},
		}},
		"Traffic 119: before circuit_breaker": {"circuit_breaker: { consecutive_failures: 1, open_for: 3600s }", []step{
			{path: kept, status: 200, cache: "miss"},
			{path: "/v1/ruled/shelves/bad", status: 503, cache: "miss"},
			{path: "/v1/ruled/shelves/2", status: 503, refusedBy: "circuit_breaker", cache: "miss"},
			{path: kept, status: 200, cache: "hit"},
		}},
		"Traffic 119: before retry, whose attempts are one miss": {"retry: {}", []step{
			{path: "/v1/ruled/shelves/flaky", status: 200, cache: "miss", attempts: 2.0},
			{path: "/v1/ruled/shelves/flaky", status: 200, cache: "hit"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := startRuled(t, c.policies)
			for i, s := range c.steps {
				var headers []string
				if s.who != "" {
					headers = bearerOf(t, s.who)
				}
				method := "GET"
				if s.body != "" {
					method, headers = "POST", append(headers, "Content-Type", "application/json")
				}
				a := r.Do(t, method, s.path, s.body, headers...)
				line := r.last(t, i+1)
				by, _ := line["refused_by"].(string)
				if a.Status != s.status || by != s.refusedBy || line["cache"] != s.cache || line["attempts"] != s.attempts {
					t.Errorf("step %d: %d %s, the log says refused_by %q, cache %v, attempts %v; want %+v", i, a.Status, a.Body, by, line["cache"], line["attempts"], s)
				}
			}
			if n := r.called("1"); n > 1 && !strings.Contains(c.policies, "auth") {
				t.Errorf("the backend was called %d times", n)
			}
			if r.called("too-long") > 0 {
				t.Error("what breaks a rule reached the backend")
			}
		})
	}
	t.Run("Traffic 119: before concurrency", func(t *testing.T) {
		r := startRuled(t, "concurrency: { max: 1 }")
		r.Do(t, "GET", kept, "")
		done := make(chan int)
		go func() { done <- r.Do(t, "GET", "/v1/ruled/shelves/slow", "").Status }()
		poll.Until(t, "the slow call has its place", func() bool { return r.called("slow") == 1 })
		if a := r.Do(t, "GET", kept, ""); a.Status != 200 {
			t.Errorf("a hit waits for a place: %d %s", a.Status, a.Body)
		}
		if a := r.Do(t, "GET", "/v1/ruled/shelves/2", ""); a.Status != 503 {
			t.Errorf("a miss has %d %s", a.Status, a.Body)
		}
		close(r.leave)
		if got := <-done; got != 200 {
			t.Errorf("the slow call has %d", got)
		}
	})
}
