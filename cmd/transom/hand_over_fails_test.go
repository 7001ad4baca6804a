package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// put asks for an answer, and fails the test without one.
func put(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	answer, err := client.Post(url+"/v1/puts", "application/json", strings.NewReader(`{"name":"a"}`)) //nolint:noctx // the client's own time
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", answer.Status, text, err)
	}
	return answer
}

// TestHandOverThatFails: Traffic 196: where the new process does not serve, the old one goes on, and
// whoever asked is told why.
func TestHandOverThatFails(t *testing.T) {
	bin := buildTransom(t)
	gateway := startReplaced(t, bin, `[{ address: "127.0.0.1:0" }]`, "")
	good, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	config := gateway.cmd.Args[len(gateway.cmd.Args)-1]
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(path string, text []byte, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path+".new", text, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		file string
		text string
		mode os.FileMode
		want string
	}{
		"a configuration that cannot be used": {config, "listeners: [{ address: 1 }]\n", 0o600, "no hand-over: the new process: " + config + ":1:"},
		"an address in use": {config, strings.Replace(string(text), "127.0.0.1:0", strings.TrimPrefix(gateway.admin, "http://"), 1), 0o600,
			"address already in use"},
		"a program that ends":           {bin, "#!/bin/sh\nexit 3\n", 0o700, "the new process ended before it served: exit status 3"},
		"another program":               {bin, "#!/bin/sh\nexit 0\n", 0o700, "is it another program?"},
		"what is no program":            {bin, "hello", 0o700, "the new process cannot be started: "},
		"a program that cannot be read": {bin, "hello", 0o200, "the new process cannot be started: "},
	} {
		replace(test.file, []byte(test.text), test.mode)
		code, out, told := command(t, "upgrade", "--admin", strings.TrimPrefix(gateway.admin, "http://"))
		if code != exitProblem || out != "" || !strings.Contains(told, test.want) || !strings.HasPrefix(told, "no hand-over: ") || !strings.Contains(told, "; this process goes on") {
			t.Errorf("%s: %d %s%s\nwant %q", name, code, out, told, test.want)
		}
		put(t, http.DefaultClient, gateway.url)
		replace(bin, good, 0o700)
		replace(config, text, 0o600)
	}
	gateway.upgraded()
	put(t, http.DefaultClient, gateway.url)
}

// noSockets is a server that listens nowhere.
type noSockets struct{}

func (noSockets) Draining() bool                        { return false }
func (noSockets) Export() ([]string, []*os.File, error) { return nil, nil, nil }
func (noSockets) HandedOver(func())                     {}
func (noSockets) Replaced(string, int, error)           {}

// TestHandOverIsBounded: Traffic 196: a process that does not serve in time is killed.
func TestHandOverIsBounded(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "sleeper")
	write(t, bin, "#!/bin/sh\nexec sleep 600\n")
	if err := os.Chmod(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	program := os.Args[0]
	t.Cleanup(func() { os.Args[0] = program })
	os.Args[0] = bin
	log := &logtext.Text{}
	h := &handOver{within: time.Millisecond}
	h.serves(noSockets{}, slog.New(slog.NewJSONHandler(log, nil)))
	_, _, err := h.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "did not serve within 1ms, and was killed") {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	h.within = time.Minute
	if _, _, err := h.run(gone); err == nil || !strings.Contains(err.Error(), "this process is to end") {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "this one goes on") {
		t.Error(log)
	}
}

// TestHandOverAtSignal: Traffic 196 and 193: SIGUSR2 does what `transom upgrade` does, and the file of
// a unix socket goes over, too.
func TestHandOverAtSignal(t *testing.T) {
	dir, err := os.MkdirTemp("", "t") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	gateway := startReplaced(t, buildTransom(t), `[{ address: "127.0.0.1:0" }, { address: "unix:`+socket+`", socket_mode: "0640" }]`, "")
	gateway.signalled()
	transport := &http.Transport{DialContext: dialUnix(socket)}
	defer transport.CloseIdleConnections()
	put(t, &http.Client{Transport: transport}, "http://gateway")
	if want := `"msg":"listening","address":"unix:` + socket + `"`; strings.Count(gateway.log.String(), want) != 2 {
		t.Errorf("not twice in the log: %s", want)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	put(t, http.DefaultClient, gateway.url)
	gateway.stop()
	if _, err := os.Stat(socket); err == nil {
		t.Error("the last process has left its socket")
	}
}

// TestPredecessorIsKilled: Traffic 196: a process whose predecessor is killed while it starts serves on the sockets that it has;
// who connects meanwhile waits.
func TestPredecessorIsKilled(t *testing.T) {
	good, dir := buildTransom(t), t.TempDir()
	bin, gone := filepath.Join(dir, "transom"), filepath.Join(dir, "gone")
	if err := os.Symlink(good, bin); err != nil {
		t.Fatal(err)
	}
	gateway := startReplaced(t, bin, `[{ address: "127.0.0.1:0" }]`, "")
	write(t, bin+".new", "#!/bin/sh\nuntil [ -e "+gone+" ]; do :; done\nexec "+good+" \"$@\"\n")
	if err := errors.Join(os.Chmod(bin+".new", 0o700), os.Rename(bin+".new", bin), gateway.cmd.Process.Signal(syscall.SIGUSR2)); err != nil {
		t.Fatal(err)
	}
	const started = `"msg":"a new process was started to take over","pid":`
	poll.Until(t, "the new process to start", func() bool { return strings.Contains(gateway.log.String(), started) })
	_, found, _ := strings.Cut(gateway.log.String(), started)
	pid, _, _ := strings.Cut(found, "}")
	gateway.last = processOf(t, pid)
	if err := gateway.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	write(t, gone, "")
	put(t, http.DefaultClient, gateway.url)
	if err := gateway.end(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("the first process ended by %v", err)
	}
}

// signalled has the gateway replaced by SIGUSR2, and waits until the old process has ended.
func (p *process) signalled() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		p.t.Fatal(err)
	}
	poll.Until(p.t, "the first process to end", func() bool { return strings.Contains(p.log.String(), `"msg":"stopped"`) })
	_, found, _ := strings.Cut(p.log.String(), `"msg":"the new process serves; this one ends when its calls have","pid":`)
	pid, _, _ := strings.Cut(found, "}")
	p.last = processOf(p.t, pid)
}

// TestHandOverOfHTTP3: Traffic 196 and 202: while the old process has UDP, clients are told that there
// is no HTTP/3; then the new one serves it on the same port.
func TestHandOverOfHTTP3(t *testing.T) {
	gateway, url, trust := startReplacedHTTP3(t)
	byTCP := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	byQUIC := func() *http.Client { return &http.Client{Transport: &http3.Transport{TLSClientConfig: trust.Clone()}} }
	first := byQUIC()
	defer first.CloseIdleConnections()
	put(t, first, url)
	gateway.upgraded()
	poll.Until(t, "HTTP/3 to be offered by the new process", func() bool {
		offered := put(t, &http.Client{Transport: byTCP}, url).Header.Get("Alt-Svc")
		if offered != "clear" && !strings.HasPrefix(offered, "h3=") {
			t.Fatalf("Alt-Svc: %q", offered)
		}
		return offered != "clear"
	})
	second := byQUIC()
	defer second.CloseIdleConnections()
	if answer := put(t, second, url); answer.ProtoMajor != 3 || answer.TLS.Version != tls.VersionTLS13 {
		t.Error(answer.Proto)
	}
	for _, want := range []string{`"msg":"the new process serves`, `"tls":true,"http3":true`, `"http_version":"3"`, `"http_version":"2"`} {
		poll.Until(t, want+" in the log", func() bool { return strings.Contains(gateway.log.String(), want) })
	}
}

// TestHandOverIsAudited: Surface 267: the audit log says of a hand-over, however it was asked for, which configuration was in
// service before it, and which one the new process has read; and of one that came to nothing, why.
func TestHandOverIsAudited(t *testing.T) {
	bin := buildTransom(t)
	for name, test := range map[string]struct {
		ask func(*process)
		who string
	}{
		"transom upgrade": {(*process).upgraded, "anybody on this machine"},
		"SIGUSR2":         {(*process).signalled, "SIGUSR2"},
	} {
		t.Run(name, func(t *testing.T) {
			audit := filepath.Join(t.TempDir(), "audit.jsonl")
			config := replaced(t, `[{ address: "127.0.0.1:0" }]`, "")
			text := strings.Replace(readPage(t, config), "admin: {", "admin: { audit: { file: "+strconv.Quote(audit)+" }, ", 1)
			write(t, config, text)
			gateway := startConfigured(t, bin, config)
			test.ask(gateway)
			lines := auditOf(t, audit, 2)
			sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
			if e := lines["upgrade"]; e.Who != test.who || e.Result != "done" || !strings.HasPrefix(e.What, "pid=") || e.Before == 0 || e.ConfigBefore != sum {
				t.Errorf("%+v, want the sum %s before it", e, sum)
			}
			if e := lines["reload"]; e.Who != "upgrade" || e.After != 1 || e.ConfigAfter != sum {
				t.Errorf("%+v, want the sum %s after it", e, sum)
			}
		})
	}
	audit := &logtext.Text{}
	h := &handOver{within: time.Millisecond}
	h.serves(auditedSockets{to: audit}, slog.New(slog.DiscardHandler))
	h.done = true // as after another one
	usr2 := make(chan os.Signal)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.onSignal(ctx, usr2)
	}()
	usr2 <- syscall.SIGUSR2
	poll.Until(t, "a line", func() bool { return audit.String() == "SIGUSR2 0 "+errNotServing.Error() })
	cancel()
	<-ended
}

// auditedSockets notes what is written down.
type auditedSockets struct {
	noSockets
	to io.Writer
}

func (a auditedSockets) Replaced(who string, pid int, err error) {
	_, _ = fmt.Fprint(a.to, who, " ", pid, " ", err) // it takes all
}

// auditOf reads so many lines of an audit log, each of an event of its own.
func auditOf(t *testing.T, file string, n int) map[string]admin.Entry {
	t.Helper()
	lines := map[string]admin.Entry{}
	poll.Until(t, "the lines", func() bool {
		for line := range strings.Lines(readPage(t, file)) {
			var e admin.Entry
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				return false // it is being written
			}
			lines[e.Event] = e
		}
		return len(lines) == n
	})
	return lines
}
