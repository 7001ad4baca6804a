package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestFailingSync: Events 136, 137 and 143: a disk that fails to sync, which strace plays for the program itself, now and then
// or for good, costs no event that was acknowledged: others are refused, a segment is never synced again after a failure,
// the reason is told, and the next process goes on.
func TestFailingSync(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("this test needs strace: install Debian's package strace (apt-get install strace)")
	}
	bin := buildTransom(t)
	// strace counts for each thread. The first syncs are those of the start, and succeed.
	for name, when := range map[string]string{"now and then": "16+3", "for good": "16+"} {
		t.Run("Events 143: "+name, func(t *testing.T) {
			dir := folder(t, map[string]string{"transom.yaml": "data_directory: data\nevents: { behaviour: { delivery: AT_LEAST_ONCE } }\n"})
			config, trace := filepath.Join(dir, "transom.yaml"), filepath.Join(dir, "trace")
			ill := startCommand(t, "strace", "-D", "-f", "-qq", "-y", "-o", trace, "-e", "trace=fsync,fdatasync", "-e", "signal=none",
				"-e", "inject=fsync,fdatasync:error=EIO:when="+when, bin, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config)
			acknowledged, refused := publishWhileItFails(t, ill.url, name == "for good")
			if name == "for good" {
				wantNamed(t, ill)
			}
			if n := syncedAgain(t, trace); n == 0 {
				t.Error("no sync of a segment has failed")
			}
			if !strings.Contains(ill.log.String(), "events log: a write failed; the segment ends before it, and another is begun") {
				t.Errorf("the log does not tell of it: %s", ill.log)
			}
			ill.kill()
			well := startProcess(t, bin, "--config", config)
			if status, text := publishNumber(t, well.url, 0); status != http.StatusOK {
				t.Errorf("with a disk that is well: %d %s", status, text)
			}
			well.stop()
			code, out, said := command(t, "events", "log", "verify", filepath.Join(dir, "data", "events"))
			if code != 0 {
				t.Errorf("verify: exit %d: %s%s", code, out, said)
			}
			_, stored, _ := command(t, "events", "log", "dump", filepath.Join(dir, "data", "events"))
			for _, n := range append(acknowledged, 0) {
				if !strings.Contains(stored, fmt.Sprintf(`"messageId":"m%d"`, n)) {
					t.Errorf("event %d was acknowledged and is lost", n)
				}
			}
			t.Logf("acknowledged %d, refused %d", len(acknowledged), refused)
		})
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended //nolint:errcheck // "signal: killed"
	})
}

// publishWhileItFails publishes until ten events were refused, and more were stored afterwards unless it fails for good.
func publishWhileItFails(t *testing.T, url string, forGood bool) (acknowledged []int, refused int) {
	t.Helper()
	after := 0 // acknowledged behind the first that was refused
	for n := 1; refused < 10 || !forGood && after < 10; n++ {
		if n > 5000 {
			t.Fatalf("of %d events %d were refused, %d stored after the first of those", n, refused, after)
		}
		switch status, text := publishNumber(t, url, n); {
		case status == http.StatusOK:
			acknowledged = append(acknowledged, n)
			if refused > 0 {
				after++
			}
		case status == http.StatusServiceUnavailable && strings.Contains(text, "EVENT_LOG_UNAVAILABLE"):
			refused++
		default:
			t.Fatalf("event %d: %d %s", n, status, text)
		}
	}
	return acknowledged, refused
}

func publishNumber(t *testing.T, url string, n int) (status int, text string) {
	t.Helper()
	a, err := http.Post(url+"/v1/events", "application/json", strings.NewReader(fmt.Sprintf(`{"type":"user.click","messageId":"m%d"}`, n)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(body)
}

// wantNamed wants the failure told by the program's own command, and the gateway not ready. It publishes
// meanwhile: strace lets the first syncs of a new thread succeed.
func wantNamed(t *testing.T, ill *process) {
	t.Helper()
	poll.Until(t, "the failure is named", func() bool {
		publishNumber(t, ill.url, 1_000_000)
		_, out, _ := command(t, "events", "lag", "--admin", strings.TrimPrefix(ill.admin, "http://"))
		a, err := http.Get(ill.admin + "/readyz?verbose")
		if err != nil {
			return false
		}
		body, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		return err == nil && a.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "input/output error") && strings.Contains(out, "input/output error")
	})
}

var (
	syncBegun = regexp.MustCompile(`^(\d+) +f(?:data)?sync\(\d+<([^>]*)>`)
	syncEnded = regexp.MustCompile(`^(\d+) .*= (0|-1 EIO)`)
)

// syncedAgain reads what strace saw. It returns how many segments could not be synced, and wants none of
// them synced after that.
func syncedAgain(t *testing.T, trace string) int {
	t.Helper()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	under, failed := map[string]string{}, map[string]bool{} // by threads, by paths
	for line := range strings.Lines(string(text)) {
		if m := syncBegun.FindStringSubmatch(line); m != nil {
			under[m[1]] = m[2]
			if failed[m[2]] {
				t.Errorf("it was synced again after a failure: %s", line)
			}
		}
		if m := syncEnded.FindStringSubmatch(line); m != nil && m[2] != "0" && segmentPath.MatchString(under[m[1]]) {
			failed[under[m[1]]] = true
		}
	}
	return len(failed)
}

var segmentPath = regexp.MustCompile(`/\d{20}-\d{10}-[0-9a-f]{16}[^/]*$`)
