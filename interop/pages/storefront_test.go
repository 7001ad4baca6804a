package pages

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/storefront"
	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// startStorefront starts the servers of examples/storefront and returns what a gateway in
// front of them is told.
func startStorefront(t *testing.T) gatewaytest.Options {
	t.Helper()
	api, site := gatewaytest.StartServers(t, storefront.Serve)
	read := func(name string) string {
		text, err := storefront.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, config, ok := strings.Cut(read("transom.yaml"), "\nauth:")
	if !ok {
		t.Fatal("the example has no login")
	}
	return gatewaytest.Options{
		Backend: api, NoBookstore: true,
		Protos:    map[string]string{"store/v1/store.proto": read("protos/store/v1/store.proto")},
		Upstreams: `site: { http: { servers: ["` + site + `"], health_check: { path: /healthz } } }`,
		Config:    "auth:" + config,
	}
}

// TestStorefront plays examples/storefront in a browser: pages of a plain HTTP server, an API
// of gRPC, events and a WebSocket, with one login.
func TestStorefront(t *testing.T) {
	g, chromium, _ := start(t, startStorefront(t))
	page := demo{chromium.Open(t, g.URL+"/")}
	page.Resize(t, 1000, 900)
	page.awaits(t, "#products", "A tent for two")
	page.awaits(t, "#left-lamp", "20 left")
	page.Click(t, "#buy-lamp")
	page.awaits(t, "#status", "401")
	page.Click(t, "#login button")
	page.awaits(t, "#status", "Hello, ada")
	page.awaits(t, "#chat", "ada is here")
	page.Click(t, "#buy-lamp")
	page.awaits(t, "#status", "You bought: A lamp")
	page.awaits(t, "#left-lamp", "19 left")
	page.fill(t, "#say [name=text]", "is there more rope?")
	page.awaits(t, "#chat", "ada: is there more rope?")
	page.picture(t, "storefront")
	for range 5 {
		page.Click(t, "#buy-rope")
	}
	page.awaits(t, "#status", "429")
	page.Click(t, "a[href='/account']")
	page.awaits(t, "#who", "Account of ada")
	page.Click(t, "a[href='/']")
	page.awaits(t, "#status", "Hello, ada") // the page knows who has logged in
	page.fill(t, "#say [name=text]", "back again")
	page.awaits(t, "#chat", "ada: back again")
	page.Click(t, "#logout")
	page.awaits(t, "#status", "Good bye")
}
