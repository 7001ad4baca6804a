package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// serviceManager starts a program as systemd does: with sockets, their names and a socket for what
// the program tells.
type serviceManager struct {
	t    *testing.T
	told *net.UnixConn
	env  []string
	fds  []*os.File
}

func newServiceManager(t *testing.T, dir string) *serviceManager {
	t.Helper()
	socket := filepath.Join(dir, "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = told.Close() })
	return &serviceManager{t: t, told: told, env: append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=200000")}
}

// give hands a socket over.
func (m *serviceManager) give(socket interface{ File() (*os.File, error) }) {
	m.t.Helper()
	file, err := socket.File()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = file.Close() })
	m.fds = append(m.fds, file)
}

func (m *serviceManager) start(names, bin, config string) *process {
	m.t.Helper()
	cmd := exec.Command("sh", "-c", `WATCHDOG_PID=$$ LISTEN_PID=$$ exec "$0" serve --config "$1"`, bin, config)
	cmd.Env = append(slices.Clone(m.env), fmt.Sprintf("LISTEN_FDS=%d", len(m.fds)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = m.fds
	return startCmd(m.t, cmd)
}

// until waits for a message that begins so.
func (m *serviceManager) until(want string) string {
	m.t.Helper()
	if err := m.told.SetReadDeadline(time.Now().Add(processPatience)); err != nil {
		m.t.Fatal(err)
	}
	text := make([]byte, 4096)
	for {
		n, err := m.told.Read(text)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", want, err)
		}
		if got := string(text[:n]); strings.HasPrefix(got, want) {
			return got
		} else if got != "WATCHDOG=1" {
			m.t.Fatalf("told %q, want %q", got, want)
		}
	}
}

// TestUnderSystemd: Traffic 194 and 196, Surface 284: the sockets are systemd's, streams, a unix
// socket and datagrams; it is told of the start, a reload, the next process and the end, and that
// the process lives.
func TestUnderSystemd(t *testing.T) {
	dir, err := os.MkdirTemp("", "t") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cert, key := keytest.Certificate(t, "first.example")
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	m := newServiceManager(t, dir)
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	at, _ := tcp.Addr().(*net.TCPAddr)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	socket := filepath.Join(dir, "s")
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	m.give(tcp)
	m.give(udp)
	m.give(local)
	gateway := m.start("web:web:local", buildTransom(t), replaced(t, `[{ address: "systemd:web", http3: true, tls: { certificate: "`+dir+`/cert.pem", key: "`+dir+`/key.pem" } }, { address: "systemd:local" }]`, ""))
	m.until("READY=1")
	m.until("WATCHDOG=1")
	ask := func() {
		t.Helper()
		transport := &http.Transport{DialContext: dialUnix(socket)}
		defer transport.CloseIdleConnections()
		put(t, &http.Client{Transport: transport}, "http://gateway")
		quic := &http3.Transport{TLSClientConfig: trusting(t, cert, "first.example")}
		defer func() { _ = quic.Close() }()
		put(t, &http.Client{Transport: quic}, "https://"+at.String())
	}
	ask()
	if err := gateway.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := m.until("RELOADING=1"); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Error(got)
	}
	m.until("READY=1")
	gateway.upgraded()
	if got := m.until("MAINPID="); got != fmt.Sprintf("MAINPID=%d", gateway.last.Pid) {
		t.Errorf("%s, want %d", got, gateway.last.Pid)
	}
	m.until("READY=1")
	m.until("WATCHDOG=1")
	poll.Until(t, "the first process to end", func() bool { return strings.Contains(gateway.log.String(), `"msg":"stopped"`) })
	ask()
	gateway.stop()
	m.until("STOPPING=1")
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("systemd's socket: %v", err)
	}
}

// TestSocketActivation: Surface 284: systemd-socket-activate starts the gateway at the first
// connection, which is answered.
func TestSocketActivation(t *testing.T) {
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Fatal("there is no systemd-socket-activate, which is in the package systemd: make test installs it")
	}
	dir, err := os.MkdirTemp("", "t") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(activate, "--listen="+socket, "--fdname=web", buildTransom(t), "serve", "--config", replaced(t, `[{ address: "systemd:web" }]`, ""))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan string, 1)
	go func() {
		last := ""
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			last = lines.Text()
		}
		stopped <- last
	}()
	poll.Until(t, "the socket", func() bool { // there is a file before anybody listens
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	transport := &http.Transport{DialContext: dialUnix(socket)}
	put(t, &http.Client{Transport: transport}, "http://gateway")
	transport.CloseIdleConnections()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if last := <-stopped; !strings.Contains(last, `"msg":"stopped"`) {
		t.Error(last)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
