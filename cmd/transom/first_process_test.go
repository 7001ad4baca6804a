package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestNoHandOverOfFirstProcess: Traffic 196: the first process of a container, with which that ends, says
// so, and serves on.
func TestNoHandOverOfFirstProcess(t *testing.T) {
	dir := folder(t, map[string]string{
		"protos/p.proto": goodProto,
		"transom.yaml": `listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
schemas: [{ directory: ./protos }]
upstreams: { books: { grpc: { target: "localhost:1" } } }
`})
	// A namespace of processes of its own, whose first one it is; that of users is for those who are not root.
	arguments := []string{"--pid", "--fork"}
	if os.Getuid() != 0 {
		arguments = append([]string{"--user", "--map-root-user"}, arguments...)
	}
	bin := buildTransom(t)
	p := startCmd(t, exec.Command("unshare", append(arguments, bin, "serve", "--config", filepath.Join(dir, "transom.yaml"))...))
	// unshare waits for it and hears no SIGTERM.
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		t.Fatal(err)
	}
	if p.last, err = os.FindProcess(pid); err != nil {
		t.Fatal(err)
	}
	admin := strings.TrimPrefix(p.admin, "http://")
	code, out, told := command(t, "upgrade", "--admin", admin)
	if code != 1 || !strings.Contains(told, "this process is the first of its container") {
		t.Errorf("%d %s%s", code, out, told)
	}
	if code, got := get(t, p.admin+"/readyz"); code != 200 || got != "ready\n" {
		t.Errorf("it says %d %q", code, got)
	}
}
