package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

const keyedProto = `syntax = "proto3";
package keyed.v1;
import "google/api/annotations.proto";
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service Ledger {
  rpc Pay(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (google.api.http) = { post: "/v1/pay" body: "*" };
    option (transom.v1.method) = { timeout: { seconds: 60 } idempotency_key: { scope: METHOD required: true } };
  }
}
`

// ledger notes what it has done, by the keys of its calls.
type ledger struct {
	mu      sync.Mutex
	done    map[string]int
	entered chan string   // told of each call once it is done, before the answer; nil: nobody is
	leave   chan struct{} // an answer may go; nil: at once
	fails   func() bool   // whether it is UNAVAILABLE before it does anything
}

func (l *ledger) serve(_ any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	key := strings.Join(md.Get("idempotency-key"), ",")
	l.mu.Lock()
	if l.fails != nil && l.fails() {
		l.mu.Unlock()
		return status.Error(codes.Unavailable, "not now")
	}
	l.done[key]++
	l.mu.Unlock()
	if l.entered != nil {
		l.entered <- key
		<-l.leave
	}
	return stream.SendMsg(new(emptypb.Empty))
}

// most is how often a call was made for the key of which that is most.
func (l *ledger) most() (key string, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, n := range l.done {
		if n > times {
			key, times = k, n
		}
	}
	return key, times
}

// pay makes a call under a key; 0 where there is no answer.
func pay(t *testing.T, client *http.Client, url, key string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/pay", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	answer, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// TestGatewayKilledUnderKey: Traffic 90, 93: a gateway is killed when the backend has done
// its work and nobody has written it down: another gateway says that nobody knows, once the
// lease is over, and makes no second call.
func TestGatewayKilledUnderKey(t *testing.T) {
	l := &ledger{done: map[string]int{}, entered: make(chan string, 1), leave: make(chan struct{})}
	backend := grpctest.ServeAny(t, l.serve)
	server := redistest.StartWithClock(t, 0)
	dir := folder(t, map[string]string{"protos/keyed.proto": keyedProto, "transom.yaml": fmt.Sprintf(
		"schemas: [{ directory: ./protos }]\nupstreams: { ledger: { grpc: { target: %q } } }\nstores: { redis: { url: %q, timeout: 10s } }\n", backend, server.URL)})
	bin := buildTransom(t)
	doomed, other := startProcess(t, bin, "--config", dir+"/transom.yaml"), startProcess(t, bin, "--config", dir+"/transom.yaml")
	first := make(chan int, 1)
	go func() {
		code, _ := pay(t, http.DefaultClient, doomed.url, "k")
		first <- code
	}()
	<-l.entered
	if code, text := pay(t, http.DefaultClient, other.url, "k"); code != http.StatusConflict {
		t.Errorf("while it is under way: %d %s", code, text)
	}
	doomed.once.Do(func() {
		_ = doomed.cmd.Process.Kill() // that is what is tried
		<-doomed.ended                //nolint:errcheck // "signal: killed"
	})
	close(l.leave)
	if code := <-first; code != 0 {
		t.Errorf("the killed gateway answers %d", code)
	}
	server.Advance(16 * time.Second)
	for range 2 {
		if code, text := pay(t, http.DefaultClient, other.url, "k"); code == http.StatusOK || !strings.Contains(text, "OUTCOME_UNKNOWN") {
			t.Errorf("%d %s", code, text)
		}
	}
	if key, n := l.most(); n != 1 {
		t.Errorf("%d calls under %s", n, key)
	}
}

// TestNoCallTwice: Traffic 85 to 97: clients that cut their connections, a backend that is
// UNAVAILABLE at times, and tries at two gateways until there is an answer: each key's call
// is made once.
func TestNoCallTwice(t *testing.T) {
	seed := rand.New(rand.NewPCG(14, 82))
	l := &ledger{done: map[string]int{}, fails: func() bool { return seed.IntN(5) == 0 }}
	backend := grpctest.ServeAny(t, l.serve)
	server := redistest.Start(t)
	dir := folder(t, map[string]string{"protos/keyed.proto": keyedProto, "transom.yaml": fmt.Sprintf(
		"schemas: [{ directory: ./protos }]\nupstreams: { ledger: { grpc: { target: %q } } }\nstores: { redis: { url: %q, timeout: 10s } }\n", backend, server.URL)})
	bin := buildTransom(t)
	urls := []string{startProcess(t, bin, "--config", dir+"/transom.yaml").url, startProcess(t, bin, "--config", dir+"/transom.yaml").url}
	const clients, keys = 8, 40
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 7))
			for k := range keys {
				// Half of the keys are every client's.
				key := fmt.Sprint("shared-", k)
				if k%2 == 0 {
					key = fmt.Sprint("own-", c, "-", k)
				}
				if r.IntN(2) == 0 {
					cut(t, urls[r.IntN(2)], key, r)
				}
				poll.Until(t, "the answer to "+key, func() bool {
					code, text := pay(t, http.DefaultClient, urls[r.IntN(2)], key)
					if code != 200 && code != 409 && code != 503 {
						t.Errorf("%s: %d %s", key, code, text)
					}
					return code == 200
				})
			}
		})
	}
	running.Wait()
	if key, n := l.most(); n != 1 {
		t.Errorf("%d calls under %s", n, key)
	}
	if want := keys/2 + clients*keys/2; len(l.done) != want {
		t.Errorf("%d keys, want %d", len(l.done), want)
	}
}

// cut makes a call and resets its connection, before the answer or within it.
func cut(t *testing.T, url, key string, r *rand.Rand) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = c.Close() }()
	head := "POST /v1/pay HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nIdempotency-Key: " + key + "\r\n\r\n{}"
	missing := r.IntN(2)
	if _, err := io.WriteString(c, head[:len(head)-missing]); err != nil {
		t.Error(err)
		return
	}
	if missing == 0 && r.IntN(2) == 0 {
		_, _ = c.Read(make([]byte, 1)) // it may be closed already
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST
	}
}
