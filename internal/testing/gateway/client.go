package gatewaytest

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// ClientVariable names, in the environment, the client by which gateways of tests speak
// with their upstreams, as in upstreams.NAME.grpc.client; empty is the default.
const ClientVariable = "TRANSOM_TEST_GRPC_CLIENT"

// RunWithClient runs the tests of this package whose names the pattern matches once
// more, in a process of their own, by another client of the upstreams.
func RunWithClient(t *testing.T, client, pattern string) {
	t.Helper()
	if os.Getenv(ClientVariable) != "" {
		return // this is that process
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.timeout=9m") //nolint:gosec // this very test
	command.Env = append(os.Environ(), ClientVariable+"="+client)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("by the client %s: %v\n%s", client, err, out)
	}
	if bytes.Contains(out, []byte("no tests to run")) {
		t.Errorf("no test is named %s", pattern)
	}
}
