package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestFloodOfBodies: Traffic 200: calls whose bodies together are far more than the memory are
// refused, not the end of the process; the operator is served meanwhile, and everybody
// soon after.
func TestFloodOfBodies(t *testing.T) {
	const limit, clients, size = 160 << 20, 400, 1 << 20
	t.Setenv("GOMEMLIMIT", strconv.Itoa(limit))
	release := make(chan struct{})
	address := startRaw(t, func(_ any, stream grpc.ServerStream) error {
		select {
		case <-release:
		case <-stream.Context().Done():
		}
		return status.Error(codes.NotFound, "there is no such thing")
	})
	protos := t.TempDir()
	if err := os.WriteFile(filepath.Join(protos, "things.proto"), []byte(`syntax = "proto3";
package things.v1;
import "google/api/annotations.proto";
service Things { rpc Put(Thing) returns (Thing) { option (google.api.http) = { post: "/v1/things" body: "*" }; } }
message Thing { string text = 1; }`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, buildTransom(t), protos, "--upstream", address)
	body, err := json.Marshal(map[string]string{"text": strings.Repeat("x", size)})
	if err != nil {
		t.Fatal(err)
	}
	put := func() int {
		answer, err := http.Post(p.url+"/v1/things", "application/json", bytes.NewReader(body))
		if err != nil {
			return 0 // refused before the body was sent, and cut
		}
		defer func() { _ = answer.Body.Close() }()
		_, _ = io.Copy(io.Discard, answer.Body) // the status says it
		return answer.StatusCode
	}
	var flood sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range clients {
		flood.Go(func() {
			for got := 0; got != http.StatusNotFound; {
				got = put()
				mu.Lock()
				statuses[got]++
				mu.Unlock()
				select {
				case <-release:
					return
				default: // who is refused comes again
				}
			}
		})
	}
	poll.Until(t, "the memory to be short", func() bool {
		_, metrics := get(t, p.admin+"/metrics")
		_, entered, ok := strings.Cut(metrics, `transom_overload_entered_total{stage="shed"} `)
		return ok && entered[0] != '0'
	})
	if code, got := get(t, p.admin+"/readyz"); code != http.StatusOK || got != "ready\n" {
		t.Errorf("the admin listener says %d %q", code, got)
	}
	close(release)
	flood.Wait()
	poll.Until(t, "calls to be served again", func() bool { return put() == http.StatusNotFound })
	poll.Until(t, "the end of all stages", func() bool {
		_, metrics := get(t, p.admin+"/metrics")
		return strings.Contains(metrics, "transom_overload_stage 0\n")
	})
	t.Logf("answers by status: %v; most memory: %d MiB", statuses, p.mostMemory(t)>>20)
	if statuses[http.StatusNotFound] == 0 {
		t.Errorf("answers by status: %v, want some calls served", statuses)
	}
	// What lies between two looks.
	if most := p.mostMemory(t); most > limit+limit/4 {
		t.Errorf("the process had %d MiB, with a limit of %d", most>>20, limit>>20)
	}
}

// mostMemory is the most that the process has had in memory, in bytes, without what lies in
// files: these pages the kernel takes away where it needs them.
func (p *process) mostMemory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	kib := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == "kB" {
			if kib[fields[0]], err = strconv.Atoi(fields[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if kib["VmHWM:"] == 0 || kib["RssFile:"] == 0 {
		t.Fatalf("no VmHWM or RssFile:\n%s", text)
	}
	return (kib["VmHWM:"] - kib["RssFile:"]) << 10
}
