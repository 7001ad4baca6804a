package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/server"
)

// TestServeTellsOnceWhyItDoesNotStart: each problem is one line as check prints it,
// whatever form the log has.
func TestServeTellsOnceWhyItDoesNotStart(t *testing.T) {
	const good = "listeners: [{ address: \"127.0.0.1:0\" }]\nadmin: { address: \"-\" }\nschemas: [{ directory: ./protos }]\nupstreams: { a: { grpc: { target: \"localhost:1\" } } }\n"
	for name, config := range map[string]string{
		"the protos are wrong":          good,
		"with a log in JSON":            good + "telemetry: { log: { format: JSON } }\n",
		"with a log in text":            good + "telemetry: { log: { format: TEXT } }\n",
		"the configuration is, besides": good + "trusted_proxies: [everybody]\n",
		"a policy of it is":             good + "policies: [{ selector: p.v1.*, policy: { timeout: -1s } }]\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder(t, map[string]string{
				"protos/p.proto": strings.Replace(goodProto, "{name=things/*}", "{nam=things/*}", 1),
				"transom.yaml":   config,
			}), "transom.yaml")
			_, _, want := command(t, "check", "--config", path)
			code, out, err := command(t, "serve", "--config", path)
			var told []string // but for what the log says of the backend
			for line := range strings.Lines(err) {
				if !strings.Contains(line, "the backend cannot be reached") {
					told = append(told, line)
				}
			}
			if code != exitProblem || out != "" || !strings.Contains(want, "{nam}") || strings.Join(told, "") != want {
				t.Errorf("exit code %d, told %q, and %q, want %q", code, out, told, want)
			}
		})
	}
}

// TestServeThatCannotListenIsNotInService: nobody is told that a gateway is in service
// that could not listen.
func TestServeThatCannotListenIsNotInService(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	dir := folder(t, map[string]string{"p.proto": goodProto})
	code, _, told := command(t, "serve", dir, "--upstream", "localhost:1", "--listen", "127.0.0.1:0", "--admin", taken.Addr().String())
	if code != exitProblem || strings.Contains(told, "in service") || !strings.Contains(told, "address already in use") {
		t.Errorf("%d %s", code, told)
	}
}

// TestLogHasNoEmptyPlace: what is wrong at no place has none in the log.
func TestLogHasNoEmptyPlace(t *testing.T) {
	in := input{reflect: true, upstream: "127.0.0.1:1", listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	log := r.log.String()
	if !strings.Contains(log, `"msg":"load: the server cannot be asked for its schema: `) || !strings.Contains(log, `"file":"127.0.0.1:1"`) ||
		strings.Contains(log, `"file":""`) || strings.Contains(log, `"line":0`) {
		t.Error(log)
	}
	if strings.Count(log, "in service: ") != 1 || !strings.Contains(log, `"level":"WARN","msg":"no route is served: 127.0.0.1:1: `) {
		t.Error(log)
	}
}

// TestServeNamesDefaultAddresses: an address that nobody wrote down has no place in the
// file; its key and its flag are named instead.
func TestServeNamesDefaultAddresses(t *testing.T) {
	path := filepath.Join(folder(t, map[string]string{
		"protos/p.proto": goodProto,
		"transom.yaml":   "listeners:\n  - address: \"127.0.0.1:0\"\nschemas: [{ directory: ./protos }]\nupstreams: { a: { grpc: { target: \"localhost:1\" } } }\n",
	}), "transom.yaml")
	in := input{config: path}
	file, err := in.load()
	if err != nil {
		t.Fatal(err)
	}
	if got := where(file, "admin"); got != "admin.address (or --admin)" {
		t.Errorf("the default admin address is at %q", got)
	}
	if got := where(file, "listeners[0]"); got != path+":2:5" {
		t.Errorf("the listener is at %q", got)
	}
	in.listen, in.admin = "127.0.0.1:1", "127.0.0.1:1"
	if _, err := in.load(); err == nil || err.Error() != `--admin: found "127.0.0.1:1", which is the address of --listen, too` {
		t.Error(err)
	}
	in.admin = "127.0.0.1:2"
	if file, err = in.load(); err != nil {
		t.Fatal(err)
	}
	if listen, admin := where(file, "listeners[0]"), where(file, "admin"); listen != "--listen" || admin != "--admin" {
		t.Errorf("the flags are at %q and %q", listen, admin)
	}
}
