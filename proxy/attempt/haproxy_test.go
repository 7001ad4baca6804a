package attempt_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/attempt"
)

// haproxy starts HAProxy, with what its frontend does, until the end of the test.
func haproxy(t *testing.T, does string) (address string) {
	t.Helper()
	address = loopback.Address(t)
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf("defaults\n\tmode http\n\ttimeout connect 1s\n\ttimeout client 1m\n\ttimeout server 1m\n"+
		"frontend f\n\tbind %s proto h2\n\t%s\nbackend none\n\tserver none 127.0.0.1:1 proto h2 check\n", address, does)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program = "/usr/sbin/haproxy" // Debian's, where only root's PATH leads
	}
	command := exec.CommandContext(t.Context(), program, "-f", config, "-db", "-q")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		t.Fatalf("this test needs HAProxy: install Debian's package haproxy (apt-get install haproxy): %v", err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // it says that it was stopped
	poll.Until(t, "HAProxy to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return address
}

// TestHAProxyAsBadEndpoint: Traffic 60, 99 and 108: a proxy that answers 503 by itself, with a
// page that is no gRPC, is an endpoint whose calls fail: they are made elsewhere, no
// client sees an error, and after five of them it is ejected.
func TestHAProxyAsBadEndpoint(t *testing.T) {
	for name, does := range map[string]string{
		"a page of its own":      `http-request return status 503 content-type text/html string "<h1>Away</h1>"`,
		"a backend that is away": "default_backend none",
	} {
		t.Run(name, func(t *testing.T) {
			bad, sound := haproxy(t, does), &scripted{}
			alone := attempt.NewGRPC(connect(t, bad), 1<<20)
			if _, _, err := callUnary(t.Context(), alone); status.Code(err) != codes.Unavailable {
				t.Errorf("alone it answers %v", err)
			}
			conn := connectOutlier(t, nil, bad, sound.start(t), sound.start(t))
			r := usual()
			g := attempt.NewGRPC(conn, 1<<20).Retrying(&r)
			for i := range 600 {
				call := callUnary
				if i%3 == 0 {
					call = callStream
				}
				if got, _, err := call(t.Context(), g); got.text != "x" {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			if s := conn.Records()[bad]; !s.Ejected || s.Faults != 5 {
				t.Errorf("it is %+v, want it ejected after 5 faults", s)
			}
		})
	}
}
