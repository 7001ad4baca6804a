package interop

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/cachecases"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// varnishRules is what Varnish is told: to keep answers that are stale when they come, if they
// may be asked about or given, which it makes a hit-for-miss of by itself.
const varnishRules = `vcl 4.1;
backend default { .host = "%s"; .port = "%s"; }
sub vcl_backend_response {
	if (beresp.ttl <= 0s && beresp.http.Age && (beresp.http.ETag || beresp.http.Last-Modified || beresp.grace > 0s)) {
		set beresp.keep = 24h;
		return (deliver);
	}
}
`

// startVarnish runs Varnish before an origin until the end of the test. It guesses no time,
// and keeps stale answers to ask about.
func startVarnish(t *testing.T, origin string) (address string) {
	t.Helper()
	address = loopback.Address(t)
	program, err := exec.LookPath("varnishd")
	if err != nil {
		program = "/usr/sbin/varnishd" // Debian's, where only root's PATH leads
	}
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.vcl")
	if err := os.WriteFile(rules, fmt.Appendf(nil, varnishRules, host, port), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "-F", "-n", t.TempDir(), "-a", address, "-f", rules,
		"-j", "none", "-s", "malloc,32m", "-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stdout, command.Stderr = t.Output(), t.Output()
	if err := command.Start(); err != nil {
		t.Fatalf("%v; install Debian's package varnish", err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // it says that it was stopped
	poll.Until(t, "Varnish to answer", func() bool {
		response, err := http.Get("http://" + address + "/up") //nolint:gosec,noctx // loopback
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusTeapot
	})
	return address
}

// TestCacheCasesBesideVarnish: Traffic 131: the table by which cached routes are tested is
// right: Varnish does what it says, but where it says that Varnish decides otherwise.
func TestCacheCasesBesideVarnish(t *testing.T) {
	origin := cachecases.Start(t)
	address := startVarnish(t, origin.Address)
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(client.CloseIdleConnections)
	for _, c := range cachecases.All() {
		t.Run(strings.ReplaceAll(c.Name, " ", "_"), func(t *testing.T) {
			origin.Run(t, cachecases.Varnish, client, "http://"+address, c)
		})
	}
}
