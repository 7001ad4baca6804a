package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const soldProto = `syntax = "proto3";
package shop.v1;
import "google/api/annotations.proto";
import "google/protobuf/wrappers.proto";
import "transom/v1/annotations.proto";
service Shop {
  rpc Sell(google.protobuf.StringValue) returns (google.protobuf.StringValue) {
    option (google.api.http) = { post: "/v1/sell/{value}" };
    option (transom.v1.method) = { events: [{ type: "shop.sold" fields: "value" subject: "value" delivery: AT_LEAST_ONCE }] };
  }
}
`

// receiver is a server that gets events, and is ill at times.
type receiver struct {
	mu     sync.Mutex
	got    map[string]int // by subjects
	ids    map[string]string
	ill    bool
	twoIDs string // a subject with two IDs
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	_, _ = io.Copy(io.Discard, request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ill {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	subject, id := request.Header.Get("Ce-Subject"), request.Header.Get("Ce-Id")
	r.got[subject]++
	if before := r.ids[subject]; before != "" && before != id {
		r.twoIDs = subject
	}
	r.ids[subject] = id
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) set(ill bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ill = ill
}

// missing are those that it has not got, and how many it got more than once.
func (r *receiver) missing(all []string) (missing, doubles int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, subject := range all {
		switch n := r.got[subject]; {
		case n == 0:
			missing++
		case n > 1:
			doubles += n - 1
		}
	}
	return missing, doubles
}

// TestEventsLedger: Events 136, 144, 148: gateways are killed in the middle of calls, and the server that
// gets the events is away at times: each call whose client got its answer has its event, and
// doubles have the same ID.
func TestEventsLedger(t *testing.T) {
	sink := &receiver{got: map[string]int{}, ids: map[string]string{}}
	server := httptest.NewServer(sink)
	defer server.Close()
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		m := new(wrapperspb.StringValue)
		if err := stream.RecvMsg(m); err != nil {
			return err
		}
		return stream.SendMsg(m)
	})
	dir := folder(t, map[string]string{"protos/shop.proto": soldProto, "transom.yaml": fmt.Sprintf(`schemas: [{ directory: ./protos }]
upstreams: { shop: { grpc: { target: %q } } }
data_directory: ./data
events: { sinks: { hook: { webhook: { url: %q, insecure: true, allow: ["127.0.0.1/32"], secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="] } } } }
`, backend, server.URL)})
	bin := buildTransom(t)
	random := rand.New(rand.NewPCG(136, 1)) //nolint:gosec // it is a test's
	var mu sync.Mutex
	var acknowledged []string
	sold := 0
	for round := range 4 {
		gateway := startProcess(t, bin, "--config", dir+"/transom.yaml")
		sink.set(round%2 == 1)
		var clients sync.WaitGroup
		enough := make(chan struct{}, 1000)
		for range 8 {
			clients.Go(func() {
				for {
					mu.Lock()
					sold++
					id := fmt.Sprint("s", sold)
					mu.Unlock()
					answer, err := http.Post(gateway.url+"/v1/sell/"+id, "application/json", strings.NewReader(""))
					if err != nil {
						return
					}
					text, err := io.ReadAll(answer.Body)
					_ = answer.Body.Close()
					if err != nil {
						return
					}
					if answer.StatusCode != http.StatusOK {
						t.Errorf("%s: %d %s", id, answer.StatusCode, text)
						return
					}
					mu.Lock()
					acknowledged = append(acknowledged, id)
					mu.Unlock()
					select {
					case enough <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 50 + random.IntN(150) {
			<-enough
		}
		gateway.once.Do(func() {
			_ = gateway.cmd.Process.Kill()
			<-gateway.ended //nolint:errcheck // "signal: killed"
		})
		clients.Wait()
	}
	sink.set(false)
	startProcess(t, bin, "--config", dir+"/transom.yaml")
	poll.Until(t, "all events arrive", func() bool {
		missing, _ := sink.missing(acknowledged)
		return missing == 0
	})
	missing, doubles := sink.missing(acknowledged)
	t.Logf("sent %d, acknowledged %d, delivered %d, doubles %d, lost %d", sold, len(acknowledged), len(sink.got), doubles, missing)
	if sink.twoIDs != "" {
		t.Errorf("%s has two IDs", sink.twoIDs)
	}
	code, out, said := command(t, "events", "log", "verify", dir+"/data/events")
	if code != 0 {
		t.Errorf("verify: exit %d: %s%s", code, out, said)
	}
}
