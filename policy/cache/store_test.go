package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/proxy"
)

// entryOf is an entry with a message of a size.
func entryOf(m *method, key string, size int) *entry {
	return &entry{Entry: memory.Entry{Key: key}, method: m, more: noMore, message: sharing.Message(make([]byte, size)), Life: sharing.Life{Came: time.Now(), Fresh: time.Hour}}
}

func (s *Store) putOne(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(e)
}

// TestScan: Traffic 120: a scan of a million keys that are used once drops little of what
// is used often.
func TestScan(t *testing.T) {
	s, m := newStore(memory.New(1<<20)), &method{}
	random := rand.New(rand.NewPCG(1, 2))
	ask := func(key string) bool {
		if s.get([]byte(key), time.Now()) != nil {
			return true
		}
		s.putOne(entryOf(m, key, 100))
		return false
	}
	rate := func(scan bool) float64 {
		hits := 0
		for i := range 100_000 {
			if scan {
				for j := range 10 {
					ask(fmt.Sprint("once ", i, " ", j))
				}
			}
			if ask(fmt.Sprint("hot ", random.IntN(1000))) {
				hits++
			}
		}
		return float64(hits) / 100_000
	}
	rate(false)
	before := rate(false)
	if during := rate(true); during < 0.9*before {
		t.Errorf("%.3f of the hot ones are found during a scan, %.3f without", during, before)
	}
}

// TestBound: Traffic 120: the memory stays within 1.25 times the bound, whatever the size
// of the answers, and one above 1 MiB is not kept.
func TestBound(t *testing.T) {
	for _, size := range []int{0, 10, 1000, 100_000} {
		const bound = 16 << 20
		s, m := newStore(memory.New(bound)), &method{}
		before := heap()
		for i := range 3 * bound / (size + 300) {
			e := entryOf(m, fmt.Sprintf("some key that has its length %d", i), size)
			e.header = metadata.Pairs("cache-control", "max-age=60")
			e.Tags = []string{fmt.Sprint("tag of its own ", i)}
			s.putOne(e)
		}
		if after := heap(); after-before > bound*5/4 || s.memory.Bytes() > bound {
			t.Errorf("answers of %d bytes: %d bytes of heap, %d counted, for a bound of %d", size, after-before, s.memory.Bytes(), bound)
		}
		runtime.KeepAlive(s)
	}
	s := newStore(memory.New(16 << 20))
	if s.putOne(entryOf(&method{}, "large", 1<<20)); s.memory.Len() != 0 {
		t.Error("an entry above 1 MiB is kept")
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // it is no exabyte
}

// TestHitAllocates: a hit of a canonical request allocates nothing.
func TestHitAllocates(t *testing.T) {
	m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, saying())
	m.get("a")
	r, request := policytest.Request("192.0.2.1"), proxy.WrapFrame(ask("a"))
	ctx := policy.NewContext(context.Background(), r)
	if n := testing.AllocsPerRun(100, func() { _, _ = m.wrapped.Call(ctx, m.path, nil, request) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHit is the cost of a call that is answered from the store.
func BenchmarkHit(b *testing.B) {
	m := newBench(b).method("Get", `cache { ttl { seconds: 60 } }`, saying())
	m.get("a")
	r, request := policytest.Request("192.0.2.1"), proxy.WrapFrame(ask("a"))
	ctx := policy.NewContext(context.Background(), r)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.wrapped.Call(ctx, m.path, nil, request)
	}
}

// TestFormsCount: Traffic 120: what edges make of an answer that is given again counts in max_bytes, and
// goes with it; an answer that is given for the first time has nothing of it.
func TestFormsCount(t *testing.T) {
	b := newBench(t)
	backend := saying()
	m := b.method("Get", `cache: { ttl: { seconds: 60 } }`, backend)
	reply := func() proxy.Reply {
		r := policytest.Request("192.0.2.1")
		ctx, err := m.set.Admit(context.Background(), r)
		defer m.set.Done(r, &policy.Outcome{})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := m.wrapped.Call(policy.NewContext(ctx, r), m.path, nil, proxy.WrapFrame(ask("a")))
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	if first := reply(); first.Message.Forms() != nil {
		t.Error("an answer that nobody has asked for again has forms")
	}
	part, _ := policy.Find[*part](m.set)
	before := part.store.memory.Bytes()
	forms := reply().Message.Forms()
	if forms == nil {
		t.Fatal("an answer that is given again has no forms")
	}
	var kind proxy.FormKind
	const size = 10_000
	forms.Keep(&proxy.Form{Of: &kind, Text: make([]byte, size)})
	if more := part.store.memory.Bytes() - before; more < size || more > size+1000 {
		t.Errorf("a form of %d bytes counts as %d", size, more)
	}
	forms.Keep(&proxy.Form{Of: new(proxy.FormKind), Text: make([]byte, memory.MaxEntry)})
	if reply().Message.Forms().Get(&kind, "") == nil || part.store.memory.Bytes() > before+size+1000 {
		t.Error("an answer grew beyond the bound of one")
	}
	if n := part.store.Purge(memory.Purge{}); n != 1 || part.store.memory.Bytes() != 0 {
		t.Errorf("%d answers were dropped, and %d bytes are taken still", n, part.store.memory.Bytes())
	}
	forms.Keep(&proxy.Form{Of: new(proxy.FormKind), Text: make([]byte, size)})
	if part.store.memory.Bytes() != 0 {
		t.Error("an answer that was dropped grew")
	}
}
