package ratelimit

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// process is what one gateway process has of its own. It is patient: a machine
// that is busy with other things must not look like a store that is away.
func process(t testing.TB, server *redistest.Server) *policytest.Bench {
	b := hasty(t, server)
	b.Config.Stores.Redis.Timeout = durationpb.New(10 * time.Second)
	return b
}

// hasty is a process with the timeout that gateways have.
func hasty(t testing.TB, server *redistest.Server) *policytest.Bench {
	b := policytest.NewBench(t, policy.StateOptions{}, Early(), Late())
	b.Config = &transomv1.Config{Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{Url: server.URL}}}
	return b
}

// calls reads how often the server was asked to run a script.
func calls(t testing.TB, server *redistest.Server) int {
	t.Helper()
	info, err := server.Client(t).Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, found := range regexp.MustCompile(`cmdstat_(?:eval|evalsha):calls=(\d+)`).FindAllStringSubmatch(info, -1) {
		count, _ := strconv.Atoi(found[1])
		n += count
	}
	return n
}

const perHour = `rate_limit { requests: 50 per { seconds: 3600 } }`

func TestProcessesShareALimitInRedis(t *testing.T) {
	policytest.EachClock(t, testProcessesShareALimitInRedis)
}

func testProcessesShareALimitInRedis(t *testing.T, server *redistest.Server) {
	one, two := process(t, server).Set(perHour), process(t, server).Set(perHour)
	call := func() *policy.Request { return policytest.Request("192.0.2.1") }
	var wg sync.WaitGroup
	admitted := make([]int, 8)
	for i := range admitted {
		wg.Go(func() { admitted[i] = policytest.CountAdmitted([]*policy.Set{one, two}[i%2], 20, call) })
	}
	wg.Wait()
	sum := 0
	for _, n := range admitted {
		sum += n
	}
	if sum != 50 {
		t.Errorf("two processes admitted %v, %d together, want 50", admitted, sum)
	}
	// The server dies and comes back with its data: the limit holds.
	server.Kill()
	server.Restart()
	waitForStore(t, one)
	if n := policytest.CountAdmitted(one, 5, call) + policytest.CountAdmitted(two, 5, call); n != 0 {
		t.Errorf("after a restart %d more calls were admitted, want 0", n)
	}
}

// waitForStore makes calls of a client of its own until Redis answers again.
func waitForStore(t testing.TB, s *policy.Set) {
	t.Helper()
	var last *limiter
	for _, p := range s.Parts() {
		if p, ok := p.(*rateLimits); ok {
			last = p.admission
		}
	}
	poll.Until(t, "Redis to be back", func() bool {
		_, err := last.shared.take(context.Background(), []bucketsRequest{{rate: rate{interval: 1, window: 1}, limit: "probe"}})
		return err == nil
	})
}

func TestRedisIsAskedOnceForAllLimitsOfACall(t *testing.T) {
	server := redistest.Start(t)
	s := process(t, server).Set(`
		rate_limit { requests: 100 per { seconds: 3600 } key: CLIENT_IP }
		rate_limit { requests: 1000 per { seconds: 3600 } key: ROUTE }
		rate_limit { requests: 10 per { seconds: 1 } key: HEADER header: "x-key" }`)
	if err := policytest.Admit(s, policytest.Request("192.0.2.1")); err != nil { // teaches Redis the script
		t.Fatal(err)
	}
	before := calls(t, server)
	for range 5 {
		r := policytest.Request("192.0.2.1", "X-Key: k")
		if err := policytest.Admit(s, r); err != nil {
			t.Fatal(err)
		}
		if got := r.ResponseHeader.Get("RateLimit"); strings.Count(got, ";r=") != 3 {
			t.Errorf("RateLimit: %s, want three limits", got)
		}
	}
	if n := calls(t, server) - before; n != 5 {
		t.Errorf("5 calls asked Redis %d times, want once each", n)
	}
}

func TestRedisChargesAllOrNone(t *testing.T) { policytest.EachClock(t, testRedisChargesAllOrNone) }

func testRedisChargesAllOrNone(t *testing.T, server *redistest.Server) {
	s := process(t, server).Set(`
		rate_limit { requests: 10 per { seconds: 3600 } name: "wide" }
		rate_limit { requests: 2 per { seconds: 3600 } name: "narrow" }`)
	policytest.CountAdmitted(s, 6, func() *policy.Request { return policytest.Request("192.0.2.1") })
	r := policytest.Request("192.0.2.1")
	if err := policytest.Admit(s, r); status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("found %v, want RESOURCE_EXHAUSTED", err)
	}
	if got := r.ResponseHeader.Get("RateLimit"); !strings.HasPrefix(got, `"wide";r=8;`) || !strings.Contains(got, `"narrow";r=0;`) {
		t.Errorf("RateLimit: %s, want 8 left of the wide limit", got)
	}
	if got, _ := strconv.Atoi(r.ResponseHeader.Get("Retry-After")); got < 1700 || got > 1800 {
		t.Errorf("Retry-After: %d, want about half an hour", got)
	}
}

// Where Redis refuses, this process's own limits are refunded; where they
// refuse, Redis is not asked.
func TestLimitsOfBothStores(t *testing.T) { policytest.EachClock(t, testLimitsOfBothStores) }

func testLimitsOfBothStores(t *testing.T, server *redistest.Server) {
	s := process(t, server).Set(`
		rate_limit { requests: 4 per { seconds: 3600 } name: "own" store: MEMORY }
		rate_limit { requests: 3 per { seconds: 3600 } name: "shared" }
		rate_limit { requests: 9 per { seconds: 3600 } name: "route" key: ROUTE store: MEMORY }`)
	call := func() *policy.Request { return policytest.Request("192.0.2.1") }
	if n := policytest.CountAdmitted(s, 5, call); n != 3 {
		t.Errorf("%d calls were admitted, want 3", n)
	}
	r := call()
	_ = policytest.Admit(s, r)
	for _, want := range []string{`"own";r=1;`, `"route";r=6;`, `"shared";r=0;`} {
		if got := r.ResponseHeader.Get("RateLimit"); !strings.Contains(got, want) {
			t.Errorf("RateLimit: %s, want %s in it", got, want)
		}
	}
	before := calls(t, server)
	narrow := process(t, server).Set(`
		rate_limit { requests: 1 per { seconds: 3600 } name: "one" store: MEMORY }
		rate_limit { requests: 90 per { seconds: 3600 } name: "many" }`)
	policytest.CountAdmitted(narrow, 10, call)
	if n := calls(t, server) - before; n != 1 {
		t.Errorf("Redis was asked %d times, want for the one call that the other limit let pass", n)
	}
}

// The script and the Go code are one algorithm.
func TestRedisCountsAsMemoryDoes(t *testing.T) { policytest.EachClock(t, testRedisCountsAsMemoryDoes) }

func testRedisCountsAsMemoryDoes(t *testing.T, server *redistest.Server) {
	for _, figures := range []string{
		"requests: 1 per { seconds: 3600 }", "requests: 7 per { seconds: 3600 }", "requests: 3 per { seconds: 86400 } burst: 10",
		"requests: 1000 per { seconds: 31536000 } burst: 333", "requests: 11 per { seconds: 3600 } burst: 1",
	} {
		shared := process(t, server).Set(`rate_limit { ` + figures + ` }`)
		own := policytest.NewBench(t, policy.StateOptions{}, Early(), Late()).Set(`rate_limit { ` + figures + ` }`)
		for i := range 400 {
			a, b := policytest.Request("192.0.2.1"), policytest.Request("192.0.2.1")
			errA, errB := policytest.Admit(shared, a), policytest.Admit(own, b)
			if (errA == nil) != (errB == nil) {
				t.Fatalf("%s, call %d: Redis says %v, memory %v", figures, i, errA, errB)
			}
			remaining := func(r *policy.Request) string {
				s, _, _ := strings.Cut(r.ResponseHeader.Get("RateLimit"), ";t=")
				return s
			}
			if remaining(a) != remaining(b) {
				t.Fatalf("%s, call %d: Redis says %s, memory %s", figures, i, remaining(a), remaining(b))
			}
		}
	}
}

func TestRedisAway(t *testing.T) {
	for _, test := range []struct {
		choice   string
		admitted int
		code     codes.Code
	}{
		{"ALLOW", 10, codes.OK},
		{"DENY", 0, codes.Unavailable},
		{"LOCAL", 3, codes.ResourceExhausted},
		{"ON_UNAVAILABLE_UNSPECIFIED", 3, codes.ResourceExhausted},
	} {
		t.Run(test.choice, func(t *testing.T) {
			server := redistest.Start(t)
			b := process(t, server)
			seen := &decisions{}
			b.Observer = seen
			s := b.Set(`rate_limit { requests: 3 per { seconds: 3600 } on_unavailable: ` + test.choice + ` }`)
			server.Kill()
			if n := policytest.CountAdmitted(s, 10, func() *policy.Request { return policytest.Request("192.0.2.1") }); n != test.admitted {
				t.Errorf("admitted %d of 10, want %d", n, test.admitted)
			}
			r := policytest.Request("192.0.2.1")
			if err := policytest.Admit(s, r); status.Code(err) != test.code {
				t.Errorf("found %v, want %v", err, test.code)
			} else if err != nil && r.ResponseHeader.Get("Retry-After") == "" {
				t.Error("the client is not told when to come back")
			}
			if seen.count("rate_limit grpc.testing.TestService/UnaryCall unavailable_store") == 0 {
				t.Error("nobody was told that the store is away")
			}
			server.Restart()
			waitForStore(t, s)
			if n := policytest.CountAdmitted(s, 10, func() *policy.Request { return policytest.Request("192.0.2.1") }); n != 3 {
				t.Errorf("with Redis back %d of 10 were admitted, want 3", n)
			}
		})
	}
}

// decisions is an Observer that remembers.
type decisions struct {
	mu   sync.Mutex
	seen map[string]int
}

func (d *decisions) Decision(policy, rpc, result string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[string]int{}
	}
	d.seen[policy+" "+rpc+" "+result]++
}

func (d *decisions) count(line string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[line]
}

// A server that swallows everything is the worst case: each call would wait.
func TestNoCallWaitsLongerThanTheTimeout(t *testing.T) {
	for name, away := range map[string]struct{ leave, back func(*redistest.Server) }{
		"swallows everything": {(*redistest.Server).Pause, (*redistest.Server).Resume},
		"is dead":             {(*redistest.Server).Kill, (*redistest.Server).Restart},
	} {
		t.Run("a server that "+name, func(t *testing.T) {
			server := redistest.Start(t)
			s := hasty(t, server).Set(`rate_limit { requests: 1000000 per { seconds: 3600 } on_unavailable: ALLOW }`)
			waitForStore(t, s)
			shared := s.Parts()[0].(*rateLimits).admission.shared
			before := shared.Health.Failures()
			deadlines := &policytest.DeadlineHook{Limit: 50 * time.Millisecond}
			shared.Client.AddHook(deadlines)
			away.leave(server)
			callInParallel(t, s)
			// How many waited at all is exact: those that were under way when it happened.
			deadlines.Check(t)
			if n := shared.Health.Failures() - before; n < 1 || n > 8 {
				t.Errorf("%d calls waited for the store, want the first of each of 8 at most", n)
			}
			away.back(server)
			waitForStore(t, s)
		})
	}
}

// callInParallel makes 800 calls, 8 at a time, which all must be let in.
func callInParallel(t *testing.T, s *policy.Set) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if err := policytest.Admit(s, policytest.Request("192.0.2.1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAClientThatWentAwaySaysNothingOfTheStore(t *testing.T) {
	server := redistest.Start(t)
	s := process(t, server).Set(perHour)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Admit(ctx, policytest.Request("192.0.2.1")); status.Code(err) != codes.Canceled {
		t.Errorf("found %v, want CANCELED", err)
	}
	p := s.Parts()[0].(*rateLimits)
	if !p.admission.shared.Health.Ask() {
		t.Error("the store counts as away")
	}
}

// In a cluster each bucket is asked for itself; the answer must be the same.
func TestBucketsOnDifferentServersChargeAllOrNone(t *testing.T) {
	policytest.EachClock(t, testBucketsOnDifferentServersChargeAllOrNone)
}

func testBucketsOnDifferentServersChargeAllOrNone(t *testing.T, server *redistest.Server) {
	s := process(t, server).Set(perHour)
	shared := s.Parts()[0].(*rateLimits).admission.shared
	requests := []bucketsRequest{
		{rate: rate{interval: time.Minute, window: 10 * time.Minute}, limit: "wide"},
		{rate: rate{interval: time.Hour, window: 2 * time.Hour}, limit: "narrow"},
	}
	ctx := context.Background()
	for i := range 6 {
		verdicts, err := shared.takeEach(ctx, requests)
		if err != nil {
			t.Fatal(err)
		}
		if want := i >= 2; verdicts[1].refused != want || verdicts[0].refused {
			t.Fatalf("call %d: %+v, want the narrow one to refuse: %t", i, verdicts, want)
		}
		if want := int64(10 - min(i+1, 2)); verdicts[0].remaining != want {
			t.Errorf("call %d: %d remain of the wide one, want %d", i, verdicts[0].remaining, want)
		}
	}
	verdicts, err := shared.takeAll(ctx, requests[:1])
	if err != nil || verdicts[0].remaining != 7 {
		t.Errorf("after the refunds: %+v, %v, want 7 left of the wide one", verdicts, err)
	}
}

func TestRateLimitInACluster(t *testing.T) {
	server := redistest.StartCluster(t)
	one := process(t, server).Set(`
		rate_limit { requests: 10 per { seconds: 3600 } name: "wide" key: ROUTE }
		rate_limit { requests: 2 per { seconds: 3600 } name: "narrow" on_unavailable: DENY }`)
	waitForStore(t, one) // the client learns the cluster's map
	for address, want := range map[string]string{"192.0.2.1": "yyn", "192.0.2.2": "yyn"} {
		got := ""
		for range 3 {
			if err := policytest.Admit(one, policytest.Request(address)); err == nil {
				got += "y"
			} else if got += "n"; status.Code(err) != codes.ResourceExhausted {
				t.Errorf("found %v, want RESOURCE_EXHAUSTED", err)
			}
		}
		if got != want {
			t.Errorf("%s: admitted %s, want %s", address, got, want)
		}
	}
	r := policytest.Request("192.0.2.1")
	_ = policytest.Admit(one, r)
	if got := r.ResponseHeader.Get("RateLimit"); !strings.HasPrefix(got, `"wide";r=6;`) {
		t.Errorf("RateLimit: %s, want 6 left of the wide limit after 4 calls", got)
	}
}

func TestKeysInRedisHoldNothingOfTheCaller(t *testing.T) {
	policytest.EachClock(t, testKeysInRedisHoldNothingOfTheCaller)
}

func testKeysInRedisHoldNothingOfTheCaller(t *testing.T, server *redistest.Server) {
	s := process(t, server).Set(`rate_limit { requests: 5 per { seconds: 3600 } key: HEADER header: "x-api-key" name: "api" }`)
	if err := policytest.Admit(s, policytest.Request("192.0.2.1", "X-Api-Key: top-secret")); err != nil {
		t.Fatal(err)
	}
	client := server.Client(t)
	keys, err := client.Keys(context.Background(), "*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v, want one", keys, err)
	}
	if !regexp.MustCompile(`^transom:rate:\{[0-9a-f]{16}:t[0-9a-f]+\.[0-9a-f]+\}$`).MatchString(keys[0]) {
		t.Errorf("the key is %q", keys[0])
	}
	if ttl := client.PTTL(context.Background(), keys[0]).Val(); ttl <= 0 || ttl > 720*time.Second {
		t.Errorf("the key lives %v more, want as long as its bucket fills: 12 minutes", ttl)
	}
}

// TestRedisBucketsFillByItsClock: a bucket fills as the server's time passes.
func TestRedisBucketsFillByItsClock(t *testing.T) {
	policytest.EachClock(t, func(t *testing.T, server *redistest.Server) {
		s := process(t, server).Set(`rate_limit { requests: 6 per { seconds: 3600 } }`)
		call := func() *policy.Request { return policytest.Request("192.0.2.1") }
		for _, step := range []struct {
			passes time.Duration
			want   int
		}{{0, 6}, {20 * time.Minute, 2}, {time.Hour, 6}} {
			server.Advance(step.passes)
			if n := policytest.CountAdmitted(s, 10, call); n != step.want {
				t.Errorf("after %v more: %d of 10 calls were admitted, want %d", step.passes, n, step.want)
			}
		}
		// Set back, the clock makes nobody wait longer than for a full bucket's worth.
		server.Advance(-48 * time.Hour)
		r := call()
		if err := policytest.Admit(s, r); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("found %v, want RESOURCE_EXHAUSTED", err)
		}
		if wait, _ := strconv.Atoi(r.ResponseHeader.Get("Retry-After")); wait < 500 || wait > 600 {
			t.Errorf("Retry-After: %d, want about ten minutes", wait)
		}
		server.Advance(10*time.Minute + time.Second)
		if n := policytest.CountAdmitted(s, 10, call); n != 1 {
			t.Errorf("after this time %d calls were admitted, want 1", n)
		}
	})
}

func BenchmarkRedisLimit(b *testing.B) {
	server := redistest.Start(b)
	for _, limits := range []int{1, 3} {
		b.Run(fmt.Sprint(limits, " limits"), func(b *testing.B) {
			s := process(b, server).Set(strings.Repeat(`rate_limit { requests: 1000000 per { seconds: 1 } }`, limits))
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				r := policytest.Request("192.0.2.1")
				for pb.Next() {
					clear(r.ResponseHeader)
					_ = policytest.Admit(s, r)
				}
			})
		})
	}
}
