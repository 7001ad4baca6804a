package keys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/store"
)

// scripted answers scripts in the place of a Redis, in the time of a bubble.
type scripted struct {
	begun  time.Time
	failed bool // ends are not written

	mu   sync.Mutex
	seen []string // "name after time: arguments"
}

var _ redis.Hook = (*scripted)(nil)

// DialHook implements redis.Hook.
func (*scripted) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook.
func (*scripted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (s *scripted) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		answer, ok := cmd.(*redis.Cmd)
		if !ok {
			return fmt.Errorf("found the command %s", cmd.Name())
		}
		args := cmd.Args() // evalsha, the script, how many keys, the key, the token and so on
		text := ""
		switch args[1] {
		case beginScript.Hash():
			text = fmt.Sprint("begin for ", args[6], ", kept for ", args[7])
			fingerprint, _ := args[5].([]byte)
			answer.SetVal([]any{inRedisTaken, string(fingerprint), ""})
		case renewScript.Hash():
			text = fmt.Sprint("renew for ", args[5], ", kept for ", args[6])
			answer.SetVal(int64(1))
		case endScript.Hash():
			text = fmt.Sprint("end, kept for ", args[6])
			answer.SetVal(int64(1))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, fmt.Sprintf("%v: %s", time.Since(s.begun), text))
		if s.failed && args[1] == endScript.Hash() {
			err := errors.New("no connection")
			answer.SetErr(err)
			return err
		}
		return nil
	}
}

// asked is what Redis was asked so far.
func (s *scripted) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// start keeps records behind the hook.
func (s *scripted) start(t *testing.T, log *slog.Logger) *redisAnswers {
	t.Helper()
	client := redis.NewClient(&redis.Options{})
	client.AddHook(s)
	late := &lateEnds{places: make(chan struct{}, 1)}
	late.ctx, late.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { _, _ = late.Close(), client.Close() }) // nothing is written
	return &redisAnswers{Redis: &store.Redis{Client: client, Timeout: time.Second, Health: store.NewHealth(time.Now, nil)}, log: log, late: late}
}

// TestLeaseIsRenewed: Traffic 93: in Redis a key is held for 15 s, and held anew every 5 while its call is under way; behind
// that its time is ttl from the end of the call.
func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{begun: time.Now()}
		c := keyed("key", "one", "request")
		c.TTL = 24 * time.Hour
		lease, _, err := s.start(t, slog.New(slog.DiscardHandler)).Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		lease.End(&Record{State: Answered}, c.TTL)
		time.Sleep(time.Minute)
		const lasts = "kept for 86400000"
		want := []string{"0s: begin for 15000, " + lasts, "5s: renew for 15000, " + lasts, "10s: renew for 15000, " + lasts, "12s: end, " + lasts}
		if seen := s.asked(); !slices.Equal(seen, want) {
			t.Errorf("Redis was asked %q, want %q", seen, want)
		}
	})
}

// TestEndThatCannotBeWritten: Traffic 96: an end that cannot be written is tried again for the time of the lease, behind the
// client's answer, and then the log says so, and it is counted.
func TestEndThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{begun: time.Now(), failed: true}
		var log logtext.Text
		a := s.start(t, slog.New(slog.NewTextHandler(&log, nil)))
		c, lost := keyed("key", "one", "request"), 0
		c.Lost = func() { lost++ }
		lease, _, err := a.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		lease.End(&Record{State: Answered}, time.Minute)
		if time.Since(s.begun) != 0 {
			t.Errorf("the call waits for %v", time.Since(s.begun))
		}
		time.Sleep(14 * time.Second)
		if log.String() != "" {
			t.Errorf("the log says within the lease: %s", log.String())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !strings.Contains(log.String(), "could not be kept") || lost != 1 {
			t.Errorf("the log says %q, and it was told %d times", log.String(), lost)
		}
		n := len(s.asked())
		if n < 20 {
			t.Errorf("Redis was asked %d times only", n)
		}
		time.Sleep(time.Minute)
		if more := s.asked()[n:]; len(more) > 0 {
			t.Errorf("it is tried behind the lease: %q", more)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{begun: time.Now(), failed: true}
		lease, _, err := s.start(t, slog.New(slog.DiscardHandler)).Begin(t.Context(), keyed("key", "one", "request"))
		if err != nil {
			t.Fatal(err)
		}
		lease.End(&Record{State: Answered}, time.Minute)
		time.Sleep(1200 * time.Millisecond)
		s.mu.Lock()
		s.failed = false // it is back
		s.mu.Unlock()
		time.Sleep(time.Minute)
		if seen := s.asked(); len(seen) != 5 || !strings.HasPrefix(seen[4], "1.5s: end") {
			t.Errorf("Redis was asked %q", seen)
		}
	})
}

// TestMemoryByDefault: Traffic 95: all keys have 64 MiB where the configuration says nothing, and one caller has a tenth.
func TestMemoryByDefault(t *testing.T) {
	var g *policy.Generation
	policytest.NewBench(t, policy.StateOptions{}, policytest.GenerationOf(&g)).Set("")
	s, err := InMemory(g)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := s.(*memory)
	if !ok {
		t.Fatalf("%T is no memory", s)
	}
	const all, tenth = 67108864, 6710886
	for _, test := range []struct {
		used, owners int64
		want         bool
	}{{all - 1, 0, true}, {all, 0, false}, {0, tenth - 1, true}, {0, tenth, false}} {
		m.used, m.owners = test.used, map[Digest]int64{{}: test.owners}
		if got := m.fits(Digest{}, 1); got != test.want {
			t.Errorf("%+v: a byte more fits: %v", test, got)
		}
	}
}

// TestTTLBeginsAtTheEndInMemory: Traffic 93: the time of a key runs from the end of its call, however long that takes.
func TestTTLBeginsAtTheEndInMemory(t *testing.T) {
	clock := policytest.NewClock()
	m := newMemory(100<<10, clock)
	c := keyed("key", "one", "")
	state := func() State {
		t.Helper()
		lease, kept, err := m.Begin(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if lease != nil {
			lease.End(nil, 0)
			return 0
		}
		return kept.State
	}
	lease, _, err := m.Begin(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	got := []State{state()}
	lease.End(&Record{State: Answered}, time.Minute)
	clock.Advance(time.Minute - 1)
	got = append(got, state())
	clock.Advance(1)
	if got = append(got, state()); !slices.Equal(got, []State{Running, Answered, 0}) {
		t.Errorf("the states are %v", got)
	}
}
