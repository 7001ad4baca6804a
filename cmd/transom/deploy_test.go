package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const deployFolder = "../../deploy"

// readDeployed reads a file below deploy.
func readDeployed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUnits: Surface 284: systemd reads the units without a word, and rates the service at 2.0 or
// less.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "transom")
	write(t, program, "#!/bin/sh\n")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	service := readDeployed(t, "systemd/transom.service")
	write(t, filepath.Join(dir, "transom.service"), strings.Replace(service, "/usr/local/bin/transom", program, 1))
	write(t, filepath.Join(dir, "transom.socket"), readDeployed(t, "systemd/transom.socket"))
	for _, want := range []string{"\nType=notify\n", "\nExecReload=/bin/kill -HUP $MAINPID\n", "\nDynamicUser=yes\n", "\nStateDirectory=transom\n", "\nWatchdogSec="} {
		if !strings.Contains(service, want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	verify := exec.Command("systemd-analyze", "verify", "transom.service", "transom.socket")
	verify.Dir, verify.Env = dir, append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	rate := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join(dir, "transom.service"))
	out, err := rate.CombinedOutput()
	found := regexp.MustCompile(`Overall exposure level for transom.service: ([0-9.]+) `).FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level > 2.0 {
		t.Errorf("an exposure of %s", found[1])
	}
}

// TestDeployedConfigurations: Surface 282: the gateway's configuration of each profile can be served.
func TestDeployedConfigurations(t *testing.T) {
	protos, err := filepath.Abs("../../examples/bookstore/protos")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRANSOM_ADMIN_TOKEN", "for-this-machine-only")
	for _, profile := range []string{"minimal", "events", "observability"} {
		path := filepath.Join(t.TempDir(), profile+".yaml")
		write(t, path, strings.Replace(readDeployed(t, "compose/gateway/"+profile+".yaml"), "directory: /protos", "directory: "+protos, 1))
		if code, out, told := command(t, "check", "--config", path); code != 0 {
			t.Errorf("%s: %d %s%s", profile, code, out, told)
		}
	}
}

// TestDockerfile: Surface 280: the last stage, which is the image, has no shell, a user of its own,
// and what the program needs.
func TestDockerfile(t *testing.T) {
	text := readDeployed(t, "Dockerfile")
	stages := strings.Split(text, "\nFROM ")
	image := stages[len(stages)-1]
	if !strings.HasPrefix(image, "scratch AS gateway\n") {
		t.Fatalf("the last stage begins with %.40q", image)
	}
	for _, want := range []string{
		"\nUSER 65532:65532\n", "/etc/ssl/certs/ca-certificates.crt\n", "\nENV ZONEINFO=/zoneinfo.zip\n", " /var/lib/transom\n",
		`CMD ["/transom", "healthcheck", "--config", "/etc/transom/transom.yaml"]`, "org.opencontainers.image.licenses=", "org.opencontainers.image.revision=",
		"\nENTRYPOINT [\"/transom\"]\n",
	} {
		if !strings.Contains(image, want) {
			t.Errorf("the image lacks %q", want)
		}
	}
	toolchain := regexp.MustCompile(`(?m)^go ([0-9.]+)$`).FindStringSubmatch(readDeployed(t, "../go.mod"))
	if toolchain == nil || !strings.Contains(text, " golang:"+toolchain[1]+"-") {
		t.Errorf("the image is not built by the Go of go.mod, %v", toolchain)
	}
	if strings.Contains(image, "\nRUN ") {
		t.Error("the image runs something, and has no shell")
	}
}
