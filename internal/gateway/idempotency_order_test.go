package gateway_test

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestPlaceOfKeys: Traffic 88: a key is looked at behind what refuses calls, which keeps nothing of it, and before what the
// backend is called by, of which a replay touches nothing.
func TestPlaceOfKeys(t *testing.T) {
	ruled := strings.NewReplacer("string name = 1;", "string name = 1 [(buf.validate.field).string.max_len = 14];",
		`import "google/api/annotations.proto";`, "import \"google/api/annotations.proto\";\nimport \"buf/validate/validate.proto\";").Replace(ledgerProto)
	start := func(t *testing.T, policies string) (*ledger, *gatewaytest.Gateway) {
		t.Helper()
		l, address := startLedger(t)
		return l, gatewaytest.Start(t, gatewaytest.Options{
			NoBookstore: true, Protos: map[string]string{"ledger.proto": ruled}, Backend: address,
			Config: toyIssuer + "policies: [{ selector: ledger.v1.Ledger.Pay, policy: { idempotency_key: { " + policies + " } }]\n",
		})
	}
	// step is a call, and what is to be seen of it.
	type step struct {
		key, name, who string
		status         int
		replayed       bool
	}
	for name, c := range map[string]struct {
		policies string
		steps    []step
	}{
		"behind auth": {"}, auth: { jwt: {} }", []step{
			{key: "k", name: "one", status: 401},
			{key: "k", name: "two", who: "ada", status: 200},
			{key: "k", name: "two", status: 401},
			{key: "k", name: "two", who: "ada", status: 200, replayed: true},
			{key: "k", name: "three", who: "eve", status: 200},
		}},
		"behind rate_limit, which counts replays": {"scope: METHOD }, rate_limit: [{ requests: 3, per: 86400s }]", []step{
			{key: "k", name: "one", status: 200},
			{key: "k", name: "one", status: 200, replayed: true},
			{key: "k", name: "one", status: 200, replayed: true},
			{key: "k", name: "one", status: 429},
		}},
		"behind limits": {"scope: METHOD }, limits: { max_body_bytes: 100 }", []step{
			{key: "k", name: "one" + strings.Repeat(" ", 100), status: 413},
			{key: "k", name: "one", status: 200},
		}},
		"behind validate": {"scope: METHOD }", []step{
			{key: "k", name: "one that is too long", status: 400},
			{key: "k", name: "one that is too long", status: 400},
			{key: "k", name: "one", status: 200},
		}},
		"before circuit_breaker": {"scope: METHOD }, circuit_breaker: { consecutive_failures: 1, open_for: 3600s }", []step{
			{key: "k", name: "one", status: 200},
			{key: "busy", name: "busy", status: 503},
			{key: "other", name: "two", status: 503},
			{key: "k", name: "one", status: 200, replayed: true},
		}},
		"before retry": {"scope: METHOD }, retry: { idempotency_level: IDEMPOTENT, initial_backoff: 0.001s }", []step{
			{key: "k", name: "busy", status: 200},
			{key: "k", name: "busy", status: 200, replayed: true},
		}},
	} {
		t.Run("Traffic 88: "+name, func(t *testing.T) {
			l, g := start(t, c.policies)
			made := map[string]int{} // calls that the backend has to get, by name
			for i, s := range c.steps {
				headers := []string{"Idempotency-Key", s.key}
				if s.who != "" {
					headers = append(headers, bearerOf(t, s.who)...)
				}
				a := g.Do(t, "POST", "/v1/payments", `{"name":"`+s.name+`"}`, headers...)
				if a.Status != s.status || (a.Header.Get("Idempotent-Replayed") == "true") != s.replayed {
					t.Errorf("step %d: %d, replayed %q, %s; want %+v", i, a.Status, a.Header.Get("Idempotent-Replayed"), a.Body, s)
				}
				if s.status == 200 && !s.replayed {
					made[s.name]++
				}
			}
			if _, ok := made["busy"]; ok {
				made["busy"]++ // the attempt that failed
			} else if l.times("busy") > 0 {
				made["busy"] = 1
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			for name, n := range l.names {
				if n != made[name] {
					t.Errorf("%q was paid %d times, want %d", name, n, made[name])
				}
			}
		})
	}
	t.Run("Traffic 88: before concurrency", func(t *testing.T) {
		l, g := start(t, "scope: METHOD }, concurrency: { max: 1 }")
		pay := func(key, name string) gatewaytest.Answer {
			return g.Do(t, "POST", "/v1/payments", `{"name":"`+name+`"}`, "Idempotency-Key", key)
		}
		pay("k", "one")
		slow := make(chan int)
		go func() { slow <- pay("slow", "hangs").Status }()
		<-l.entered
		if a := pay("k", "one"); a.Status != 200 || a.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("a replay waits for a place: %+v", a)
		}
		if a := pay("new", "two"); a.Status != 503 {
			t.Errorf("a new key has %+v", a)
		}
		close(l.leave)
		if got := <-slow; got != 200 {
			t.Errorf("the slow call has %d", got)
		}
		if a := pay("new", "two"); a.Status != 200 || a.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("the key that was refused a place has %+v", a)
		}
	})
}
