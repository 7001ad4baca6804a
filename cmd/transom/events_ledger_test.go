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
	"time"

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
    option (transom.v1.method) = { events: [{ type: "shop.sold" fields: "value" subject: "value" key: "header.X-Till" delivery: AT_LEAST_ONCE }] };
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

func newReceiver() *receiver { return &receiver{got: map[string]int{}, ids: map[string]string{}} }

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	_, _ = io.Copy(io.Discard, request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ill {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.note(request.Header.Get("Ce-Subject"), request.Header.Get("Ce-Id"))
	w.WriteHeader(http.StatusNoContent)
}

// note notes an event; the receiver is locked.
func (r *receiver) note(subject, id string) {
	r.got[subject]++
	if before := r.ids[subject]; before != "" && before != id {
		r.twoIDs = subject
	}
	r.ids[subject] = id
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

// seen is how many events it got, doubles not counted, and a subject that came with two IDs, "" for
// none. More may come while the test looks.
func (r *receiver) seen() (delivered int, twoIDs string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got), r.twoIDs
}

// selling is one run: tills that sell, and what became of that.
type selling struct {
	t      *testing.T
	dir    string
	bin    string
	random *rand.Rand
	tills  int

	mu           sync.Mutex
	sold         int
	acknowledged []string
}

// newSelling makes one whose gateway has these events in its configuration.
func newSelling(t *testing.T, bin string, seed uint64, tills int, config string) *selling {
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
events: %s
`, backend, config)})
	return &selling{t: t, dir: dir, bin: bin, tills: tills, random: rand.New(rand.NewPCG(136, seed))} //nolint:gosec // it is a test's
}

// start starts a gateway.
func (l *selling) start() *process {
	return startProcess(l.t, l.bin, "--config", l.dir+"/transom.yaml")
}

// round has tills sell by a new gateway until it is killed, after so many answers. half is called in the
// middle; nil for nothing.
func (l *selling) round(answers int, half func()) {
	gateway := l.start()
	var tills sync.WaitGroup
	enough := make(chan struct{}, 1<<20)
	for till := range l.tills {
		tills.Go(func() {
			for l.sell(gateway.url, fmt.Sprint("till-", till)) {
				enough <- struct{}{}
			}
		})
	}
	for n := range answers {
		if <-enough; n == answers/2 && half != nil {
			half()
		}
	}
	gateway.once.Do(func() {
		_ = gateway.cmd.Process.Kill()
		<-gateway.ended //nolint:errcheck // "signal: killed"
	})
	tills.Wait()
}

// sell sells once, and reports whether there was an answer.
func (l *selling) sell(url, till string) bool {
	l.mu.Lock()
	l.sold++
	id := fmt.Sprint("s", l.sold)
	l.mu.Unlock()
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, url+"/v1/sell/"+id, strings.NewReader(""))
	if err != nil {
		l.t.Error(err)
		return false
	}
	request.Header.Set("X-Till", till)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		return false
	}
	if answer.StatusCode != http.StatusOK {
		l.t.Errorf("%s: %d %s", id, answer.StatusCode, text)
		return false
	}
	l.mu.Lock()
	l.acknowledged = append(l.acknowledged, id)
	l.mu.Unlock()
	return true
}

// TestEventsLedger: Events 136, 144, 148: gateways are killed in the middle of calls, and the server that
// gets the events is away at times: each call whose client got its answer has its event, and
// doubles have the same ID.
func TestEventsLedger(t *testing.T) {
	sink := newReceiver()
	server := httptest.NewServer(sink)
	defer server.Close()
	l := newSelling(t, buildTransom(t), 1, 8, hookConfig(server.URL))
	for round := range 4 {
		sink.set(round%2 == 1)
		l.round(50+l.random.IntN(150), nil)
	}
	sink.set(false)
	l.start()
	poll.Until(t, "all events arrive", func() bool {
		missing, _ := sink.missing(l.acknowledged)
		return missing == 0
	})
	missing, doubles := sink.missing(l.acknowledged)
	delivered, twoIDs := sink.seen()
	t.Logf("sent %d, acknowledged %d, delivered %d, doubles %d, lost %d", l.sold, len(l.acknowledged), delivered, doubles, missing)
	if twoIDs != "" {
		t.Errorf("%s has two IDs", twoIDs)
	}
	l.verify()
}

// hookConfig are events whose sink is a server on loopback.
func hookConfig(url string) string {
	return fmt.Sprintf(`{ sinks: { hook: { webhook: { url: %q, insecure: true, allow: ["127.0.0.1/32"], secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="] } } } }`, url)
}

// verify has the program read the log of the gateways.
func (l *selling) verify() {
	code, out, said := command(l.t, "events", "log", "verify", l.dir+"/data/events")
	if code != 0 {
		l.t.Errorf("verify: exit %d: %s%s", code, out, said)
	}
}

// ledgerPatience bounds how long events may take to arrive once all is well.
const ledgerPatience = 5 * time.Minute
