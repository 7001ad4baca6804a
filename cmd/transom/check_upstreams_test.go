package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckWarnsOfUpstreams: settings of an upstream that do nothing beside its others
// are warned of.
func TestCheckWarnsOfUpstreams(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/p.proto": goodProto,
		"transom.yaml": `schemas: [{ directory: ./protos }]
upstreams:
  a: { grpc: { target: "k8s:///books.shop:grpc", resolve_interval: 5s }, services: ["*"] }
  b: { grpc: { target: "unix:/nowhere", health_check: { path: /, port: 1 } }, services: ["p.v1.*"] }
  c: { grpc: { target: "localhost:1", load_balancing_policy: pick_first, health_check: {} }, services: ["p.v1.S"] }
`,
	})
	code, _, told := command(t, "check", "--config", filepath.Join(dir, "transom.yaml"))
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"transom.yaml:3:68: warning: upstreams.a.grpc.resolve_interval: has no effect with a target k8s:",
		"transom.yaml:4:72: warning: upstreams.b.grpc.health_check.port: has no effect with a unix socket",
		"transom.yaml:5:88: warning: upstreams.c.grpc.health_check: has no effect with pick_first",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
}
