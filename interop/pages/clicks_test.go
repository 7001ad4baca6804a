package pages

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/transom-gateway/transom/events/sinks"
	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/kafka"
)

// eventSinks are those of the program.
var eventSinks = gateway.EventSinks{Open: sinks.Open, Source: sinks.Source}

// startBehaviour starts the servers of examples/behaviour and returns what a gateway in front
// of them is told, by one of its configurations.
func startBehaviour(t *testing.T, name string) gatewaytest.Options {
	t.Helper()
	api, site := gatewaytest.StartServers(t, behaviour.Serve)
	read := func(name string) string {
		text, err := behaviour.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, config, ok := strings.Cut(read(name), "\nroutes:")
	if !ok {
		t.Fatal("the example has no routes")
	}
	return gatewaytest.Options{
		Backend: api, NoBookstore: true, Sinks: eventSinks,
		Protos:    map[string]string{"clicks/v1/clicks.proto": read("protos/clicks/v1/clicks.proto")},
		Upstreams: `shop: { http: { servers: ["` + site + `"] } }`,
		Config:    "data_directory: " + t.TempDir() + "\nroutes:" + config,
	}
}

// startNATS starts a NATS server with JetStream in this process, and returns its URL.
func startNATS(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not listen")
	}
	return s.ClientURL()
}

// TestBehaviour plays examples/behaviour in two windows of a browser: a click in one is counted
// in both, with the topic in the embedded log, on a NATS server and on a Kafka broker (Events 161).
func TestBehaviour(t *testing.T) {
	t.Run("log", func(t *testing.T) { playClicks(t, "transom.yaml") })
	t.Run("NATS", func(t *testing.T) {
		t.Setenv("NATS", startNATS(t))
		playClicks(t, "transom-nats.yaml")
	})
	t.Run("Kafka", func(t *testing.T) {
		broker := kafkatest.Start(t).Plaintext
		t.Setenv("KAFKA", broker)
		playClicks(t, "transom-kafka.yaml")
		// The way led by the topic: the broker has each click once, under its visitor's key.
		targets := map[string]int{}
		for record := range strings.Lines(kcat(t, "-b", broker, "-C", "-t", "user_behaviors", "-e", "-q", "-f", "%k %s\n")) {
			visitor, event, _ := strings.Cut(record, " ")
			_, target, _ := strings.Cut(event, `"click":{"target":`)
			target, _, _ = strings.Cut(target, ",")
			if !strings.Contains(event, `"anonymousId":"`+visitor+`"`) {
				t.Errorf("the topic has %s", record)
			}
			targets[target]++
		}
		if len(targets) != 2 || targets[`"lamp"`] != 2 || targets[`"rope"`] != 1 {
			t.Errorf("the topic has clicks on %v", targets)
		}
	})
}

// kcat is what kcat, a program of the system, prints.
func kcat(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "kcat", arguments...).Output()
	if err != nil {
		t.Fatalf("kcat %q: %v (the test needs Debian's package kcat)", arguments, err)
	}
	return string(out)
}

func playClicks(t *testing.T, config string) {
	g, chromium, _ := start(t, startBehaviour(t, config))
	first, second := demo{chromium.Open(t, g.URL+"/")}, demo{chromium.Open(t, g.URL+"/")}
	for _, page := range []demo{first, second} {
		page.awaits(t, "#state", "Live.")
	}
	first.Click(t, "[data-target=lamp]")
	for _, page := range []demo{first, second} {
		page.awaits(t, "#lamp", "1 click")
	}
	second.Click(t, "[data-target=lamp]")
	second.Click(t, "[data-target=rope]")
	for _, page := range []demo{first, second} {
		page.awaits(t, "#lamp", "2 clicks")
		page.awaits(t, "#rope", "1 click")
	}
	first.picture(t, "behaviour")
}
