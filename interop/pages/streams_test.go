package pages

import (
	"os"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestEventSourceComesBack holds Events 182 and 187 in a browser: an EventSource whose stream is asked to come
// back does so by itself, and gets each event once.
func TestEventSourceComesBack(t *testing.T) {
	b := startBackend(t)
	config := "data_directory: " + t.TempDir() + `
shutdown_timeout: 0.2s
events:
  behaviour: { delivery: AT_LEAST_ONCE }
  streams: [{ topic: user_behaviors }]
`
	g, _, page := start(t, gatewaytest.Options{Backend: b.address, Config: config})
	browser.Eval[any](t, page, `() => new Promise(resolve => {
		window.told = []; window.opened = 0; window.waiting = [];
		const source = new EventSource("/v1/events/user_behaviors");
		source.onopen = () => { window.opened++; for (const f of window.waiting) f(); resolve(null) };
		source.addEventListener("reconnect", () => window.told.push("reconnect"));
		source.onmessage = e => { window.told.push(JSON.parse(e.data).data.anonymousId); for (const f of window.waiting) f() };
	})`)
	until := func(script string) any {
		return browser.Eval[any](t, page, `() => new Promise(resolve => {
			const look = () => { if (`+script+`) resolve(window.told) };
			window.waiting.push(look); look();
		})`)
	}
	publish := func(id string) {
		t.Helper()
		if a := g.Do(t, "POST", "/v1/events", `{"type":"user.click","anonymousId":"`+id+`"}`, "Content-Type", "application/json"); a.Status != 200 {
			t.Fatal(a)
		}
	}
	publish("a")
	check(t, until("told.length == 1"), `["a"]`)
	rewrite(t, g.Config, "topic: user_behaviors }", "topic: user_behaviors, types: [\"user.*\"] }")
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	until("told.length == 2")
	publish("b") // while it is away, perhaps
	until("opened == 2")
	publish("c")
	check(t, until("told.length == 4"), `["a", "reconnect", "b", "c"]`)
}

// rewrite replaces a text in a file.
func rewrite(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path) //nolint:gosec // it is the test's
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
