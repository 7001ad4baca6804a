package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestHTTPCredentialsInFiles: Traffic 159: servers of plain HTTP know the gateway by what a
// file of the configuration holds, and by what it holds later, without a reload.
func TestHTTPCredentialsInFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", "first\n")
	write("user", "gateway:secret\r\n")
	site := startSite(t)
	g := gatewaytest.Start(t, gatewaytest.Options{
		Upstreams: `
  token: { http: { servers: ["` + site + `"], credentials: { bearer: "file:` + dir + `/token" } } },
  user: { http: { servers: ["` + site + `"], credentials: { basic: "file:` + dir + `/user" } } }`,
		Config: "routes: [{ match: { path_prefix: /t }, upstream: token }, { match: { path_prefix: /u }, upstream: user }]",
	})
	says := func(path, want string) bool {
		a := g.Do(t, "GET", path, "", "Authorization", "Bearer of-the-client")
		return strings.Contains(a.Body, "\nAuthorization: "+want+"\n") && !strings.Contains(a.Body, "of-the-client")
	}
	if !says("/t", "Bearer first") || !says("/u", "Basic Z2F0ZXdheTpzZWNyZXQ=") {
		t.Fatal("the servers are told something else")
	}
	write("token", "the second\n") // no token: the one before holds
	write("user", "gateway:other")
	poll.Until(t, "the new password", func() bool { return says("/u", "Basic Z2F0ZXdheTpvdGhlcg==") })
	if !says("/t", "Bearer first") {
		t.Error("what is no token took the place of one")
	}
	write("token", "third")
	poll.Until(t, "the new token", func() bool { return says("/t", "Bearer third") })
}

// TestIdleHTTPSettings: settings of plain HTTP upstreams that do nothing are warned of, as
// those of gRPC upstreams.
func TestIdleHTTPSettings(t *testing.T) {
	var log logtext.Text
	gatewaytest.Start(t, gatewaytest.Options{Log: &log, Upstreams: `
  a: { http: { target: "unix:/nowhere", resolve_interval: 10s, health_check: { path: /, port: 81 } } },
  b: { http: { servers: ["localhost:1"], resolve_interval: 10s } }`})
	for _, want := range []string{
		"upstreams.a.http.resolve_interval: has no effect with a target unix:",
		"upstreams.a.http.health_check.port: has no effect with a unix socket",
		"upstreams.b.http.resolve_interval: has no effect without a target",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log says\n%s\nwant %q", log.String(), want)
		}
	}
}

// TestIdleTimeoutOfRoutes: Traffic 149, 154: idle_timeout ends what stands still on a route, a
// WebSocket too, and nothing on another route to the same upstream.
func TestIdleTimeoutOfRoutes(t *testing.T) {
	g := startRoutes(t, `
routes:
  - { match: { path: /short/socket }, upstream: site, rewrite: { strip_prefix: /short }, policy: { idle_timeout: 0.05s } }
  - { match: { path: /socket }, upstream: site }
`)
	short, _, err := websocket.Dial(t.Context(), "ws://"+g.Addr+"/short/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = short.CloseNow() }()
	other, _, err := websocket.Dial(t.Context(), "ws://"+g.Addr+"/socket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.CloseNow() }()
	if _, text, err := short.Read(t.Context()); err == nil {
		t.Errorf("the silent one reads %q", text)
	}
	if err := other.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := other.Read(t.Context()); err != nil || string(text) != "echo hello" {
		t.Errorf("the other one reads %q, %v", text, err)
	}
}
