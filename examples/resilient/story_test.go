package resilient_test

import (
	"bytes"
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/loopback"
)

// TestStory plays the story with the real programs: stations are killed, hang, are slow
// and are sick, and no client sees an error.
func TestStory(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/transom", "./examples/resilient/cmd/tide-stations")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	listen := loopback.Address(t)
	own, err := netip.ParseAddrPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	// The stations take whatever ports are free, so that they have an address of their own: else
	// one may take that of the gateway before it listens.
	bytes4 := own.Addr().As4()
	if bytes4[1] != 0 { // else there is 127.0.0.1 alone
		bytes4[1] = 255
	}
	host := netip.AddrFrom4(bytes4).String()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	story := exec.CommandContext(ctx, filepath.Join(bin, "tide-stations"), "-gateway", filepath.Join(bin, "transom"), "-config", "transom.yaml",
		"-story", "-each", "2s", "-rate", "20", "-host", host, "-listen", listen, "-admin", loopback.Address(t), "-control", loopback.Address(t))
	var stderr bytes.Buffer
	story.Stderr = &stderr
	out, err := story.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	last := regexp.MustCompile(`(?m)^(\d+) calls, 0 errors; (\d+) attempts arrived at the stations$`).FindStringSubmatch(string(out))
	if last == nil {
		t.Fatalf("%s", out)
	}
	calls, _ := strconv.Atoi(last[1])
	attempts, _ := strconv.Atoi(last[2])
	if calls < 10 || attempts <= calls {
		t.Errorf("%d calls, %d attempts", calls, attempts)
	}
	for _, want := range []string{"east is killed", "west hangs", "north is slow", "east is sick"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not told:\n%s", want, out)
		}
	}
}

// TestMakeTarget finds the README's first command in the Makefile.
func TestMakeTarget(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "make", "-n", "-C", "../..", "run-resilient").CombinedOutput()
	if want := "\nbin/tide-stations -gateway bin/transom\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("make run-resilient: %v\n%s\nwant %s", err, out, want)
	}
}
