package events

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/events"
	natssink "github.com/transom-gateway/transom/events/nats"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/internal/gateway"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// natsSinks are those of a program that has no others.
var natsSinks = gateway.EventSinks{
	Open: func(name string, s *transomv1.EventSink, env events.Env) (events.Sink, error) {
		return natssink.Open(name, s.GetNats(), env)
	},
	Source: func(name string, s *transomv1.EventSink, what subscription.Reading, env events.Env) (subscription.Source, error) {
		return natssink.OpenSource(name, s.GetNats(), what, env)
	},
}

// TestBehaviourByNATS plays examples/behaviour with its topic on a NATS server: a beacon reaches the service by the
// stream, also while the server was away, and the count those who listen.
func TestBehaviourByNATS(t *testing.T) {
	s := startNATS(t, "")
	t.Setenv("NATS", "nats://"+s.address)
	api, site := gatewaytest.StartServers(t, behaviour.Serve)
	read := func(name string) string {
		text, err := behaviour.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, config, ok := strings.Cut(read("transom-nats.yaml"), "\nroutes:")
	if !ok {
		t.Fatal("the example has no routes")
	}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: api, NoBookstore: true, Sinks: natsSinks,
		Protos:    map[string]string{"clicks/v1/clicks.proto": read("protos/clicks/v1/clicks.proto")},
		Upstreams: `shop: { http: { servers: ["` + site + `"] } }`,
		Config:    "data_directory: " + t.TempDir() + "\nroutes:" + config,
	})
	click := func(id string) {
		t.Helper()
		a := g.Do(t, "POST", "/e", `{"messageId": "`+id+`", "anonymousId": "a1", "type": "user.click", "click": {"target": "lamp"}}`, "Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin")
		if a.Status != http.StatusNoContent {
			t.Fatal(a.Status, a.Body)
		}
	}
	counted := func(n string) {
		t.Helper()
		poll.Until(t, n+" clicks are counted", func() bool {
			return strings.Contains(g.Do(t, "GET", "/v1/clicks", "").Body, `{"target":"lamp","clicks":`+n+`}`)
		})
	}
	click("m1")
	counted("1")
	s.kill()
	click("m2")
	s.start()
	counted("2")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+"/v1/events/click_totals?last_event_id=earliest", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	a, err := g.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	lines := bufio.NewScanner(a.Body)
	for _, want := range []string{`"data":{"target":"lamp","clicks":1}`, `"data":{"target":"lamp","clicks":2}`} {
		for lines.Scan() && !strings.Contains(lines.Text(), want) {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Errorf("%q, %v: want %s", lines.Text(), lines.Err(), want)
		}
	}
}
