package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestEventMetrics: Events 158 and 159: a sink that is away, or rejects all, leaves the gateway ready, and /readyz?verbose names it; what becomes of events is counted by sink and topic, and clients make no topic of their own.
func TestEventMetrics(t *testing.T) {
	var calls, gone atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case gone.Load() > 0:
			w.WriteHeader(http.StatusGone)
		case calls.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(hook.Close)
	nobody := httptest.NewServer(nil)
	nobody.Close()
	dir := folder(t, map[string]string{"transom.yaml": fmt.Sprintf(`data_directory: %q
events:
  behaviour: { delivery: AT_LEAST_ONCE }
  sinks:
    hook: { webhook: { url: %q, insecure: true, allow: ["127.0.0.0/8", "::1"], secrets: ["whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="] } }
    away: { webhook: { url: %q, insecure: true, allow: ["127.0.0.0/8", "::1"], secrets: ["whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="] } }
`, t.TempDir(), hook.URL, nobody.URL)})
	g := startProcess(t, buildTransom(t), "--config", filepath.Join(dir, "transom.yaml"))
	publish := func(kind string) {
		t.Helper()
		response, err := http.Post(g.url+"/v1/events", "application/json", strings.NewReader(fmt.Sprintf(`{"type":%q,"anonymousId":"a"}`, kind)))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(err, response)
		}
		_ = response.Body.Close()
	}
	metrics := func() string { return body(t, g.admin+"/metrics") }
	counted := func(lines ...string) bool {
		all := "\n" + metrics()
		for _, line := range lines {
			if !strings.Contains(all, "\n"+line) {
				return false
			}
		}
		return true
	}
	for n := range 30 {
		publish(fmt.Sprintf("user.kind%d", n))
		publish(fmt.Sprintf("other%d.kind", n))
	}
	poll.Until(t, "all are sent", func() bool {
		return counted(`transom_events_sent_total{sink="hook",topic="user_behaviors"} 30`, `transom_events_sent_total{sink="hook",topic="misc_events"} 30`)
	})
	if !counted(`transom_events_published_total{sink="hook",topic="user_behaviors"} 30`, `transom_events_retried_total{sink="hook",topic="user_behaviors"} `,
		`transom_events_queue_length{sink="hook"} 0`, `transom_events_sink_lag_records{sink="hook"} 0`, `transom_events_sink_up{sink="hook"} 1`,
		`transom_events_sink_last_success_timestamp_seconds{sink="hook"} `, `transom_events_log_records 60`, `transom_events_log_bytes `,
		`transom_events_log_oldest_seconds `, `transom_events_log_sync_seconds_count `) {
		t.Errorf("got\n%s", metrics())
	}
	gone.Store(1)
	publish("user.last")
	poll.Until(t, "the last is rejected", func() bool { return counted(`transom_events_rejected_total{sink="hook",topic="user_behaviors"} 1`) })
	ready := func(line string) {
		t.Helper()
		code, text := get(t, g.admin+"/readyz")
		if verbose := body(t, g.admin+"/readyz?verbose"); code != http.StatusOK || text != "ready\n" || !strings.Contains(verbose, line) {
			t.Errorf("Events 159: got %d %q, and\n%s", code, text, verbose)
		}
	}
	ready("events to hook: it rejects them, ")
	poll.Until(t, "a sink is away", func() bool {
		return counted(`transom_events_sink_up{sink="away"} 0`, `transom_events_sink_lag_records{sink="away"} 61`)
	})
	ready("events to away: away since ")
	topics := map[string]bool{}
	for line := range strings.Lines(metrics()) {
		if _, after, ok := strings.Cut(line, `topic="`); ok && strings.HasPrefix(line, "transom_events_") {
			topic, _, _ := strings.Cut(after, `"`)
			topics[topic] = true
		}
	}
	if len(topics) != 2 {
		t.Errorf("the topics are %v", topics)
	}
}
