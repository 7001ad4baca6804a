package keys

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/proxy"
)

// oneKey is what many calls under one key have seen of it together.
type oneKey struct {
	m                     *memory
	c                     *Call
	clock                 *policytest.Clock
	holders, taken, freed atomic.Int64 // freed: by an operator, so that a call more may have the key
}

// use makes a call under the key: the first one ends as chance has it, another waits for it.
func (k *oneKey) use(t *testing.T, random *rand.Rand) {
	lease, known, err := k.m.Begin(t.Context(), k.c)
	switch {
	case err != nil:
		t.Errorf("refused: %v", err)
	case lease != nil:
		k.taken.Add(1)
		if now, freed := k.holders.Add(1), k.freed.Load(); now > 1+freed {
			t.Errorf("%d calls have the key, which was released %d times", now, freed)
		}
		for range random.IntN(4) {
			runtime.Gosched()
		}
		k.holders.Add(-1)
		lease.End([]*Record{nil, {State: Answered, Message: []byte("answer")}, {State: Uncertain}}[random.IntN(3)], time.Minute)
	case known.State == Running:
		ctx, cancel := context.WithCancel(t.Context())
		if random.IntN(4) == 0 {
			cancel()
		}
		if _, ok := k.m.Wait(ctx, k.c.ID); !ok && ctx.Err() == nil {
			t.Error("it waits no more, and has time")
		}
		cancel()
	case known.State == Answered:
		if known.Forms != nil {
			known.Forms.Keep(&proxy.Form{Of: new(proxy.FormKind), Text: []byte("form")})
		}
	}
}

// TestOneKey: Traffic 86, 95: calls that have a key, wait for it, go and find it answered, while its
// time ends and operators look at it and release it, never have it at once, wait for ever or leave
// anything in the memory.
func TestOneKey(t *testing.T) {
	for seed := range uint64(8) {
		clock := policytest.NewClock()
		k := &oneKey{m: newMemory(1<<20, clock), c: keyed("a", "a", ""), clock: clock}
		id := hex.EncodeToString(k.c.ID[:])
		var all sync.WaitGroup
		for i := range uint64(8) {
			all.Go(func() {
				random := rand.New(rand.NewPCG(seed, i))
				for range 400 {
					switch random.IntN(16) {
					case 0:
						k.clock.Advance(time.Minute)
					case 1:
						k.freed.Add(1)
						_, _ = k.m.ReleaseKey(t.Context(), id, true) // there may be none
					case 2:
						_, _ = k.m.LookUpKey(t.Context(), id) // likewise
						k.m.KeysUsage()
					default:
						k.use(t, random)
					}
				}
			})
		}
		all.Wait()
		clock.Advance(2 * time.Minute)
		if u := k.m.KeysUsage(); u.Bytes != 0 || u.Keys != 0 || len(k.m.owners) != 0 || len(k.m.due) != 0 || k.taken.Load() < 10 {
			t.Errorf("%d bytes and %d keys are left, of %d owners; %d to end; %d calls had the key", u.Bytes, u.Keys, len(k.m.owners), len(k.m.due), k.taken.Load())
		}
	}
}
