package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	kafkatest "github.com/transom-gateway/transom/internal/testing/kafka"
	"github.com/transom-gateway/transom/internal/testing/loopback"
)

// TestCheckLive: check --live names what stands against topics at the brokers, at the places that
// use them; without the flag nobody is asked (Events 151).
func TestCheckLive(t *testing.T) {
	asked := 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusGone)
	}))
	defer hook.Close()
	host, port, _ := strings.Cut(strings.TrimPrefix(hook.URL, "http://"), ":")
	t.Setenv("KAFKA", kafkatest.Start(t).Plaintext)
	t.Setenv("NOBODY", loopback.Address(t))
	dir := folder(t, map[string]string{
		"protos/w.proto": warnedProto,
		"transom.yaml": `schemas: [{ directory: protos }]
upstreams: { a: { grpc: { target: "localhost:1" } } }
policies:
  - selector: w.v1.S.Get
    policy: { events: [{ type: book.read, topic: books }, { type: book.told, sinks: [hook] }] }
events:
  gateway: [{ type: api.error, sinks: [away] }, { type: auth.failure }]
  behaviour: {}
  topics: [{ types: "shop.*", topic: shop }]
  subscriptions: [{ name: s, source: main, topic: orders, method: w.v1.S/Get, on_exhausted: PAUSE }, { name: d, source: main, topic: tills, method: w.v1.S/Get }]
  sinks:
    main: { kafka: { brokers: ["${KAFKA}"] } }
    away: { kafka: { brokers: ["${NOBODY}"] } }
    hook: { webhook: { url: "http://` + host + ":" + port + `", insecure: true, secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw], allow: [127.0.0.0/8] } }
`,
	})
	path := filepath.Join(dir, "transom.yaml")
	if code, _, err := command(t, "check", "--config", path); code != 0 || asked > 0 {
		t.Fatalf("without --live: %d %q, %d requests", code, err, asked)
	}
	code, out, err := command(t, "check", "--live", "--config", path)
	if code != exitProblem || out != "" || asked != 1 {
		t.Errorf("%d %q, %d requests", code, out, asked)
	}
	missing := ": the topic does not exist: create it, or set create_topics\n"
	for _, want := range []string{
		path + ":5:50: events[0] of w.v1.S/Get: topic books" + missing,
		path + ":7:57: events.gateway[1]: topic auth_events" + missing,
		path + ":8:14: events of clients: topic misc_events" + missing,
		path + ":8:14: events of clients: topic user_behaviors" + missing,
		path + ":9:38: events of clients: topic shop" + missing,
		path + ":10:51: subscription s: topic orders" + missing,
		path + ":10:134: subscription d: topic tills" + missing,
		": subscription d, dead letters: topic tills.transom.d.dead" + missing,
		path + ":13:11: sink away: kafka at ",
		path + ":14:11: sink hook: " + host + ":" + port + ": found status 410",
	} {
		if strings.Count(err, want) != 1 {
			t.Errorf("no %q, or twice, in\n%s", want, err)
		}
	}
	if strings.Contains(err, "topic orders.transom.s.dead") || strings.Contains(err, "events[1]") || strings.Contains(err, "api_events") {
		t.Errorf("something was asked that is not used:\n%s", err)
	}
}
