package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckSubscriptionsOfBrokers: what is wrong with subscriptions of Kafka and NATS is named at its place
// (Events 160 and 178).
func TestCheckSubscriptionsOfBrokers(t *testing.T) {
	for settings, want := range map[string]string{
		`{ name: a, topic: "books.>", source: nats, method: w.v1.S/Get }`:                         "",
		`{ name: a, topic: books, source: nats, group: "a.b", method: w.v1.S/Get }`:               `transom.yaml:8:65: events.subscriptions[0].group: found "a.b", but durable consumers of NATS have no "."`,
		`{ name: a, topic: books, source: kafka, method: w.v1.S/Get }`:                            `transom.yaml:8:37: events.subscriptions[0].topic: found "books", but calls of w.v1.S/Get publish book.read to it`,
		`{ name: a, topic: books, source: kafka, types: [book.sold], method: w.v1.S/Get }`:        "",
		`{ name: a, topic: "books.>", source: kafka, method: w.v1.S/Get }`:                        `transom.yaml:8:37: events.subscriptions[0].topic: found "books.>", expected 1 to 249`,
		`{ name: a, topic: films, source: kafka, dead_letter_topic: "a b", method: w.v1.S/Get }`:  `events.subscriptions[0].dead_letter_topic: found "a b"`,
		`{ name: a, topic: films, source: hook, method: w.v1.S/Get }`:                             `events.subscriptions[0].source: found "hook", but nothing can be read from a webhook; expected one of log, kafka, nats`,
		`{ name: a, topic: films, source: nats, instance_id: me, method: w.v1.S/Get }`:            `events.subscriptions[0].instance_id: found "me", but only members of a group of Kafka have one`,
		`{ name: a, topic: films, source: kafka, method: w.v1.S/Get, max_dead_letters: 1000001 }`: `events.subscriptions[0].max_dead_letters: found 1000001, expected 1 to 1000000`,
	} {
		dir := folder(t, map[string]string{"protos/w.proto": warnedProto, "transom.yaml": `schemas: [{ directory: protos }]
upstreams: { a: { grpc: { target: "localhost:1" } } }
policies: [{ selector: w.v1.S.Get, policy: { events: [{ type: book.read, topic: books }] } }]
events:
  kafka: { brokers: ["localhost:1"] }
  nats: { url: "nats://localhost:1" }
  sinks: { hook: { webhook: { url: "https://hook.example", secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw] } } }
  subscriptions: [` + settings + `]
`})
		code, _, err := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
		if bad := want != ""; bad != (code == exitProblem) || !strings.Contains(err, want) || !bad && err != "" {
			t.Errorf("%s: %d\n%s\nwant %s", settings, code, err, want)
		}
	}
}
