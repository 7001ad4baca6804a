package ratelimit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// tokenBucket is what GCRA must be equal to: a bucket that is filled by a timer
// of one nanosecond.
type tokenBucket struct {
	interval, window, level, last int64
}

func (b *tokenBucket) take(now int64) bool {
	b.level = min(b.level+now-b.last, b.window)
	b.last = now
	if b.level < b.interval {
		return false
	}
	b.level -= b.interval
	return true
}

func TestGCRAIsATokenBucket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		interval := 1 + random.Int64N(1000)
		burst := 1 + random.Int64N(20)
		r := rate{interval: time.Duration(interval), window: time.Duration(interval * burst)}
		b := &tokenBucket{interval: interval, window: interval * burst, level: interval * burst}
		var now, tat int64
		for range 200 {
			now += random.Int64N(2 * interval)
			before := tat
			var v verdict
			tat, v = r.take(tat, now)
			want := b.take(now)
			if v.refused == want {
				t.Fatalf("interval %d, burst %d, at %d: refused %t, the bucket gives %t", interval, burst, now, v.refused, want)
			}
			if v.remaining != b.level/interval {
				t.Fatalf("interval %d, burst %d, at %d: remaining %d, the bucket holds %d", interval, burst, now, v.remaining, b.level/interval)
			}
			if v.reset != time.Duration(b.window-b.level) {
				t.Fatalf("reset %d, the bucket lacks %d", v.reset, b.window-b.level)
			}
			if v.refused {
				// One moment before the wait is over it refuses, then it admits.
				if _, early := r.take(before, now+int64(v.wait)-1); !early.refused {
					t.Fatal("admitted before the wait was over")
				}
				if _, then := r.take(before, now+int64(v.wait)); then.refused {
					t.Fatal("refused though the wait was over")
				}
			}
		}
	}
}

func TestRefundUndoesTake(t *testing.T) {
	r := rate{interval: 100, window: 300}
	var tat int64
	for range 10 {
		next, v := r.take(tat, 1000)
		if v.refused {
			t.Fatal("a refunded bucket is empty")
		}
		tat = r.refund(next)
	}
	if _, v := r.take(tat, 1000); v.remaining != 2 {
		t.Errorf("after ten calls and refunds %d remain, want 2", v.remaining)
	}
}
