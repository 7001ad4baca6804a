package main

import (
	"path/filepath"
	"strings"
	"testing"
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
