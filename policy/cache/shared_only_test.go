package cache

import (
	"testing"

	"github.com/transom-gateway/transom/internal/testing/redis"
)

// TestOnlyIfCachedInRedis: Traffic 118, 129: what another gateway has fetched is kept, for a client who
// asks for what is kept alone; what is not, or was dropped, is not asked for.
func TestOnlyIfCachedInRedis(t *testing.T) {
	const policy = `cache { store: REDIS ttl { seconds: 60 } obey_client: true tags: "n:{name}" }`
	r := redistest.Start(t)
	one, other := withRedis(t, r), withRedis(t, r)
	s, never := saying("vary", "x-tenant"), saying()
	a, b := one.method("Get", policy, s), other.method("Get", policy, never)
	only := func(name string) string { return b.get(name, "Cache-Control: only-if-cached") }
	expect(t, a.get("a"), "1")
	inRedis(t, r, 2) // with what it varies by
	expect(t, only("a")+only("a"), "11")
	expect(t, only("b")+only("b"), "FailedPreconditionFailedPrecondition")
	one.method("Put", `cache { invalidates: "n:{name}" }`, saying()).get("a")
	other.clock.Advance(minute)
	expect(t, only("a"), "FailedPrecondition")
	if n := never.count(); n != 0 {
		t.Errorf("the backend was called %d times", n)
	}
}
