package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// ordered reports whether calls came in their order, but for those that were made again: a key goes back at most so often, and
// each event comes for the first time behind those before it.
func ordered(calls []int, mostBack int) bool {
	last, highest, back := 0, 0, 0
	seen := map[int]bool{}
	for _, n := range calls {
		if n < last {
			back++
		}
		if !seen[n] && n < highest {
			return false
		}
		seen[n] = true
		last, highest = n, max(highest, n)
	}
	return back <= mostBack
}

const ledgerKeys, ledgerKills, ledgerEach = 8, 3, 400

// publishUntilKilled publishes by a new gateway until it is killed.
func publishUntilKilled(t *testing.T, bin, config string, sent map[string]int, acknowledged map[string][]int) {
	gateway := startProcess(t, bin, "--config", config)
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := make(chan struct{}, 1<<20)
	for k := range ledgerKeys {
		key := fmt.Sprint("key-", k)
		all.Go(func() {
			for {
				mu.Lock()
				sent[key]++
				n := sent[key]
				mu.Unlock()
				response, err := http.Post(gateway.url+"/v1/events", "application/json", strings.NewReader(fmt.Sprintf(`{"type":"user.click","anonymousId":%q,"properties":{"n":%d}}`, key, n)))
				if err != nil {
					return
				}
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					mu.Lock()
					acknowledged[key] = append(acknowledged[key], n)
					mu.Unlock()
				}
				answers <- struct{}{}
			}
		})
	}
	for range ledgerEach {
		<-answers
	}
	gateway.once.Do(func() {
		_ = gateway.cmd.Process.Kill()
		<-gateway.ended //nolint:errcheck // "signal: killed"
	})
	all.Wait()
}

// TestSubscriptionsLedger: Events 167 and 179: a gateway that is killed again and again while subscriptions call a method with
// what it publishes loses nothing that it has acknowledged, and keeps the order of each key; what is
// called again is what came last.
func TestSubscriptionsLedger(t *testing.T) {
	bin := buildTransom(t)
	for name, sources := range map[string]func(*testing.T) string{
		"log": func(*testing.T) string { return "" },
		"Kafka": func(t *testing.T) string {
			return fmt.Sprintf("  kafka: { brokers: [%q], create_topics: { partitions: 3 } }\n", kafkatest.Start(t).Plaintext)
		},
	} {
		t.Run("Events 179: "+name, func(t *testing.T) {
			server := new(eventtest.Takings)
			dir := folder(t, map[string]string{
				"protos/v.proto": eventtest.VisitsProto,
				"transom.yaml": fmt.Sprintf("schemas: [{ directory: protos }]\nupstreams: { v: { grpc: { target: %q } } }\ndata_directory: data\nevents:\n%s"+
					"  behaviour: { delivery: AT_LEAST_ONCE }\n  subscriptions: [{ name: visits, topic: user_behaviors, start: EARLIEST, method: v.v1.Visits/Take, max_attempts: 0 }]\n",
					grpctest.ServeAny(t, server.Serve), sources(t)),
			})
			config := filepath.Join(dir, "transom.yaml")
			sent, acknowledged := map[string]int{}, map[string][]int{}
			for range ledgerKills {
				publishUntilKilled(t, bin, config, sent, acknowledged)
			}
			startProcess(t, bin, "--config", config)
			poll.Until(t, "all that was acknowledged", func() bool { return server.Missing(acknowledged) == 0 })
			total, distinct, count := 0, 0, 0
			for key := range sent {
				calls := server.Of(key)
				total += len(calls)
				distinct += len(slices.Compact(slices.Sorted(slices.Values(calls))))
				count += len(acknowledged[key])
				// After each kill the sink may send again, and the subscription call again.
				if !ordered(calls, 2*ledgerKills) {
					t.Errorf("%s came in the order %v", key, calls)
				}
			}
			t.Logf("acknowledged %d, delivered %d, doubles %d, kills %d", count, distinct, total-distinct, ledgerKills)
		})
	}
}
