package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	redistest "github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/store"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// TestCompile: Traffic 82, 83, 85: what a policy means, and what is refused.
func TestCompile(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`idempotency_key { scope: METHOD }`, "the answer to each key is kept for 24h0m0s; all callers share them"},
		{`idempotency_key { scope: METHOD required: true ttl { seconds: 60 } }`, "the answer to each key is kept for 1m0s; a key is required; all callers share them"},
		{`idempotency_key {}`, "!idempotency_key: the method is open to callers who prove nothing"},
		{`idempotency_key { scope: METHOD field: "nothing" }`, `!idempotency_key.field: found "nothing", expected a field of shop.v1.`},
		{`idempotency_key { scope: METHOD ttl { nanos: 1 } }`, "!idempotency_key.ttl: found 1ns, expected 1s to 720h0m0s"},
		{`idempotency_key { scope: METHOD ttl { seconds: 9000000 } }`, "!idempotency_key.ttl: found 2500h0m0s"},
		{`idempotency_key { scope: METHOD max_answer_bytes: 16777217 }`, "!idempotency_key.max_answer_bytes: found 16777217, expected up to 16777216"},
		{`idempotency_key { scope: METHOD store: REDIS }`, "!idempotency_key.store: found REDIS, but stores.redis is not in the configuration"},
		{`idempotency_key { disabled: true }`, ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			layers := policytest.LayersOf(t, test.text)
			layers[0].Exact = true
			target := policy.Target{Method: policytest.ShopMethod("Buy"), RPC: "shop.v1.Shop/Buy", Upstream: "books", Layers: layers}
			policytest.NewAuthBench(t, &transomv1.Config{}, Kind()).CheckExplained(t, target, test.want)
		})
	}
}

// newMemory is a memory of so many bytes, by a clock.
func newMemory(limit int64, clock *policytest.Clock) *memory {
	return &memory{now: clock.Now, max: limit, owners: map[digest]int64{}, all: map[digest]*entry{}}
}

// keyed is a call under a key, of an owner, with a request.
func keyed(key, owner, request string) *call {
	return &call{
		part: &part{rule: &transomv1.IdempotencyKey{}, ttl: time.Minute},
		id:   sha256.Sum256([]byte(key)), owner: sha256.Sum256([]byte(owner)), fingerprint: sha256.Sum256([]byte(request)),
	}
}

// TestMemory: Traffic 93, 95: what is kept has its time, and no more room than there is; a full
// memory refuses new keys and forgets none.
func TestMemory(t *testing.T) {
	clock := policytest.NewClock()
	m := newMemory(100<<10, clock)
	var ids []string
	for i := 0; ; i++ {
		c := keyed(fmt.Sprint("key ", i), fmt.Sprint("owner ", i%20), "")
		lease, _, err := m.begin(t.Context(), c)
		if err != nil {
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "no more keys") {
				t.Fatal(err)
			}
			break
		}
		lease.end(&record{state: answered, message: bytes.Repeat([]byte("x"), 1000)}, time.Duration(1+i)*time.Second)
		ids = append(ids, fmt.Sprint("key ", i))
	}
	if len(ids) < 50 || m.used > m.max {
		t.Fatalf("%d keys, %d bytes", len(ids), m.used)
	}
	for _, id := range ids {
		if _, kept, err := m.begin(t.Context(), keyed(id, "x", "")); err != nil || kept == nil || kept.state == running {
			t.Fatalf("%s: %v, %v", id, kept, err)
		}
	}
	clock.Advance(10 * time.Second)
	if _, kept, err := m.begin(t.Context(), keyed("key 9", "new", "")); err != nil || kept != nil {
		t.Errorf("what is over: %v, %v", kept, err)
	}
	clock.Advance(time.Hour)
	lease, _, err := m.begin(t.Context(), keyed("key 1000", "new", ""))
	if err != nil || len(m.all) != 2 {
		t.Fatalf("%v; there are %d", err, len(m.all))
	}
	lease.end(nil, time.Minute)
	if len(m.all) != 1 || m.used != overhead {
		t.Errorf("%d are left, %d bytes", len(m.all), m.used)
	}
}

// TestMemoryOfOneOwner: Traffic 95: one owner has a tenth.
func TestMemoryOfOneOwner(t *testing.T) {
	m := newMemory(100<<10, policytest.NewClock())
	n := 0
	for ; ; n++ {
		if _, _, err := m.begin(t.Context(), keyed(fmt.Sprint(n), "one", "")); err != nil {
			break
		}
	}
	if n != 10<<10/overhead {
		t.Errorf("one owner has %d keys", n)
	}
	lease, _, err := m.begin(t.Context(), keyed("other", "other", ""))
	if err != nil {
		t.Fatalf("another one: %v", err)
	}
	lease.end(&record{state: answered, message: make([]byte, 20<<10)}, time.Minute)
	if _, kept, err := m.begin(t.Context(), keyed("other", "other", "")); err != nil || kept.state != bodyless {
		t.Errorf("an answer without room: %+v, %v", kept, err)
	}
}

// TestLostLease: Traffic 90, 93: a gateway that dies loses its key after 15 s, and nobody
// knows what it has done; where the backend tells calls apart, the next one is made.
func TestLostLease(t *testing.T) {
	for name, honours := range map[string]bool{"at most once": false, "backend_honours": true} {
		t.Run(name, func(t *testing.T) {
			server := redistest.StartWithClock(t, 0)
			late := &lateEnds{places: make(chan struct{}, 1)}
			var cancel context.CancelFunc
			late.ctx, cancel = context.WithCancel(t.Context())
			defer cancel()
			answers := &redisAnswers{&store.Redis{Client: server.Client(t), Timeout: time.Minute, Prefix: "t:", Health: store.NewHealth(time.Now, nil)}, slog.New(slog.DiscardHandler), late}
			c := keyed("key", "one", "request")
			c.rule.BackendHonours = honours
			first, _, err := answers.begin(t.Context(), c)
			if err != nil || first == nil {
				t.Fatal(first, err)
			}
			dead, ok := first.(*redisLease)
			if !ok {
				t.Fatal("no lease of Redis")
			}
			close(dead.stop) // it dies: nobody renews
			dead.stopped.Wait()
			if second, kept, err := answers.begin(t.Context(), c); err != nil || second != nil || kept.state != running {
				t.Fatalf("%v, %+v, %v", second, kept, err)
			}
			server.Advance(leaseTime + time.Second)
			second, kept, err := answers.begin(t.Context(), c)
			switch {
			case err != nil:
				t.Fatal(err)
			case honours && second == nil, !honours && (second != nil || kept.state != uncertain):
				t.Fatalf("%v, %+v", second, kept)
			case honours:
				second.end(&record{state: answered, fingerprint: c.fingerprint}, time.Minute)
			default:
				dead.stop = make(chan struct{})
				dead.end(&record{state: answered, fingerprint: c.fingerprint}, time.Minute) // it was not dead
			}
			if _, kept, err := answers.begin(t.Context(), c); err != nil || kept == nil || kept.state != answered {
				t.Errorf("%+v, %v", kept, err)
			}
		})
	}
}

// TestJudge: Traffic 89, 90: what the end of a call is for its key.
func TestJudge(t *testing.T) {
	told := func(code codes.Code) error { return transport.Told(status.New(code, "")) }
	for code := codes.Canceled; code <= 20; code++ {
		want := keep
		switch code {
		case codes.Unavailable, codes.ResourceExhausted, codes.Aborted, codes.Unauthenticated:
			want = release
		case codes.Canceled, codes.DeadlineExceeded:
			want = unknown
		}
		plain := &part{rule: &transomv1.IdempotencyKey{}}
		if got := plain.judge(&proxy.Reply{}, told(code), false); got != want {
			t.Errorf("%v: %d, want %d", code, got, want)
		}
		strict := &part{rule: &transomv1.IdempotencyKey{Strict: true}}
		if want == release && code != codes.Unauthenticated {
			want = unknown
		}
		if got := strict.judge(&proxy.Reply{}, told(code), false); got != want {
			t.Errorf("strict, %v: %d, want %d", code, got, want)
		}
	}
	lost := status.Error(codes.Unavailable, "the connection broke")
	for name, test := range map[string]struct {
		tries   proxy.Tries
		refused bool
		rule    *transomv1.IdempotencyKey
		want    outcome
	}{
		"sent":                       {proxy.Tries{Attempts: 1}, false, &transomv1.IdempotencyKey{}, unknown},
		"never sent":                 {proxy.Tries{Attempts: 1, Unsent: true}, false, &transomv1.IdempotencyKey{}, release},
		"never sent, after another":  {proxy.Tries{Attempts: 2, Unsent: true}, false, &transomv1.IdempotencyKey{}, unknown},
		"refused by another policy":  {proxy.Tries{}, true, &transomv1.IdempotencyKey{}, release},
		"sent, the backend knows it": {proxy.Tries{Attempts: 1}, false, &transomv1.IdempotencyKey{BackendHonours: true}, release},
	} {
		p := &part{rule: test.rule}
		if got := p.judge(&proxy.Reply{Tries: test.tries}, lost, test.refused); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

// TestPrincipals: Traffic 85: a key belongs to its caller and its method.
func TestPrincipals(t *testing.T) {
	as := func(principal string) *policy.Request {
		r := &policy.Request{HTTP: &http.Request{Header: http.Header{}}, ClientIP: netip.MustParseAddr("192.0.2.1")}
		if principal != "" {
			r.Identity = &policy.Identity{Principal: principal}
		}
		return r
	}
	own := &part{rpc: "a.B/C", rule: &transomv1.IdempotencyKey{}}
	seen := map[digest]string{}
	for _, one := range []struct {
		p              *part
		principal, key string
	}{
		{own, "ada", "k"}, {own, "bob", "k"}, {own, "ada", "kk"}, {own, "adak", ""}, {&part{rpc: "a.B/D", rule: own.rule}, "ada", "k"},
		{&part{rpc: "a.B/C", rule: &transomv1.IdempotencyKey{Scope: transomv1.IdempotencyKey_METHOD}}, "ada", "k"},
	} {
		id, _ := one.p.identify(as(one.principal), one.key)
		name := fmt.Sprint(one.principal, " ", one.key, " ", one.p.rpc)
		if other, ok := seen[id]; ok {
			t.Errorf("%s is %s", name, other)
		}
		seen[id] = name
	}
	shared := &part{rpc: "a.B/C", rule: &transomv1.IdempotencyKey{Scope: transomv1.IdempotencyKey_METHOD}}
	a, payer := shared.identify(as("ada"), "k")
	b, other := shared.identify(as("bob"), "k")
	if a != b || payer == other {
		t.Errorf("METHOD: %x, %x; owners %x, %x", a, b, payer, other)
	}
}

// FuzzReadKey: Traffic 83: a key is what both forms say, or refused.
func FuzzReadKey(f *testing.F) {
	for _, text := range []string{"k", `"k"`, `"a\"b\\c"; p=1`, `"`, `""`, "", " k ", "\x00", `"a"b`, strings.Repeat("x", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := readKey([]string{text})
		if err != nil {
			return
		}
		if len(key) < 1 || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is the key %q", text, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := readKey([]string{quoted}); err != nil || again != key {
			t.Errorf("%q is %q, %v; want %q", quoted, again, err, key)
		}
	})
}

// FuzzUnmarshal: Traffic 91, 96: what is in the store is a record, or refused.
func FuzzUnmarshal(f *testing.F) {
	for _, r := range []*record{
		{state: answered, message: []byte("message")},
		{state: answered, status: &spb.Status{Code: 5, Message: "no"}, trailer: grpcmetadata.Pairs("a", "b", "a", "c", "x-bin", "\x00\xff")},
		{state: bodyless}, {state: uncertain, status: &spb.Status{Code: 4}, header: grpcmetadata.Pairs("h", "")},
	} {
		f.Add(r.marshal())
		again, err := unmarshal(r.marshal())
		if d := cmp.Diff(r, again, cmp.AllowUnexported(record{}), protocmp.Transform(), cmp.Transformer("message", func(b []byte) string { return string(b) })); err != nil || d != "" {
			f.Errorf("%v %s", err, d)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := unmarshal(raw)
		if err != nil {
			return
		}
		again, err := unmarshal(r.marshal())
		if err != nil || again.state != r.state || again.fingerprint != r.fingerprint || !bytes.Equal(again.message, r.message) {
			t.Errorf("%x: %+v, again %+v, %v", raw, r, again, err)
		}
	})
}
