package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

const ledgerProto = `syntax = "proto3";
package ledger.v1;
import "google/api/annotations.proto";
message Payment { string name = 1; string request_id = 2; map<string, int32> amounts = 3; }
message Receipt { string id = 1; }
service Ledger {
  rpc Pay(Payment) returns (Receipt) { option (google.api.http) = { post: "/v1/payments" body: "*" }; }
  rpc Order(Payment) returns (Receipt) { option (google.api.http) = { post: "/v1/orders" body: "*" }; }
}`

// ledger is a service that counts what it does. What it does the name of a payment says.
type ledger struct {
	made    atomic.Int64
	mu      sync.Mutex
	names   map[string]int
	keys    []string
	entered chan string   // of those that hang
	leave   chan struct{} // lets them go on
}

func (l *ledger) serve(_ any, stream grpc.ServerStream) error {
	request := new(emptypb.Empty)
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	name := ""
	for raw := []byte(request.ProtoReflect().GetUnknown()); len(raw) > 0; {
		number, t, n := protowire.ConsumeTag(raw)
		m := protowire.ConsumeFieldValue(number, t, raw[n:])
		if number == 1 {
			value, _ := protowire.ConsumeBytes(raw[n:])
			name = string(value)
		}
		raw = raw[n+m:]
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	l.mu.Lock()
	l.names[name]++
	times := l.names[name]
	l.keys = append(l.keys, md.Get("idempotency-key")...)
	l.mu.Unlock()
	id := fmt.Sprint("receipt ", l.made.Add(1))
	behaviour, _, _ := strings.Cut(name, " ")
	switch behaviour {
	case "hangs":
		l.entered <- name
		<-l.leave
	case "refuses":
		return status.Error(codes.FailedPrecondition, "no money")
	case "busy":
		if times == 1 {
			return status.Error(codes.Unavailable, "come again")
		}
	case "late":
		return status.Error(codes.DeadlineExceeded, "perhaps")
	case "large":
		id = strings.Repeat("x", 300<<10)
	}
	stream.SetTrailer(metadata.Pairs("settled", "yes"))
	if err := stream.SetHeader(metadata.Pairs("set-cookie", "a=b", "ledger", "main")); err != nil {
		return err
	}
	answer := new(emptypb.Empty)
	answer.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id))
	return stream.SendMsg(answer)
}

// times is how often a payment of a name was made.
func (l *ledger) times(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[name]
}

func startLedger(t *testing.T) (*ledger, string) {
	t.Helper()
	l := &ledger{names: map[string]int{}, entered: make(chan string, 100), leave: make(chan struct{})}
	return l, grpctest.ServeAny(t, l.serve)
}

const ledgerPolicies = `
policies:
  - selector: "ledger.v1.Ledger.Pay"
    policy: { timeout: 20s, idempotency_key: { scope: METHOD, ttl: 60s, in_flight: %s } }
  - selector: "ledger.v1.Ledger.Order"
    policy: { idempotency_key: { scope: METHOD, field: request_id, required: true } }
`

// stores are where answers are kept.
func eachAnswerStore(t *testing.T, test func(t *testing.T, config string)) {
	t.Run("memory", func(t *testing.T) { test(t, "") })
	t.Run("redis", func(t *testing.T) {
		test(t, fmt.Sprintf("stores: { redis: { url: %q, timeout: 5s } }\n", redistest.Start(t).URL))
	})
}

// TestIdempotencyKey: Traffic 83, 84, 86, 87, 88, 89, 90, 91, 92, 94, 98: the answer to the first call
// under a key is that to all, whatever protocol they come by.
func TestIdempotencyKey(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		l, address := startLedger(t)
		var log logtext.Text
		g := gatewaytest.Start(t, gatewaytest.Options{
			NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address, Log: &log,
			Config: fmt.Sprintf(ledgerPolicies, "REFUSE") + config,
		})
		pay := func(key, body string) gatewaytest.Answer {
			return g.Do(t, "POST", "/v1/payments", body, "Idempotency-Key", key)
		}
		t.Run("by REST, Connect and gRPC", func(t *testing.T) {
			first := pay("k1", `{"name":"plain","amounts":{"a":1,"b":2}}`)
			if first.Status != 200 || first.Header.Get("Idempotent-Replayed") != "" || first.Header.Get("Grpc-Metadata-Set-Cookie") == "" {
				t.Fatalf("%+v", first)
			}
			for name, a := range map[string]gatewaytest.Answer{
				"as it was":         pay("k1", `{"name":"plain","amounts":{"a":1,"b":2}}`),
				"quoted":            pay(`"k1"`, `{"name":"plain","amounts":{"a":1,"b":2}}`),
				"with a parameter":  pay(`"k1"; a=b`, `{"name":"plain","amounts":{"a":1,"b":2}}`),
				"in another order":  pay("k1", ` { "amounts" : {"b":2,"a":1}, "name":"plain" }`),
				"by Connect, unary": g.Do(t, "POST", "/ledger.v1.Ledger/Pay", `{"name":"plain","amounts":{"a":1,"b":2}}`, "Idempotency-Key", "k1", "Connect-Protocol-Version", "1"),
			} {
				if a.Status != 200 || a.Body != first.Body || a.Header.Get("Idempotent-Replayed") != "true" || a.Header.Get("Grpc-Metadata-Set-Cookie") != "" {
					t.Errorf("%s: %+v, want %s", name, a, first.Body)
				}
			}
			conn := grpctest.Dial(t, g.Addr)
			var md, trailer metadata.MD
			payment := new(emptypb.Empty)
			payment.ProtoReflect().SetUnknown([]byte("\x1a\x05\x0a\x01b\x10\x02\x1a\x05\x0a\x01a\x10\x01\x0a\x05plain"))
			receipt := new(emptypb.Empty)
			if err := conn.Invoke(metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", "k1"), "/ledger.v1.Ledger/Pay", payment, receipt, grpc.Header(&md), grpc.Trailer(&trailer)); err != nil {
				t.Fatal(err)
			}
			if got := string(receipt.ProtoReflect().GetUnknown()); !strings.Contains(got, "receipt 1") || md.Get("idempotent-replayed") == nil || md.Get("ledger") == nil || trailer.Get("settled") == nil {
				t.Errorf("gRPC: %q, %v, %v", got, md, trailer)
			}
			if n := l.times("plain"); n != 1 {
				t.Errorf("%d payments", n)
			}
			if !strings.Contains(log.String(), `"replayed":true`) && !strings.Contains(log.String(), "replayed=true") {
				t.Error("the log does not tell")
			}
			if l.keys[0] != "k1" {
				t.Errorf("the backend gets the keys %q", l.keys)
			}
		})
		t.Run("another request", func(t *testing.T) {
			if a := pay("k1", `{"name":"other"}`); a.Status != 422 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_REUSED") || l.times("other") != 0 {
				t.Errorf("%+v", a)
			}
		})
		t.Run("no key", func(t *testing.T) {
			for range 2 {
				if a := g.Do(t, "POST", "/v1/payments", `{"name":"keyless"}`); a.Status != 200 {
					t.Errorf("%+v", a)
				}
			}
			if n := l.times("keyless"); n != 2 {
				t.Errorf("%d payments", n)
			}
		})
		t.Run("bad keys", func(t *testing.T) {
			for _, key := range []string{strings.Repeat("x", 256), strings.Repeat("x", 10<<10), "a b", `"open`, `"a" b`, `"\a"`, "\"\"", "\xc3\xa9", "a\tb"} {
				a := pay(key, `{"name":"never"}`)
				if a.Status != 400 || !strings.Contains(a.Body, "Idempotency-Key") {
					t.Errorf("%.20q: %+v", key, a)
				}
			}
			request, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/v1/payments", strings.NewReader(`{"name":"never"}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header["Idempotency-Key"] = []string{"a", "a"}
			answer, err := g.Client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close() // its status is what counts
			if answer.StatusCode != 400 || l.times("never") != 0 {
				t.Errorf("two: %d", answer.StatusCode)
			}
		})
		t.Run("a field", func(t *testing.T) {
			order := func(body string) gatewaytest.Answer {
				return g.Do(t, "POST", "/v1/orders", body, "Idempotency-Key", "not this")
			}
			if a := order(`{"name":"order"}`); a.Status != 400 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_MISSING") || !strings.Contains(a.Body, "request_id") {
				t.Errorf("%+v", a)
			}
			one, two := order(`{"name":"order","requestId":"r1"}`), order(`{"requestId":"r1","name":"order"}`)
			if one.Status != 200 || two.Body != one.Body || l.times("order") != 1 {
				t.Errorf("%+v, %+v", one, two)
			}
			if a := order(`{"name":"order","requestId":"r 2"}`); a.Status != 400 {
				t.Errorf("%+v", a)
			}
		})
		t.Run("what is kept", func(t *testing.T) {
			for _, test := range []struct {
				name         string
				first, again int
				reason       string
				made         int
			}{
				{"refuses", 400, 400, "no money", 1},
				{"busy", 503, 200, "receipt", 2},
				{"late", 504, 504, "OUTCOME_UNKNOWN", 1},
				{"large", 200, 409, "ANSWER_NOT_KEPT", 1},
			} {
				one := pay("key of "+test.name, "") // a bad key, first
				if one.Status != 400 {
					t.Errorf("%+v", one)
				}
				body := fmt.Sprintf(`{"name":%q}`, test.name)
				one, two := pay("key-of-"+test.name, body), pay("key-of-"+test.name, body)
				if one.Status != test.first || two.Status != test.again || !strings.Contains(two.Body, test.reason) || l.times(test.name) != test.made {
					t.Errorf("%s: %d, then %d %.300s; %d times", test.name, one.Status, two.Status, two.Body, l.times(test.name))
				}
			}
		})
		t.Run("under way", func(t *testing.T) {
			first := make(chan gatewaytest.Answer, 1)
			go func() { first <- pay("slow", `{"name":"hangs 1"}`) }()
			<-l.entered
			if a := pay("slow", `{"name":"hangs 1"}`); a.Status != 409 || !strings.Contains(a.Body, "IDEMPOTENCY_KEY_IN_USE") || a.Header.Get("Retry-After") != "1" {
				t.Errorf("%+v", a)
			}
			if a := pay("slow", `{"name":"hangs 2"}`); a.Status != 422 {
				t.Errorf("another request: %+v", a)
			}
			l.leave <- struct{}{}
			one := <-first
			if a := pay("slow", `{"name":"hangs 1"}`); a.Status != 200 || a.Body != one.Body || l.times("hangs 1") != 1 {
				t.Errorf("%+v, first %+v", a, one)
			}
		})
		t.Run("a client that goes", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, "POST", g.URL+"/v1/payments", strings.NewReader(`{"name":"hangs gone"}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Idempotency-Key", "gone")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				answer, err := g.Client.Do(request)
				if err == nil {
					_ = answer.Body.Close() // nobody reads it
				}
			}()
			<-l.entered
			cancel()
			<-ended
			l.leave <- struct{}{}
			poll.Until(t, "the answer", func() bool { return pay("gone", `{"name":"hangs gone"}`).Status == 200 })
			if n := l.times("hangs gone"); n != 1 {
				t.Errorf("%d payments", n)
			}
		})
		if got := metricsOf(g); !strings.Contains(got, `transom_policy_decisions_total{policy="idempotency_key",result="replayed",rpc="ledger.v1.Ledger/Pay"}`) {
			t.Error("no metric of replays")
		}
	})
}

// TestIdempotencyKeyWaits: Traffic 86: with WAIT the duplicates get the answer of the first call,
// through two gateways where they share a Redis.
func TestIdempotencyKeyWaits(t *testing.T) {
	eachAnswerStore(t, func(t *testing.T, config string) {
		l, address := startLedger(t)
		options := gatewaytest.Options{
			NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address, Config: fmt.Sprintf(ledgerPolicies, "WAIT") + config,
		}
		gateways := []*gatewaytest.Gateway{gatewaytest.Start(t, options)}
		if config != "" {
			gateways = append(gateways, gatewaytest.Start(t, options))
		}
		const clients = 50
		answers := make(chan gatewaytest.Answer, clients)
		for i := range clients {
			g := gateways[i%len(gateways)]
			go func() { answers <- g.Do(t, "POST", "/v1/payments", `{"name":"hangs"}`, "Idempotency-Key", "one") }()
		}
		<-l.entered
		close(l.leave)
		for range clients {
			if a := <-answers; a.Status != 200 || !strings.Contains(a.Body, "receipt 1") {
				t.Errorf("%+v", a)
			}
		}
		if n := l.times("hangs"); n != 1 {
			t.Errorf("%d payments", n)
		}
	})
}

// TestIdempotencyKeyStoreAway: Traffic 97: without its Redis a call with a key is refused, and one
// without is not affected.
func TestIdempotencyKeyStoreAway(t *testing.T) {
	l, address := startLedger(t)
	r := redistest.Start(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address,
		Config: fmt.Sprintf(ledgerPolicies, "REFUSE") + fmt.Sprintf("stores: { redis: { url: %q, timeout: 0.2s } }\n", r.URL),
	})
	pay := func(key string) gatewaytest.Answer {
		return g.Do(t, "POST", "/v1/payments", `{"name":"away"}`, "Idempotency-Key", key)
	}
	if a := pay("before"); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	r.Pause()
	if a := pay("hanging"); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%+v", a)
	}
	r.Resume()
	poll.Until(t, "Redis", func() bool { return pay("hanging").Status == 200 })
	r.Kill()
	if a := pay("away"); a.Status != 503 {
		t.Errorf("%+v", a)
	}
	if a := pay(""); a.Status != 200 {
		t.Errorf("without a key: %+v", a)
	}
	var log logtext.Text
	open := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address, Log: &log,
		Config: fmt.Sprintf(ledgerPolicies, "REFUSE, on_unavailable: ALLOW") + fmt.Sprintf("stores: { redis: { url: %q, timeout: 0.2s } }\n", r.URL),
	})
	if a := open.Do(t, "POST", "/v1/payments", `{"name":"passes"}`, "Idempotency-Key", "k"); a.Status != 200 {
		t.Errorf("ALLOW: %+v", a)
	}
	poll.Until(t, "the log to tell of it", func() bool { return strings.Contains(log.String(), "key_passed") })
	r.Restart()
	poll.Until(t, "the first answer", func() bool { a := pay("before"); return a.Status == 200 && strings.Contains(a.Body, "receipt 1") })
	if n := l.times("away"); n > 4 {
		t.Errorf("%d payments", n)
	}
}

// TestIdempotencyKeyUnsent: Traffic 89: a call that no server has seen leaves its key free.
func TestIdempotencyKeyUnsent(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: loopback.Address(t), Config: fmt.Sprintf(ledgerPolicies, "REFUSE"),
	})
	for range 2 {
		if a := g.Do(t, "POST", "/v1/payments", `{"name":"plain"}`, "Idempotency-Key", "k"); a.Status != 503 || strings.Contains(a.Body, "OUTCOME_UNKNOWN") {
			t.Errorf("%+v", a)
		}
	}
}

// TestIdempotencyKeyBroken: Traffic 90: where the connection breaks nobody knows what was done.
func TestIdempotencyKeyBroken(t *testing.T) {
	l, address := startLedger(t)
	cut := cutter(t, address)
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: cut.address, Config: fmt.Sprintf(ledgerPolicies, "REFUSE"),
	})
	first := make(chan gatewaytest.Answer, 1)
	go func() { first <- g.Do(t, "POST", "/v1/payments", `{"name":"hangs"}`, "Idempotency-Key", "k") }()
	<-l.entered
	cut.all()
	close(l.leave)
	if a := <-first; a.Status != 503 {
		t.Errorf("%+v", a)
	}
	for range 2 {
		if a := g.Do(t, "POST", "/v1/payments", `{"name":"hangs"}`, "Idempotency-Key", "k"); a.Status != 503 || !strings.Contains(a.Body, "OUTCOME_UNKNOWN") {
			t.Errorf("%+v", a)
		}
	}
	if n := l.times("hangs"); n != 1 {
		t.Errorf("%d payments", n)
	}
}

// forwarder passes connections on, until it cuts them.
type forwarder struct {
	address string
	mu      sync.Mutex
	open    []net.Conn
}

func (f *forwarder) all() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.open {
		_ = c.Close() // both ends of each
	}
}

func cutter(t *testing.T, to string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{address: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			f.mu.Lock()
			f.open = append(f.open, from, up)
			f.mu.Unlock()
			for _, pair := range [][2]net.Conn{{from, up}, {up, from}} {
				running.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // it ends with the connections
					_ = pair[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.all()
		running.Wait()
	})
	return f
}
