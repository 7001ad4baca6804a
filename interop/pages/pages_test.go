// Package pages has the clients of a real browser call the gateway from pages:
// its fetch, its EventSource, its WebSocket, and the page of `transom demo`.
package pages

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// patience bounds the wait for what happens by itself.
const patience = time.Minute

// start starts a gateway, a browser, and a page of the gateway's own origin.
func start(t *testing.T, options gatewaytest.Options) (*gatewaytest.Gateway, *browser.Browser, *browser.Page) {
	t.Helper()
	g := gatewaytest.Start(t, options)
	chromium := browser.Start(t)
	return g, chromium, chromium.Open(t, g.URL+"/v1/shelves/1")
}

// elsewhere serves an empty page of another origin and returns its address.
func elsewhere(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>elsewhere</title>"))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// check compares a result with the JSON that is expected.
func check(t *testing.T, got any, want string) {
	t.Helper()
	var expected any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatalf("what is expected is no JSON: %v\n%s", err, want)
	}
	if !reflect.DeepEqual(got, expected) {
		text, _ := json.Marshal(got) // it came as JSON
		t.Errorf("got  %s\nwant %s", text, want)
	}
}
