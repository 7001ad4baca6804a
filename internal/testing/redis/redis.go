// Package redistest starts a real redis-server for a test, on a unix socket of the
// test's own. It knows Redis and nothing of Transom, so that any package's tests
// may import it.
//
//	server := redistest.Start(t)
//	client := redis.NewClient(…server.URL…)
package redistest

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// redisPatience bounds how long a server may take to answer its first PING; a
// loaded machine needs more than an idle one.
const redisPatience = 30 * time.Second

// Server is a redis-server of the test's own, on a unix socket in a directory of
// its own. What was written survives Kill and Restart.
type Server struct {
	// URL is what a configuration's stores.redis.url holds.
	URL string
	// NodeURL names one server of a cluster as if there were no other.
	NodeURL string

	t       testing.TB
	binary  string
	dir     string
	socket  string
	more    []string // further arguments
	address string   // of TCP, where StartWithReplica chose one
	process *exec.Cmd

	// Of StartWithClock: the file that holds off, which the server's clock is ahead
	// of the machine's, and what makes it look there.
	clock       string
	off         time.Duration
	environment []string
}

// Start runs a server that ends with the test. Where no redis-server is
// installed the test fails and says what to install.
func Start(t testing.TB) *Server {
	t.Helper()
	r := newServer(t)
	r.Restart()
	return r
}

// newServer prepares a server that is not yet there.
func newServer(t testing.TB) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test needs a real redis-server: install Debian's package redis-server (apt-get install redis-server)")
	}
	// A socket's path may have 107 bytes at most: t.TempDir is too long for it.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	r := &Server{URL: "unix://" + socket, t: t, binary: binary, dir: dir, socket: socket}
	t.Cleanup(func() {
		r.Kill()
		_ = os.RemoveAll(dir)
	})
	return r
}

// Restart starts the server again, after Kill or not, and waits until it
// answers.
func (r *Server) Restart() {
	r.t.Helper()
	r.Kill()
	// The append-only file is written before a command is answered; without a
	// sync that outlives the process, if not the machine.
	arguments := []string{"--port", "0", "--unixsocket", r.socket, "--dir", r.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "no", "--daemonize", "no", "--loglevel", "warning",
		"--logfile", filepath.Join(r.dir, "log")}
	r.process = exec.Command(r.binary, append(arguments, r.more...)...)
	r.process.Env = append(os.Environ(), r.environment...)
	if err := r.process.Start(); err != nil {
		r.process = nil
		r.t.Fatalf("redis-server does not start: %v", err)
	}
	if !poll.Within(redisPatience, r.answers) {
		log, _ := os.ReadFile(filepath.Join(r.dir, "log"))
		r.t.Fatalf("redis-server does not answer within %v; its log:\n%s", redisPatience, log)
	}
}

// Kill ends the server as a crash does.
func (r *Server) Kill() {
	if r.process == nil {
		return
	}
	_ = r.process.Process.Kill()
	_ = r.process.Wait() // "signal: killed" is what was asked for
	r.process = nil
	_ = os.Remove(r.socket)
}

// Pause stops the server so that connections stand open and nothing is
// answered, as behind a network that swallows packets. Kill works on a paused
// server.
func (r *Server) Pause() { r.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (r *Server) Resume() { r.signal(syscall.SIGCONT) }

func (r *Server) signal(s syscall.Signal) {
	r.t.Helper()
	if r.process == nil {
		r.t.Fatal("redis-server is not running")
	}
	if err := r.process.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// answers reports whether the server has loaded its data and serves commands.
func (r *Server) answers() bool { return r.command("PING") == "+PONG" }

// command sends one command and returns the first line of the answer, empty for
// none.
func (r *Server) command(line string) string {
	conn, err := net.DialTimeout("unix", r.socket, time.Second)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
		return ""
	}
	answer, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(answer, "\r\n")
}

// Client is a client of the server until the test ends, which gives a busy machine time.
func (r *Server) Client(t testing.TB) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.ReadTimeout, options.WriteTimeout = time.Minute, time.Minute
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
