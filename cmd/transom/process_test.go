package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/logtext"
)

// processPatience bounds how long a process may take to start, and to end.
const processPatience = time.Minute

// built is the program itself, which the tests of processes start. It is linked once, as that takes
// longer than most of them; TestMain removes it.
var built struct {
	sync.Once
	folder string
	err    error
}

// buildTransom is a file of the test's own that is the program: the test may put another in its place, but
// not write to it.
func buildTransom(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "transom-command-"); built.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", built.folder+"/", ".").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building transom: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	bin := filepath.Join(t.TempDir(), "transom")
	if err := os.Link(filepath.Join(built.folder, "transom"), bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// process is a gateway as a process of its own.
type process struct {
	url, admin string
	log        *logtext.Text

	t     *testing.T
	cmd   *exec.Cmd
	last  *os.Process // the one that has taken over; nil for the first
	ended chan error
	once  sync.Once
}

// startProcess runs `transom serve` on free ports until stop or the end of the
// test.
func startProcess(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	return startCommand(t, bin, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
}

// startCommand runs a command that serves on free ports, as startProcess does.
func startCommand(t *testing.T, bin string, args ...string) *process {
	t.Helper()
	return startCmd(t, exec.Command(bin, args...))
}

// startCmd runs a command that serves on ports which its log tells.
func startCmd(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: &logtext.Text{}, ended: make(chan error, 1)}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan [2]string, 1)
	go func() {
		p.follow(stderr, started)
		p.ended <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			const shown = 20
			lines := strings.SplitAfter(p.log.String(), "\n")
			t.Logf("%s wrote at last:\n%s", p.url, strings.Join(lines[max(0, len(lines)-shown):], ""))
		}
	})
	select {
	case at := <-started:
		p.url, p.admin = "http://"+at[0], at[1] // the log has the URL of the one, the address of the other
	case err := <-p.ended:
		p.ended <- err
		t.Fatalf("transom ended: %v\n%s", err, p.log)
	case <-time.After(processPatience):
		t.Fatalf("transom does not listen\n%s", p.log)
	}
	return p
}

// follow keeps the log, and finds in it where the process listens.
func (p *process) follow(stderr io.Reader, started chan<- [2]string) {
	var at [2]string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		_, _ = p.log.Write(append(lines.Bytes(), '\n')) // into memory
		var line struct{ Msg, Address string }
		switch _ = json.Unmarshal(lines.Bytes(), &line); line.Msg {
		case "listening":
			if at[0] == "" {
				at[0] = line.Address
			}
		case "admin":
			at[1] = line.Address
			select {
			case started <- at:
			default: // a process that has taken over
			}
		}
	}
}

// terminate asks the process to end, as Kubernetes and systemd do.
func (p *process) terminate() {
	p.t.Helper()
	last := p.last
	if last == nil {
		last = p.cmd.Process
	}
	if err := last.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// stop ends the process and wants it to end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.end(); err != nil {
		p.t.Errorf("transom: %v", err)
	}
}

// end ends the process, once, and returns how it ended. Whoever has called it judges
// that: stop finds nothing wrong then.
func (p *process) end() (code error) {
	p.t.Helper()
	p.once.Do(func() {
		p.terminate()
		select {
		case code = <-p.ended:
		case <-time.After(processPatience):
			_ = p.cmd.Process.Kill() // there is no better way left
			code = errors.Join(errors.New("it did not end by itself"), <-p.ended)
		}
	})
	return code
}
