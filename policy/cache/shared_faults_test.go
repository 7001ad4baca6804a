package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
)

// TestRedisKilledUnderLoad: Traffic 127, 129: while a Redis is killed and stopped again and again, two
// gateways answer every call; no read sees what was there before a write that its gateway
// has answered, and when Redis is there again the other gateway sees it, too.
func TestRedisKilledUnderLoad(t *testing.T) {
	const names, outages, between = 4, 6, 150
	r := redistest.Start(t)
	var values, answered [names]atomic.Int64
	read := &server{answer: func(_ context.Context, _ int, request string) (string, metadata.MD, error) {
		return strconv.FormatInt(values[request[2]-'0'].Load(), 10), nil, nil
	}}
	write := &server{answer: func(_ context.Context, _ int, request string) (string, metadata.MD, error) {
		values[request[2]-'0'].Add(1)
		return "", nil, nil
	}}
	var gateways [2]*bench
	var gets, puts [2]*caching
	for i := range gateways {
		b := withRedis(t, r)
		b.Config.Stores.Redis.Timeout = durationpb.New(50 * time.Millisecond)
		gateways[i], gets[i], puts[i] = b, b.method("Get", sharedPolicy, read), b.method("Put", `cache { invalidates: "n:{name}" }`, write)
	}
	value := func(gateway, name int) int64 {
		got, err := strconv.ParseInt(gets[gateway].get(strconv.Itoa(name)), 10, 64)
		if err != nil {
			t.Errorf("a read has no answer: %v", err)
		}
		return got
	}
	var steps atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker))) //nolint:gosec // a few
			for ctx.Err() == nil {
				name := random.IntN(names)
				writer := name % 2 // the gateway that writes a name
				switch n := random.IntN(12); {
				case n == 0 && worker < names: // each name has one writer
					name, writer = worker, worker%2
					puts[writer].get(strconv.Itoa(name))
					answered[name].Add(1)
				case n == 1:
					gateways[random.IntN(2)].clock.Advance(time.Second)
				case n < 5:
					value(1-writer, name)
				default:
					least := answered[name].Load()
					if got := value(writer, name); got < least {
						t.Errorf("a read of %d saw %d after the write of %d was answered", name, got, least)
					}
				}
				steps.Add(1)
			}
		})
	}
	for i := range outages {
		upTo := func(n int64) {
			poll.Until(t, "calls", func() bool { return steps.Load() >= n })
		}
		upTo(steps.Load() + between)
		if i%2 == 0 {
			r.Kill()
			upTo(steps.Load() + between)
			r.Restart()
		} else {
			r.Pause()
			upTo(steps.Load() + between)
			r.Resume()
		}
	}
	stop()
	all.Wait()
	for name := range names {
		for gateway := range gateways {
			if !poll.Within(patience, func() bool {
				gateways[gateway].clock.Advance(time.Second) // Redis is left alone for a while after a failure
				return value(gateway, name) == values[name].Load()
			}) {
				t.Errorf("gateway %d gives %d for %d, which is %d", gateway, value(gateway, name), name, values[name].Load())
			}
		}
	}
}

// deaf has no gateway hear of others until it is told that they may.
func deaf(t *testing.T, r *redistest.Server) (hears func()) {
	t.Helper()
	client := r.Client(t)
	must := func(arguments ...any) {
		t.Helper()
		if err := client.Do(t.Context(), arguments...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	must("ACL", "SETUSER", "default", "-subscribe")
	must("CLIENT", "KILL", "TYPE", "pubsub")
	return func() { must("ACL", "SETUSER", "default", "+subscribe") }
}

// TestUnheardDrops: Traffic 127, 129: where a gateway's connection to the others is lost, and with it the
// word of a write, what it has of Redis is given for five seconds more and no longer, by
// the generations alone; when it hears again, it drops what has tags.
func TestUnheardDrops(t *testing.T) {
	inMemory := strings.Replace(sharedPolicy, "store: REDIS ", "", 1)
	r := redistest.Start(t)
	one, other := withRedis(t, r), withRedis(t, r)
	s := saying()
	a, kept := one.method("Get", sharedPolicy, s), one.method("Other", inMemory, s)
	w := other.method("Put", `cache { invalidates: "n:{name}" }`, saying())
	expect(t, a.get("a")+kept.get("a"), "12")
	inRedis(t, r, 1)
	hears := deaf(t, r)
	w.get("a")
	expect(t, a.get("a")+kept.get("a"), "12") // nobody has told it
	one.clock.Advance(5*time.Second - 1)
	expect(t, a.get("a")+kept.get("a"), "12")
	one.clock.Advance(1)
	expect(t, a.get("a"), "3")
	expect(t, kept.get("a"), "2") // for as long as it is fresh
	hears()
	got := ""
	if !poll.Within(patience, func() bool { got = kept.get("a"); return got != "2" }) {
		t.Errorf("%q is given by a gateway that hears again", got)
	}
}

// TestUnheardPurges: Traffic 128: a gateway whose connection to the others is lost drops what has no tag, too, when
// it hears again, if answers were dropped by hand meanwhile; and keeps it where only writes have dropped some.
func TestUnheardPurges(t *testing.T) {
	const untagged = `cache { ttl { seconds: 60 } }`
	r := redistest.Start(t)
	one, other := withRedis(t, r), withRedis(t, r)
	a, b := one.method("Get", untagged, saying()), other.method("Get", untagged, saying())
	tagged := one.method("Other", `cache { ttl { seconds: 60 } tags: "n:{name}" }`, saying())
	w := other.method("Put", `cache { invalidates: "n:{name}" }`, saying())
	p, _ := policy.Find[interface {
		PurgeAnswers(rpc, tag, principal string) (int, bool)
	}](b.set)
	hears := func(m *caching, before string) {
		t.Helper()
		if !poll.Within(patience, func() bool { return m.get("a") != before }) {
			t.Errorf("%q is given by a gateway that hears again", before)
		}
	}
	expect(t, a.get("a")+b.get("a")+tagged.get("a"), "111")
	deafened := deaf(t, r)
	w.get("a")
	deafened()
	hears(tagged, "1")
	expect(t, a.get("a"), "1")

	for i, purge := range []memory.Purge{{RPC: "t.S/Get"}, {}, {RPC: "t.S/Get"}} {
		expect(t, a.get("a"), strconv.Itoa(i+1))
		deafened = deaf(t, r)
		if _, told := p.PurgeAnswers(purge.RPC, purge.Tag, purge.Principal); !told {
			t.Fatal("Redis was not told")
		}
		deafened()
		hears(a, strconv.Itoa(i+1))
	}
}

// TestSharedVary: Traffic 117, 129: answers that vary are found by other gateways by the headers that they
// vary by, and a write drops all of them.
func TestSharedVary(t *testing.T) {
	r := redistest.Start(t)
	one, other := withRedis(t, r), withRedis(t, r)
	s := saying("vary", "x-tenant")
	a, b := one.method("Get", sharedPolicy, s), other.method("Get", sharedPolicy, s)
	expect(t, a.get("a", "X-Tenant: 1")+a.get("a", "X-Tenant: 2")+a.get("a", "X-Tenant: 1"), "121")
	inRedis(t, r, 3) // two, and what they vary by
	expect(t, b.get("a", "X-Tenant: 2")+b.get("a", "X-Tenant: 1")+b.get("a", "X-Tenant: 3"), "213")
	inRedis(t, r, 4)
	one.clock.Advance(5 * time.Second)
	expect(t, a.get("a", "X-Tenant: 3")+a.get("a", "X-Tenant: 1"), "31")
	other.method("Put", `cache { invalidates: "n:{name}" }`, saying()).get("a")
	for i, tenant := range []string{"1", "2", "3"} {
		expect(t, b.get("a", "X-Tenant: "+tenant), strconv.Itoa(4+i))
	}
	got := ""
	if !poll.Within(patience, func() bool { got = a.get("a", "X-Tenant: 1"); return got != "1" }) {
		t.Errorf("the other gateway gives %q after the write", got)
	}
}

// TestFullQueue: Traffic 129: what Redis does not take in time is not kept there, and counted; calls do not wait
// for it.
func TestFullQueue(t *testing.T) {
	r := redistest.Start(t)
	b := withRedis(t, r)
	var seen decisions
	b.Observer = &seen
	s := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) { return "x", nil, nil }}
	m := b.method("Get", `cache { store: REDIS ttl { seconds: 60 } }`, s)
	m.get("first") // its generations are there
	inRedis(t, r, 1)
	client := r.Client(t)
	if err := client.Do(t.Context(), "CLIENT", "PAUSE", "60000", "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	for i := 0; seen.of("queue_full") < 3; i++ {
		if i > 3000 {
			t.Fatal("3,000 answers wait for Redis")
		}
		expect(t, m.get(fmt.Sprint(i)), "x")
	}
	if n := seen.of("unavailable_store"); n > 0 {
		t.Errorf("%d answers were lost otherwise", n)
	}
	if err := client.Do(t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "answers in Redis", func() bool { return client.DBSize(t.Context()).Val() > 100 })
}

// decisions counts what policies report.
type decisions struct {
	mu sync.Mutex
	n  map[string]int
}

var _ policy.Observer = (*decisions)(nil)

// Decision implements policy.Observer.
func (d *decisions) Decision(_, _, result string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == nil {
		d.n = map[string]int{}
	}
	d.n[result]++
}

func (d *decisions) of(result string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n[result]
}

// TestClockSkew: Traffic 129: where the clocks of two gateways differ by 10 s, no answer is
// given for longer than it is fresh by Redis's clock: one whose clock is behind goes by what
// Redis says is left, and one whose clock is ahead takes an answer for that much older, and so
// finds nothing in what is fresh for less.
func TestClockSkew(t *testing.T) {
	const skew = 10 * time.Second
	for name, test := range map[string]struct {
		off   time.Duration // of the reader's clock
		fresh string
		later time.Duration // it reads
		calls int
	}{
		"behind, at once":          {-skew, "max-age=30", 0, 0},
		"behind, in time":          {-skew, "max-age=30", 25 * time.Second, 0},
		"behind, too late":         {-skew, "max-age=30", 31 * time.Second, 1},
		"ahead, at once":           {skew, "max-age=30", 0, 0},
		"ahead, less than is left": {skew, "max-age=30", 15 * time.Second, 0},
		"ahead, more than is left": {skew, "max-age=30", 25 * time.Second, 1},
		"ahead, fresh for less":    {skew, "max-age=5", 0, 1},
	} {
		t.Run("Traffic 129: "+name, func(t *testing.T) {
			r := redistest.StartWithClock(t, 0)
			one, other := withRedis(t, r), withRedis(t, r)
			s, own := saying("cache-control", test.fresh), saying("cache-control", test.fresh)
			a, b := one.method("Get", sharedPolicy, s), other.method("Get", sharedPolicy, own)
			expect(t, a.get("a"), "1")
			inRedis(t, r, 1)
			r.Advance(test.later)
			other.clock.Advance(test.later + test.off)
			b.get("a")
			if n := own.count(); n != test.calls {
				t.Errorf("the reader made %d calls, want %d", n, test.calls)
			}
		})
	}
}
