package pages

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// startBehaviour starts the servers of examples/behaviour and returns what a gateway in front
// of them is told.
func startBehaviour(t *testing.T) gatewaytest.Options {
	t.Helper()
	api, site := gatewaytest.StartServers(t, behaviour.Serve)
	read := func(name string) string {
		text, err := behaviour.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, config, ok := strings.Cut(read("transom.yaml"), "\nroutes:")
	if !ok {
		t.Fatal("the example has no routes")
	}
	return gatewaytest.Options{
		Backend: api, NoBookstore: true,
		Protos:    map[string]string{"clicks/v1/clicks.proto": read("protos/clicks/v1/clicks.proto")},
		Upstreams: `shop: { http: { servers: ["` + site + `"] } }`,
		Config:    "data_directory: " + t.TempDir() + "\nroutes:" + config,
	}
}

// TestBehaviour plays examples/behaviour in two windows of a browser: a click in one is counted
// in both.
func TestBehaviour(t *testing.T) {
	g, chromium, _ := start(t, startBehaviour(t))
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
