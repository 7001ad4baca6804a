package gateway_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// TestIdempotencyKeyReplica: Traffic 97: on a Redis that is a replica no key can be taken, so that
// calls with new ones are refused and not made; the log says what is wrong.
func TestIdempotencyKeyReplica(t *testing.T) {
	l, address := startLedger(t)
	primary, replica := redistest.StartWithReplica(t)
	var log logtext.Text
	gatewayOn := func(redis string) *gatewaytest.Gateway {
		return gatewaytest.Start(t, gatewaytest.Options{
			NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address, Log: &log,
			Config: fmt.Sprintf(ledgerPolicies, "REFUSE") + fmt.Sprintf("stores: { redis: { url: %q, timeout: 5s } }\n", redis),
		})
	}
	right, wrong := gatewayOn(primary.URL), gatewayOn(replica.URL)
	pay := func(g *gatewaytest.Gateway, key, name string) gatewaytest.Answer {
		return g.Do(t, "POST", "/v1/payments", fmt.Sprintf(`{"name":%q}`, name), "Idempotency-Key", key)
	}
	first := pay(right, "known", "known")
	for range 3 {
		if a := pay(wrong, "new", "new"); a.Status != 503 || a.Header.Get("Retry-After") == "" || !strings.Contains(a.Body, "cannot be written") {
			t.Errorf("%+v", a)
		}
	}
	if n := l.times("new"); n != 0 {
		t.Errorf("%d payments without a key that is kept", n)
	}
	if text := log.String(); !strings.Contains(text, "replica") || !strings.Contains(text, "stores.redis.url") {
		t.Errorf("the log: %s", text)
	}
	if away := wrong.AwayStores(); len(away) != 1 || !strings.Contains(away[0], "replica") {
		t.Errorf("away are %q", away)
	}
	poll.Until(t, "a replay from the replica", func() bool {
		a := pay(wrong, "known", "known")
		return a.Status == 200 && a.Body == first.Body && a.Header.Get("Idempotent-Replayed") == "true"
	})
	if away := wrong.AwayStores(); len(away) != 1 {
		t.Errorf("after a replay, away are %q", away)
	}
	if a := wrong.Do(t, "POST", "/v1/payments", `{"name":"keyless"}`); a.Status != 200 {
		t.Errorf("without a key: %+v", a)
	}
	if n := l.times("known"); n != 1 {
		t.Errorf("%d payments", n)
	}
}

// TestIdempotencyKeyFailover: Traffic 96, 97: the primary becomes a replica while calls are under way,
// and the name of the primary leads to the other server a while later: in between nothing is
// carried out, behind it all goes on by itself, and no call is made twice.
func TestIdempotencyKeyFailover(t *testing.T) {
	l, address := startLedger(t)
	one, two := redistest.StartWithReplica(t)
	name := newFloatingAddress(t, one.Address())
	g := gatewaytest.Start(t, gatewaytest.Options{
		NoBookstore: true, Protos: map[string]string{"ledger.proto": ledgerProto}, Backend: address,
		Config: fmt.Sprintf(ledgerPolicies, "REFUSE") + fmt.Sprintf("stores: { redis: { url: \"redis://%s\", timeout: 5s } }\n", name.address),
	})
	pay := func(key, name string) gatewaytest.Answer {
		return g.Do(t, "POST", "/v1/payments", fmt.Sprintf(`{"name":%q}`, name), "Idempotency-Key", key)
	}
	before := pay("before", "before")
	under := make(chan gatewaytest.Answer, 1)
	go func() { under <- pay("under-way", "hangs under way") }()
	<-l.entered
	client := two.Client(t)
	poll.Until(t, "the keys at the replica", func() bool {
		n, err := client.DBSize(t.Context()).Result()
		return err == nil && n == 2
	})

	two.Promote()
	one.Follow(two)
	for range 3 {
		if a := pay("between", "between"); a.Status != 503 {
			t.Errorf("on the old primary: %+v", a)
		}
	}
	l.leave <- struct{}{}
	if a := <-under; a.Status != 200 {
		t.Errorf("the call that was under way: %+v", a)
	}
	if n := l.times("between"); n != 0 {
		t.Errorf("%d payments without a key that is kept", n)
	}

	name.to.Store(two.Address())
	poll.Until(t, "the new primary", func() bool { return pay("between", "between").Status == 200 })
	if a := pay("before", "before"); a.Status != 200 || a.Body != before.Body || a.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v, first %+v", a, before)
	}
	poll.Until(t, "the end that was written late", func() bool { return pay("under-way", "hangs under way").Status == 200 })
	for _, name := range []string{"before", "between", "hangs under way"} {
		if n := l.times(name); n != 1 {
			t.Errorf("%s: %d payments", name, n)
		}
	}
}

// floatingAddress leads each new connection to the server of the moment, as a name of DNS or a
// virtual address does.
type floatingAddress struct {
	address string
	to      atomic.Value // string
}

func newFloatingAddress(t *testing.T, to string) *floatingAddress {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &floatingAddress{address: l.Addr().String()}
	f.to.Store(to)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			at, _ := f.to.Load().(string)
			up, err := net.Dial("tcp", at)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, up}, {up, from}} {
				running.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // it ends with the connections
					_ = pair[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() { // behind the gateway's, whose connections these are
		_ = l.Close()
		running.Wait()
	})
	return f
}
