package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// serving runs serve over a folder; each reading of the configuration is told
// its number first. lines are those of its log that tell of a reload.
func serving(t *testing.T, dir string, reading func(n int32)) (lines func(atLeast int) []string, readings func() int32) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in := input{folders: []string{dir}, upstream: "localhost:1", listen: "127.0.0.1:0", admin: config.NoAdmin}
	var count atomic.Int32
	load := func() (*config.File, error) {
		reading(count.Add(1))
		return in.load()
	}
	log := &logtext.Text{}
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- serve(ctx, load, streams{out: log, err: log}, func(*server.Server) { close(up) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-up:
	case err := <-done:
		done <- nil
		t.Fatal(err, log.String())
	}
	return func(atLeast int) []string { return reloadLines(t, log, atLeast) }, count.Load
}

// reloadLines waits until a log tells of so many reloads.
func reloadLines(t *testing.T, log *logtext.Text, atLeast int) (lines []string) {
	t.Helper()
	poll.Until(t, "reloads in the log", func() bool {
		lines = nil
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "in service: ") {
				lines = append(lines, line)
			}
		}
		return len(lines) >= atLeast
	})
	return lines
}

// replace puts a file in the place of another in one step.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		t.Error(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Error(err)
	}
}

// moreProto is goodProto with one route more.
var moreProto = strings.Replace(goodProto, "}\nmessage", `  rpc Add(Message) returns (Message) { option (google.api.http) = { post: "/v1/things" }; }
}
message`, 1)

// TestStartReadsOnce holds that a start compiles the schemas once, and that the
// first change leads to the second time.
func TestStartReadsOnce(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	lines, readings := serving(t, dir, func(int32) {})
	replace(t, filepath.Join(dir, "p.proto"), moreProto)
	got := lines(2)
	if len(got) != 2 || !strings.Contains(got[0], "+2 routes") || !strings.Contains(got[1], "+1 routes") {
		t.Errorf("the reloads were\n%s", strings.Join(got, ""))
	}
	if n := readings(); n != 3 { // to listen, to start, and after the change
		t.Errorf("the configuration was read %d times", n)
	}
}

// TestChangeDuringStart holds that files are watched before they are read.
func TestChangeDuringStart(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	lines, _ := serving(t, dir, func(n int32) {
		if n == 2 { // the first reload has begun and not yet read the schemas
			replace(t, filepath.Join(dir, "p.proto"), moreProto)
		}
	})
	if got := lines(2); !strings.Contains(got[0], "+3 routes") || !strings.Contains(got[1], "in service: no route has changed") {
		t.Errorf("the reloads were\n%s", strings.Join(got, ""))
	}
}

// TestReloadBySignal: nothing has changed, and SIGHUP reads it all again.
func TestReloadBySignal(t *testing.T) {
	// A signal that comes before the gateway wants one must not end the test.
	mine := make(chan os.Signal, 1)
	signal.Notify(mine, syscall.SIGHUP)
	defer signal.Stop(mine)
	lines, readings := serving(t, folder(t, map[string]string{"p.proto": goodProto}), func(int32) {})
	before := readings()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := lines(2); !strings.Contains(got[1], "in service: no route has changed") || readings() != before+1 {
		t.Errorf("%d readings more, and the reloads were\n%s", readings()-before, strings.Join(got, ""))
	}
}

// TestReloadByAdmin: POST /reload answers when all is read, and says what is wrong.
func TestReloadByAdmin(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	in := input{folders: []string{dir}, upstream: "localhost:1", listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	reload := func(status int, want string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.admin+"/reload", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != status || !strings.Contains(string(body), want) {
			t.Errorf("%d %s, %v; want %d %q", response.StatusCode, body, err, status, want)
		}
	}
	reload(http.StatusOK, `"generation": `)
	replace(t, filepath.Join(dir, "p.proto"), strings.Replace(goodProto, "Get(Message)", "Get(Massage)", 1))
	reload(http.StatusUnprocessableEntity, "cannot find `Massage`")
	if code, body := get(t, r.admin+"/readyz?verbose"); code != http.StatusOK || !strings.Contains(body, "p.proto:5:11: cannot find `Massage`") {
		t.Errorf("Semantics 50: %d %s", code, body)
	}
	if code, _ := get(t, r.url+"/v1/things/1"); code != http.StatusServiceUnavailable {
		t.Errorf("Semantics 50: the last good schema answers %d, want 503 for the backend that is away", code)
	}
	if _, metrics := get(t, r.admin+"/metrics"); !strings.Contains(metrics, `p.proto",line="5"} 1`) {
		t.Error("Semantics 50: no metric names the place")
	}
	replace(t, filepath.Join(dir, "p.proto"), moreProto)
	reload(http.StatusOK, `"generation": `)
}

// stallingServe runs serve with a configuration whose stalling reading, counted from 1,
// does not come before the end of the test, which it signals.
func stallingServe(t *testing.T, dir string, at int32) (end context.CancelFunc, ended <-chan error, stalled <-chan struct{}, log *logtext.Text) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	in := input{folders: []string{dir}, upstream: "localhost:1", listen: "127.0.0.1:0", admin: config.NoAdmin}
	var count atomic.Int32
	here, goOn, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	load := func() (*config.File, error) {
		if count.Add(1) == at {
			close(here)
			<-goOn
			defer close(left)
		}
		return in.load()
	}
	log = &logtext.Text{}
	done := make(chan error, 1)
	go func() { done <- serve(ctx, load, streams{out: log, err: log}, nil) }()
	t.Cleanup(func() {
		cancel()
		close(goOn) // what goes on by itself must not be in the way of anybody
		<-left
	})
	return cancel, done, here, log
}

// TestEndDuringStalledReading: files that do not come hold up neither the end of a process
// that serves nor that of one that starts, and what was left behind touches nothing that
// was given back (Semantics 322).
func TestEndDuringStalledReading(t *testing.T) {
	for name, at := range map[string]int32{"before there is a gateway": 1, "at the first load": 2, "at a reload": 3} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"p.proto": goodProto})
			end, ended, stalled, log := stallingServe(t, dir, at)
			if at == 3 {
				poll.Until(t, "a gateway that listens", func() bool { return strings.Contains(log.String(), `"msg":"listening"`) })
				replace(t, filepath.Join(dir, "p.proto"), moreProto)
			}
			select {
			case <-stalled:
			case err := <-ended:
				t.Fatal(err, log)
			}
			end()
			select {
			case err := <-ended:
				if at == 3 && (err != nil || !strings.Contains(log.String(), "files are still being read that do not come")) {
					t.Error(err, log)
				}
				if at < 3 && (err == nil || !strings.Contains(err.Error(), "is a file system stalled?")) {
					t.Error(err)
				}
			case <-time.After(processPatience):
				t.Fatal("it does not end", log)
			}
		})
	}
}

// A SIGHUP that comes while the gateway is still starting does not end it: it is reloaded once it serves.
func TestReloadAskedForAtStart(t *testing.T) {
	lines, _ := serving(t, folder(t, map[string]string{"p.proto": goodProto}), func(n int32) {
		if n != 2 { // the first is for the log, the second for the gateway
			return
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	})
	if got := lines(2); len(got) != 2 || !strings.Contains(got[0], "+2 routes") {
		t.Errorf("the reloads were\n%s", strings.Join(got, ""))
	}
}
