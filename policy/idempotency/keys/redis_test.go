package keys

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	redistest "github.com/transom-gateway/transom/internal/testing/redis"
)

// TestHugeRecord: Traffic 97: what somebody else has written in the place of a record, and is larger than one
// can be, is refused and not read.
func TestHugeRecord(t *testing.T) {
	server := redistest.Start(t)
	answers, client := inRedis(t, server, "t:"), server.Client(t)
	c := keyed("key", "one", "request")
	lease, _, err := answers.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, time.Minute)
	if err := client.HSet(t.Context(), answers.key(c.ID), "record", strings.Repeat("x", maxRecord+1)).Err(); err != nil {
		t.Fatal(err)
	}
	sent := func() int {
		t.Helper()
		info, err := client.InfoMap(t.Context(), "stats").Result()
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(info["Stats"]["total_net_output_bytes"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := sent()
	if _, kept, err := answers.Begin(t.Context(), c); status.Code(err) != codes.Unavailable {
		t.Errorf("%+v, %v", kept, err)
	}
	if seen, kept := answers.look(t.Context(), c.ID); seen != unclear {
		t.Errorf("%v, %+v", seen, kept)
	}
	if n := sent() - before; n > 1<<20 {
		t.Errorf("%d bytes were read", n)
	}
}

// TestTTLBeginsAtTheEnd: Traffic 93: a key whose ttl is shorter than its call stays taken until the call has ended,
// also between two renewals, and is kept for ttl from then on; one whose gateway died is unknown for ttl.
func TestTTLBeginsAtTheEnd(t *testing.T) {
	server := redistest.StartWithClock(t, 0)
	answers := inRedis(t, server, "t:")
	state := func(c *Call) State {
		t.Helper()
		lease, kept, err := answers.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if lease != nil {
			lease.End(nil, time.Second)
			return 0
		}
		return kept.State
	}
	begin := func(key string) (*Call, *redisLease) {
		t.Helper()
		c := keyed(key, "one", "request")
		c.TTL = time.Second
		first, _, err := answers.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		lease, ok := first.(*redisLease)
		if !ok {
			t.Fatalf("%T is no lease of Redis", first)
		}
		return c, lease
	}
	is := func(when string, got, want State) {
		t.Helper()
		if got != want {
			t.Errorf("%s the key is in the state %d, want %d", when, got, want)
		}
	}
	c, lease := begin("alive")
	server.Advance(renewEvery - time.Second)
	is("before it is renewed", state(c), Running)
	ctx, cancel := answers.Bound(t.Context())
	defer cancel()
	if err := renewScript.Run(ctx, answers.Client, []string{lease.key}, lease.token, leaseTime.Milliseconds(), c.TTL.Milliseconds()).Err(); err != nil {
		t.Fatal(err)
	}
	server.Advance(renewEvery - time.Second)
	is("once it was renewed", state(c), Running)
	lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, c.TTL)
	is("when its call has ended", state(c), Answered)
	server.Advance(2 * time.Second)
	is("behind its time", state(c), 0)

	c, lease = begin("dead")
	close(lease.stop) // nobody renews
	lease.stopped.Wait()
	server.Advance(leaseTime + c.TTL/2)
	is("when its gateway is lost", state(c), Uncertain)
	server.Advance(c.TTL)
	is("ttl behind that", state(c), 0)
}

// TestScriptsOfACall: Traffic 96: the first call under a key asks Redis to run two scripts, a replay one; a key is
// one key there, whose name has it in one slot of a cluster and tells nothing of the client's.
func TestScriptsOfACall(t *testing.T) {
	server := redistest.Start(t)
	answers, client := inRedis(t, server, "t:"), server.Client(t)
	ran := func() (n int) {
		t.Helper()
		info, err := client.InfoMap(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"cmdstat_eval", "cmdstat_evalsha"} {
			text, _, _ := strings.Cut(strings.TrimPrefix(info["Commandstats"][name], "calls="), ",")
			if count, err := strconv.Atoi(text); err == nil {
				n += count
			}
		}
		return n
	}
	call := func(key string) (replayed bool) {
		t.Helper()
		c := keyed(key, "one", "request")
		c.Key = key
		lease, kept, err := answers.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if lease != nil {
			lease.End(&Record{State: Answered, Fingerprint: c.Fingerprint}, time.Minute)
		}
		return kept != nil
	}
	call("warm") // the scripts are there from now on
	for _, want := range []struct {
		replayed bool
		scripts  int
	}{{false, 2}, {true, 1}} {
		before := ran()
		if replayed := call("a-client's-key"); replayed != want.replayed || ran()-before != want.scripts {
			t.Errorf("replayed is %v after %d scripts, want %+v", replayed, ran()-before, want)
		}
	}
	names, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(names) != 2 {
		t.Fatalf("%q, %v; want a key for each", names, err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "t:idempotency:{") || !strings.HasSuffix(name, "}") || strings.Contains(name, "client") {
			t.Errorf("a key is %q", name)
		}
	}
}
