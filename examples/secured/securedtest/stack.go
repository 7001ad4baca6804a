// Package securedtest starts the example examples/secured as a user does: the
// program lending-desk with a gateway in front, two processes, in a folder of
// its own. It knows how to start and to end them, and no method of theirs.
//
//	stack := securedtest.Start(t, securedtest.Options{Bin: securedtest.Build(t, "../..")})
//	http.Get(stack.URL + "/v1/tools")
package securedtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/transom-gateway/transom/examples/secured"
)

// patience bounds how long the programs may take to start, and to end.
const patience = time.Minute

// shown is how many lines of the log a failed test shows.
const shown = 20

// Options say what is started.
type Options struct {
	// Bin is the folder with the programs lending-desk and transom.
	Bin string
	// Env is further NAME=value pairs, such as "DESK_PAGES=http://localhost:3000".
	Env []string
	// Patient gives Redis ten seconds for an answer, where a busy machine may take longer than the
	// default.
	Patient bool
}

// Stack is a desk and a gateway that serve until the test ends.
type Stack struct {
	// Dir is the folder that they were started in; the example lies in its
	// "examples/secured".
	Dir string
	// Host is "localhost:PORT" of the gateway, and URL the same with its scheme.
	Host, URL string

	log log
}

// Log is what both have written to standard error so far.
func (s *Stack) Log() string { return s.log.String() }

// Start starts both programs and waits until the gateway listens. A failure
// ends the test; so does one that they report when they are ended.
func Start(t testing.TB, o Options) *Stack {
	t.Helper()
	s := &Stack{Dir: t.TempDir()}
	folder := filepath.Join(s.Dir, "examples", "secured")
	if err := os.CopyFS(folder, fs.FS(secured.Files)); err != nil {
		t.Fatal(err)
	}
	if o.Patient {
		bePatient(t, filepath.Join(folder, "transom.yaml"))
	}
	desk := exec.Command(filepath.Join(o.Bin, "lending-desk"), "-addr", "127.0.0.1:0", "-gateway", filepath.Join(o.Bin, "transom"),
		"-config", "examples/secured/transom.yaml", "--", "--listen", "127.0.0.1:0", "--admin", "-")
	desk.Dir = s.Dir
	desk.Env = append(append(os.Environ(), "DESK_SECRET_FILE=", "DESK_PAGES=", "REDIS_URL="), o.Env...)
	stderr, err := desk.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.Start(); err != nil {
		t.Fatal(err)
	}
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		s.follow(bufio.NewScanner(stderr), address)
		ended <- desk.Wait()
	}()
	t.Cleanup(func() { s.stop(t, desk.Process, ended) })
	select {
	case at := <-address:
		_, port, err := net.SplitHostPort(at)
		if err != nil {
			t.Fatal(err)
		}
		s.Host = net.JoinHostPort("localhost", port)
		s.URL = "http://" + s.Host
	case err := <-ended:
		ended <- err
		t.Fatalf("lending-desk ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the gateway does not listen")
	}
	return s
}

// bePatient writes Options.Patient into a configuration.
func bePatient(t testing.TB, config string) {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	patient := bytes.Replace(text, []byte(`redis: { url: "${REDIS_URL:-}" }`), []byte(`redis: { url: "${REDIS_URL:-}", timeout: 10s }`), 1)
	if bytes.Equal(patient, text) {
		t.Fatalf("%s has no stores.redis to be patient with", config)
	}
	if err := os.WriteFile(config, patient, 0o600); err != nil {
		t.Fatal(err)
	}
}

// follow keeps the log, and finds the address in it.
func (s *Stack) follow(lines *bufio.Scanner, address chan<- string) {
	for lines.Scan() {
		s.log.write(lines.Bytes())
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			select {
			case address <- line.Address:
			default: // known already
			}
		}
	}
}

// stop ends both as Ctrl-C does.
func (s *Stack) stop(t testing.TB, p *os.Process, ended <-chan error) {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("lending-desk: %v", err)
		}
	case <-time.After(patience):
		_ = p.Kill() // there is no better way left
		t.Errorf("lending-desk did not end by itself: %v", <-ended)
	}
	if t.Failed() {
		lines := strings.SplitAfter(s.Log(), "\n")
		t.Logf("desk and gateway wrote at last:\n%s", strings.Join(lines[max(0, len(lines)-shown):], ""))
	}
}

// log is written by one and read by others.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) write(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(line)
	l.text.WriteByte('\n')
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
