package conformance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if ran, err := runRole(); ran {
		if err != nil {
			fmt.Fprintln(os.Stderr, "stand-in:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestConformance runs Connect's conformance tests.
func TestConformance(t *testing.T) {
	s := build(t)
	t.Run("server", s.server)
	t.Run("client", s.client)
}

// server has clients call the gateway by Connect, gRPC and gRPC-Web, over
// HTTP/1.1, HTTP/2 and HTTP/3, in cleartext and by TLS, with JSON and protobuf, well and
// badly. Behind it is Connect's server, and gRPC's.
func (s suite) server(t *testing.T) {
	for name, skip := range map[string][]string{
		"referenceserver": nil,
		"grpcserver":      {"**/TLS:true/**", "TLS Client Certs/**", "Connect with GET/**"}, // it lacks the method for GET
	} {
		t.Run(name, func(t *testing.T) { s.test(t, "server", name, "", skip) })
	}
}

// client has a client call servers through the gateway that answer gRPC well and
// badly.
func (s suite) client(t *testing.T) {
	for _, speaks := range []string{"PROTOCOL_GRPC", "PROTOCOL_GRPC_WEB", "PROTOCOL_CONNECT"} {
		t.Run(speaks, func(t *testing.T) { s.test(t, "client", "referenceclient", speaks, nil) })
	}
}

// suite is the runner and what it starts.
type suite struct{ bin, protos string }

// build compiles the programs, the gateway's with the race detector.
func build(t *testing.T) suite {
	t.Helper()
	const module = "connectrpc.com/conformance"
	s := suite{bin: t.TempDir()}
	tools := []string{"build", "-o", s.bin}
	for _, name := range []string{"connectconformance", "referenceserver", "referenceclient", "grpcserver"} {
		tools = append(tools, module+"/cmd/"+name)
	}
	run(t, "", tools...)
	run(t, "../..", "build", "-race", "-o", s.bin, "./cmd/transom")
	s.protos = filepath.Join(strings.TrimSpace(run(t, "", "list", "-m", "-f", "{{.Dir}}", module)), "proto")
	return s
}

// run runs the go command in a folder.
func run(t *testing.T, folder string, arguments ...string) (printed string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "go", arguments...)
	c.Dir = folder
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return string(out)
}

// test has the runner test a stand-in with what testdata says for the mode.
func (s suite) test(t *testing.T, mode, reference, speaks string, skip []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	arguments := []string{"--mode", mode, "--conf", "testdata/" + mode + ".yaml", "--known-flaky", "@testdata/" + mode + "-deviates.txt"}
	for _, pattern := range skip {
		arguments = append(arguments, "--skip", pattern)
	}
	runner := exec.CommandContext(t.Context(), filepath.Join(s.bin, "connectconformance"), append(arguments, "--", self)...)
	runner.WaitDelay = 10 * time.Second
	runner.Env = append(os.Environ(), envRole+"="+mode, envProtos+"="+s.protos, envSpeaks+"="+speaks,
		envTransom+"="+filepath.Join(s.bin, "transom"), envReference+"="+filepath.Join(s.bin, reference))
	out, err := runner.CombinedOutput()
	const shown = 8 << 10
	if err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-shown):])
	}
	summary := bytes.TrimSpace(out[bytes.LastIndex(out, []byte("Total cases")):])
	t.Logf("%s", summary)
}
