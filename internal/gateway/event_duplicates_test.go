package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/redis"
)

// TestDuplicatesOfGateways holds Events 198 for gateways that share a Redis: what one has published the other drops,
// digests alone are there, for ten minutes, and without the Redis events are published all the same.
func TestDuplicatesOfGateways(t *testing.T) {
	r := redistest.Start(t)
	o, err := redis.ParseURL(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer func() { _ = client.Close() }()
	var recorders [2]eventtest.Recorder
	var gateways [2]*gatewaytest.Gateway
	for i := range gateways {
		gateways[i] = gatewaytest.Start(t, gatewaytest.Options{Events: &recorders[i], Config: fmt.Sprintf("stores: { redis: { url: %q, timeout: 10s } }\nevents: { behaviour: { duplicates: REDIS } }\n", r.URL)})
	}
	publish := func(i int, ids ...string) int {
		t.Helper()
		recorders[i].Reset()
		var all []string
		for _, id := range ids {
			all = append(all, fmt.Sprintf(`{"type":"user.click","messageId":%q,"anonymousId":"somebody"}`, id))
		}
		a := gateways[i].Do(t, "POST", "/v1/events:batch", `{"events":[`+strings.Join(all, ",")+`]}`, "Content-Type", "application/json")
		if want := fmt.Sprintf(`{"accepted":%d,"rejected":[]}`, len(ids)); a.Status != 200 || a.Body != want {
			t.Fatalf("%d %s, want %s", a.Status, a.Body, want)
		}
		return len(recorders[i].All())
	}
	if publish(0, "m1", "m2") != 2 || publish(1, "m2", "m3", "m1") != 1 || publish(0, "m3", "m4") != 1 {
		t.Error("an event that came to the other gateway was published, or another one was not")
	}
	if all := metricsOf(gateways[1]); !strings.Contains(all, `transom_behaviour_events_total{reason="duplicate",result="dropped"} 2`) {
		t.Error("the duplicates are not counted")
	}
	keys := client.Keys(t.Context(), "*").Val()
	if len(keys) != 4 {
		t.Errorf("%q", keys)
	}
	for _, key := range keys {
		if left := client.PTTL(t.Context(), key).Val(); left.Minutes() > 10 || left.Minutes() < 5 || !strings.HasPrefix(key, "transom:event:") || strings.Contains(key, "m1") {
			t.Errorf("%s is there for %v", key, left)
		}
	}
	r.Kill()
	if publish(0, "m5") != 1 || publish(1, "m5") != 1 || publish(1, "m5") != 0 {
		t.Error("without Redis each gateway goes by its own memory")
	}
}
