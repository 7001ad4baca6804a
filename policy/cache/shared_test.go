package cache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

const patience = 30 * time.Second

// withRedis is a gateway with a Redis, which has time on a busy machine.
func withRedis(t *testing.T, r *redistest.Server) *bench {
	b := newBench(t)
	b.Config.Stores = &transomv1.Stores{Redis: &transomv1.RedisStore{Url: r.URL, Timeout: durationpb.New(10 * time.Second)}}
	return b
}

// inRedis waits until Redis has so many answers.
func inRedis(t *testing.T, r *redistest.Server, n int) {
	t.Helper()
	client := r.Client(t)
	var keys []string
	if !poll.Within(patience, func() bool {
		keys = client.Keys(context.Background(), "transom:cache:*").Val()
		return len(keys) == n
	}) {
		t.Fatalf("Redis has %q, want %d", keys, n)
	}
}

const sharedPolicy = `cache { store: REDIS ttl { seconds: 60 } tags: "n:{name}" }`

// TestSharedAnswers: Traffic 129: what one gateway has fetched is there for the others, for
// as long as it is fresh, and each looks again after five seconds.
func TestSharedAnswers(t *testing.T) {
	r := redistest.Start(t)
	one, other := withRedis(t, r), withRedis(t, r)
	s, never := saying("x-said", "a"), saying()
	a, b := one.method("Get", sharedPolicy, s), other.method("Get", sharedPolicy, never)
	expect(t, a.get("a")+a.get("a"), "11")
	inRedis(t, r, 1)
	expect(t, b.get("a")+b.get("a"), "11")
	other.clock.Advance(5 * time.Second)
	expect(t, b.get("a"), "1")
	r.Client(t).FlushAll(context.Background())
	expect(t, b.get("a"), "1")
	other.clock.Advance(5 * time.Second)
	expect(t, b.get("a"), "1") // of its own backend, whose first it is
	if n := never.count(); n != 1 {
		t.Errorf("the other gateway made %d calls, want 1", n)
	}
}

// TestKeysOfRedis: Traffic 129: keys tell nothing, and a method that has changed reads
// nothing of before.
func TestKeysOfRedis(t *testing.T) {
	r := redistest.Start(t)
	one, other := withRedis(t, r), withRedis(t, r)
	s := saying()
	expect(t, one.method("Get", sharedPolicy, s).get("secret-name"), "1")
	inRedis(t, r, 1)
	for _, key := range r.Client(t).Keys(context.Background(), "*").Val() {
		if strings.Contains(key, "secret") || strings.Contains(key, "n:s") || strings.Contains(key, "Get") || !strings.HasPrefix(key, "transom:") {
			t.Errorf("the key is %q", key)
		}
	}
	changed := strings.Replace(sharedPolicy, "60", "61", 1)
	expect(t, other.method("Get", changed, s).get("secret-name")+other.method("Other", sharedPolicy, s).get("secret-name"), "23")
}

// TestRedisAway: Traffic 129: a Redis that is away or hangs is a miss and no error, and one
// that has come back is used again.
func TestRedisAway(t *testing.T) {
	r := redistest.Start(t)
	b := withRedis(t, r)
	b.Config.Stores.Redis.Timeout = durationpb.New(50 * time.Millisecond)
	s := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) { return "x", nil, nil }}
	m := b.method("Get", sharedPolicy, s)
	w := b.method("Put", `cache { invalidates: "n:{name}" }`, s)
	for _, away := range []struct{ stop, start func() }{{r.Pause, r.Resume}, {r.Kill, r.Restart}} {
		away.stop()
		for i := range 100 {
			expect(t, m.get(fmt.Sprint(i)), "x")
		}
		expect(t, w.get("a"), "x")
		away.start()
		n := 0
		if !poll.Within(patience, func() bool {
			n++
			b.clock.Advance(time.Second) // the store is left alone for a while after a failure
			m.get(fmt.Sprint("again ", n))
			return len(r.Client(t).Keys(context.Background(), "transom:cache:*").Val()) > 0
		}) {
			t.Error("Redis is back, and nothing is kept there")
		}
		r.Client(t).FlushAll(context.Background())
	}
}

// TestDroppedElsewhere: Traffic 127 and 129: a write drops answers of other gateways, also of
// methods whose answers are in memory only, and nothing of Redis that it was about is read.
func TestDroppedElsewhere(t *testing.T) {
	for _, policy := range []string{sharedPolicy, strings.Replace(sharedPolicy, "store: REDIS ", "", 1), strings.Replace(sharedPolicy, "{name}", "{response.name}", 1)} {
		t.Run("Traffic 127: "+policy, func(t *testing.T) {
			r := redistest.Start(t)
			one, other := withRedis(t, r), withRedis(t, r)
			s := saying()
			a, b := one.method("Get", policy, s), other.method("Get", policy, s)
			w := other.method("Put", `cache { invalidates: "n:{name}" }`, saying())
			if strings.Contains(policy, "response") {
				w = other.method("Put", `cache { invalidates: "n:" }`, saying())
			}
			expect(t, a.get("a")+a.get("a"), "11")
			if strings.Contains(policy, "REDIS") {
				inRedis(t, r, 1)
				expect(t, b.get("a"), "1")
			}
			w.get("a")
			got := ""
			if !poll.Within(patience, func() bool { got = a.get("a"); return got != "1" }) {
				t.Errorf("%q is given after the write", got)
			}
			if got := b.get("a"); got == "1" {
				t.Error("the gateway that wrote reads what was before")
			}
		})
	}
}

// TestLateAnswers: Traffic 127 and 129: an answer that was asked for before a write is not
// read after it, though it comes to Redis later, and though nobody hears of the write.
func TestLateAnswers(t *testing.T) {
	for _, template := range []string{"n:{name}", "n:{response.name}"} {
		t.Run("Traffic 129: "+template, func(t *testing.T) {
			r := redistest.Start(t)
			one, other := withRedis(t, r), withRedis(t, r)
			one.Config.Stores.Redis.KeyPrefix, other.Config.Stores.Redis.KeyPrefix = "p:", "p:"
			asked, written := make(chan struct{}), make(chan struct{})
			s := &server{answer: func(_ context.Context, n int, _ string) (string, metadata.MD, error) {
				if n == 1 {
					close(asked)
					<-written
				}
				return fmt.Sprint(n), nil, nil
			}}
			text := strings.Replace(sharedPolicy, "n:{name}", template, 1)
			a, b := one.method("Get", text, s), other.method("Get", text, s)
			drops := "n:{name}"
			if strings.Contains(template, "response") {
				drops = "n:" // the answers have no name
			}
			w := other.method("Put", `cache { invalidates: "`+drops+`" }`, saying())
			done := make(chan string)
			go func() { done <- a.get("a") }()
			<-asked
			w.get("a")
			close(written)
			expect(t, <-done, "1")
			expect(t, b.get("a"), "2")
		})
	}
}

// TestSensitive: Traffic 130: messages with a sensitive field, nested too, stay in memory.
func TestSensitive(t *testing.T) {
	registry := policytest.Load(t, `syntax = "proto3"; package t;
import "transom/v1/annotations.proto";
import "google/protobuf/any.proto";
message Secret { string name = 1 [(transom.v1.field).sensitive = true]; }
message Open { string name = 1; Open next = 2; }
message Deep { Open open = 1; map<string, Deep> more = 2; repeated Secret secrets = 3; }
message Opaque { google.protobuf.Any any = 1; }
service S {
  rpc Ask(Secret) returns (Open) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Tell(Open) returns (Deep) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Any(Open) returns (Opaque) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Get(Open) returns (Open) { option idempotency_level = NO_SIDE_EFFECTS; }
}`)
	found, err := registry.FindDescriptorByName("t.S")
	if err != nil {
		t.Fatal(err)
	}
	r := redistest.Start(t)
	b := withRedis(t, r)
	b.service = found.(protoreflect.ServiceDescriptor)
	for name, why := range map[protoreflect.Name]string{"Ask": "t.Secret.name", "Tell": "t.Secret.name", "Any": "google.protobuf.Any.value", "Get": ""} {
		t.Run("Traffic 130: "+string(name), func(t *testing.T) {
			m := b.method(name, `cache { store: REDIS ttl { seconds: 60 } }`, saying())
			expect(t, m.get("a")+m.get("a"), "11")
			p, _ := policy.Find[interface{ Summary() string }](m.set)
			if want := "in memory only, for " + why; strings.Contains(p.Summary(), want) != (why != "") {
				t.Errorf("the summary is %q", p.Summary())
			}
		})
	}
	inRedis(t, r, 1)
}

// TestStoreRefused: Traffic 129: REDIS needs one.
func TestStoreRefused(t *testing.T) {
	b := newBench(t)
	b.Method = b.service.Methods().ByName("Get")
	b.Refused(`cache { store: REDIS }`, "cache.store: found REDIS, but the configuration has no stores.redis")
	b.Refused(`cache { store: 7 }`, "cache.store: found 7")
}

// TestSharedPurge: Traffic 128: what is dropped by hand is dropped in Redis and elsewhere.
func TestSharedPurge(t *testing.T) {
	for _, purge := range []memory.Purge{{}, {RPC: "t.S/Get"}, {Tag: "n:a"}, {Principal: "ada"}} {
		t.Run(fmt.Sprintf("Traffic 128: %+v", purge), func(t *testing.T) {
			r := redistest.Start(t)
			one, other := withRedis(t, r), withRedis(t, r)
			s, ctx := saying(), context.Background()
			text := `auth { jwt {} } ` + sharedPolicy
			a, b := one.method("Get", text, s), other.method("Get", text, s)
			expect(t, a.call(ctx, as("ada"), ask("a")), "1")
			inRedis(t, r, 1)
			expect(t, b.call(ctx, as("ada"), ask("a")), "1")
			p, _ := policy.Find[interface {
				PurgeAnswers(rpc, tag, principal string) (int, bool)
			}](b.set)
			if n, told := p.PurgeAnswers(purge.RPC, purge.Tag, purge.Principal); n != 1 || !told {
				t.Errorf("%d dropped here, others told: %v; want 1, true", n, told)
			}
			expect(t, b.call(ctx, as("ada"), ask("a")), "2")
			got := ""
			if !poll.Within(patience, func() bool { got = a.call(ctx, as("ada"), ask("a")); return got != "1" }) {
				t.Errorf("%q is given elsewhere", got)
			}
		})
	}
}

// TestPurgeWithoutRedis: Traffic 128: what is dropped by hand while Redis is killed or stopped is dropped here,
// and said not to be elsewhere; other gateways are told when Redis is back, also of what has no tag.
func TestPurgeWithoutRedis(t *testing.T) {
	for name, away := range map[string]func(*redistest.Server) (stop, start func()){
		"Traffic 128: killed":  func(r *redistest.Server) (stop, start func()) { return r.Kill, r.Restart },
		"Traffic 128: stopped": func(r *redistest.Server) (stop, start func()) { return r.Pause, r.Resume },
	} {
		t.Run(name, func(t *testing.T) {
			r := redistest.Start(t)
			one, other := withRedis(t, r), withRedis(t, r)
			other.Config.Stores.Redis.Timeout = durationpb.New(50 * time.Millisecond)
			const untagged = `cache { ttl { seconds: 60 } }`
			a, b := one.method("Get", untagged, saying()), other.method("Get", untagged, saying())
			expect(t, a.get("a")+b.get("a"), "11")
			p, _ := policy.Find[interface {
				PurgeAnswers(rpc, tag, principal string) (int, bool)
			}](b.set)
			stop, start := away(r)
			stop()
			if n, told := p.PurgeAnswers("t.S/Get", "", ""); n != 1 || told {
				t.Errorf("%d dropped here, others told: %v; want 1, false", n, told)
			}
			expect(t, b.get("a")+a.get("a"), "21")
			start()
			got := ""
			if !poll.Within(patience, func() bool {
				other.clock.Advance(time.Second) // Redis is left alone for a while after a failure
				got = a.get("a")
				return got != "1"
			}) {
				t.Errorf("%q is given elsewhere when Redis is back", got)
			}
		})
	}
}
