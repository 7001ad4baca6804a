//go:build unix

package sockets

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "t")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func closing(t *testing.T, l net.Listener) {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
}

// TestUnixSocket: Traffic 193: permissions and group are as wanted; what a process left is
// replaced, a socket in use is not, nor is a file.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	address := "unix:" + path
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	gid := os.Getgid()
	l, err := new(Set).Listen("clients", address, Options{Mode: 0o606, Group: strconv.Itoa(gid)})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("%v %v", info, err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Gid) != gid {
		t.Errorf("%+v", info.Sys())
	}
	if _, err := new(Set).Listen("clients", address, Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a socket in use: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l, err = new(Set).Listen("clients", address, Options{Group: strconv.Itoa(gid)})
	if err != nil {
		t.Fatal(err)
	}
	if info, err = os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("beside a group: %v %v", info, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := new(Set).Listen("clients", address, Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a file: %v", err)
	}
	_, err = new(Set).Listen("clients", address+"2", Options{Group: "nobody has this group"})
	if err == nil || !strings.Contains(err.Error(), `socket_group: found "nobody has this group", which is no group of this machine`) {
		t.Error(err)
	}
}

// TestAbstractSocket: Traffic 193: unix:@name has no file.
func TestAbstractSocket(t *testing.T) {
	name := "@transom-test-" + strconv.Itoa(os.Getpid())
	l, err := new(Set).Listen("clients", "unix:"+name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, l)
	c, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, err := new(Set).Listen("clients", "unix:"+name, Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a name in use: %v", err)
	}
}

// given has copies of sockets stand at descriptors that follow each other, as systemd gives them.
func given(t *testing.T, sockets ...syscall.Conn) (first int) {
	t.Helper()
	for first = 300; ; first += 50 { // until nobody has one of them
		var got []int
		for i, c := range sockets {
			file, err := duplicate(c)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := file.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var fd int
			if err := errors.Join(raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD, first+i) }), err, file.Close()); err != nil {
				t.Fatal(err)
			}
			got = append(got, fd)
		}
		if got[len(got)-1] == first+len(sockets)-1 {
			return first
		}
		for _, fd := range got {
			_ = unix.Close(fd) // it was ours alone
		}
	}
}

func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, pair := range pairs {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value, true
			}
		}
		return "", false
	}
}

func three(t *testing.T) (tcp *net.TCPListener, file *net.UnixListener, udp *net.UDPConn) {
	t.Helper()
	var err error
	if tcp, err = net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	closing(t, tcp)
	if file, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(shortDir(t), "s"), Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	closing(t, file)
	if udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	return tcp, file, udp
}

// TestOfSystemd: Traffic 194: streams of TCP and of unix sockets and datagrams are found by their
// names; what is not there, or is something else, is an error that says what to do.
func TestOfSystemd(t *testing.T) {
	tcp, file, udp := three(t)
	pid := "LISTEN_PID=" + strconv.Itoa(os.Getpid())
	set, err := inherited(environ(pid, "LISTEN_FDS=4", "LISTEN_FDNAMES=web:local:web:other"), given(t, tcp, file, udp, udp))
	if err != nil {
		t.Fatal(err)
	}
	packets, err := set.ListenPacket("packets", "systemd:web", nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = packets.Close() })
	for name, want := range map[string]net.Addr{"web": tcp.Addr(), "local": file.Addr()} {
		l, err := set.Listen("clients", "systemd:"+name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		closing(t, l)
		if l.Addr().String() != want.String() {
			t.Errorf("%s: %v, want %v", name, l.Addr(), want)
		}
	}
	if packets.LocalAddr().String() != udp.LocalAddr().String() {
		t.Error(packets.LocalAddr())
	}
	_, err = set.Listen("clients", "systemd:web", Options{})
	if err == nil || err.Error() != `found no socket of ListenStream by the name "web", but of ["other"]: write FileDescriptorName=web into the .socket unit` {
		t.Error(err)
	}
	if names := set.Discard(); len(names) != 1 || names[0] != "other" {
		t.Error(names)
	}
	if _, err = set.Listen("clients", "systemd:web", Options{}); err == nil || !strings.Contains(err.Error(), "found no socket of systemd left") {
		t.Error(err)
	}
	for _, l := range set.opened {
		if l.file != nil {
			t.Error("the file of systemd's socket would be removed")
		}
	}
}

// TestBadEnvironment: what says that there are sockets may say anything.
func TestBadEnvironment(t *testing.T) {
	tcp, _, _ := three(t)
	pid := "LISTEN_PID=" + strconv.Itoa(os.Getpid())
	for want, env := range map[string][]string{
		`LISTEN_FDS: found "x", expected how many sockets come with this process, 0 to 1024`:    {pid, "LISTEN_FDS=x"},
		`LISTEN_FDS: found "1025", expected how many sockets come with this process, 0 to 1024`: {pid, "LISTEN_FDS=1025"},
		`LISTEN_FDNAMES: found 2 names, expected 1, as many as LISTEN_FDS says`:                 {pid, "LISTEN_FDS=1", "LISTEN_FDNAMES=a:b"},
		`is not open: bad file descriptor`:                                                      {pid, "LISTEN_FDS=900"},
	} {
		if _, err := inherited(environ(env...), 400); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, env := range [][]string{nil, {"LISTEN_FDS=1"}, {"LISTEN_FDS=1", "LISTEN_PID=1"}, {"LISTEN_FDS=1", "TRANSOM_PREDECESSOR=" + strconv.Itoa(os.Getpid())}} {
		set, err := inherited(environ(env...), given(t, tcp))
		if err != nil || len(set.given) != 0 || set.Successor() {
			t.Errorf("%v: %v %+v", env, err, set)
		}
	}
	connected, err := net.DialTCP("tcp", nil, tcp.Addr().(*net.TCPAddr)) //nolint:forcetypeassert // it is one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connected.Close() })
	set, err := inherited(environ(pid, "LISTEN_FDS=1", "LISTEN_FDNAMES=web"), given(t, connected))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Listen("clients", "systemd:web", Options{}); err == nil || !strings.Contains(err.Error(), "expected one that listens: a .socket unit with Accept=no") {
		t.Error(err)
	}
}

// TestSuccession: Traffic 196: what one process exports the next one takes, by the addresses of the
// configuration; who is handed nothing opens sockets as ever.
func TestSuccession(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first := new(Set)
	var addresses []string
	for _, address := range []string{"127.0.0.1:0", "127.0.0.1:0", "unix:" + path} {
		l, err := first.Listen("clients", address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		closing(t, l)
		addresses = append(addresses, l.Addr().String())
	}
	udp, err := first.ListenPacket("packets", "127.0.0.1:0", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	names, files, err := first.Export()
	if err != nil || len(names) != 4 {
		t.Fatal(names, err)
	}
	first.HandedOver()
	var sockets []syscall.Conn
	for _, f := range files {
		t.Cleanup(func() { _ = f.Close() })
		sockets = append(sockets, f)
	}
	env := append(Environment(names), "TRANSOM_PREDECESSOR="+strconv.Itoa(os.Getppid()))[1:]
	next, err := inherited(environ(env...), given(t, sockets...))
	if err != nil || !next.Successor() {
		t.Fatal(err)
	}
	for i, address := range []string{"127.0.0.1:0", "127.0.0.1:0", "unix:" + path} {
		l, err := next.Listen("clients", address, Options{})
		if err != nil {
			t.Fatal(err)
		}
		closing(t, l)
		if l.Addr().String() != addresses[i] {
			t.Errorf("%s: %s, want %s", address, l.Addr(), addresses[i])
		}
	}
	again, err := next.ListenPacket("packets", "127.0.0.1:0", nil, Options{})
	if err != nil || again.LocalAddr().String() != udp.LocalAddr().String() {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if _, err := next.Listen("clients", "systemd:web", Options{}); err == nil || !strings.Contains(err.Error(), "restart the service to have systemd open it") {
		t.Error(err)
	}
	l, err := next.Listen("clients", "127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, l)
}

// TestReusePort: Traffic 195: others may listen at the same port of TCP and UDP where both say so, and not
// otherwise.
func TestReusePort(t *testing.T) {
	set, shared := new(Set), Options{ReusePort: true}
	first, err := set.Listen("clients", "127.0.0.1:0", shared)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, first)
	at := first.Addr().String()
	second, err := new(Set).Listen("clients", at, shared)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, second)
	if l, err := new(Set).Listen("clients", at, Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, %v", l, err)
	}
	packets := func(at *net.UDPAddr, o Options) (*net.UDPConn, error) {
		udp, err := new(Set).ListenPacket("packets", "", at, o)
		if err == nil {
			t.Cleanup(func() { _ = udp.Close() }) // nobody waits for it
		}
		return udp, err
	}
	udp, err := packets(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, shared)
	if err != nil {
		t.Fatal(err)
	}
	port, ok := udp.LocalAddr().(*net.UDPAddr)
	if !ok {
		t.Fatal(udp.LocalAddr())
	}
	if _, err := packets(port, shared); err != nil {
		t.Error(err)
	}
	if _, err := packets(port, Options{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
}

// TestPredecessorThatIsGone: Traffic 196: a process takes the sockets of the one before it also where that was
// killed meanwhile; of one that lives and is not its parent it does not.
func TestPredecessorThatIsGone(t *testing.T) {
	gone, unwaited := exec.Command("true"), exec.Command("true")
	said, err := unwaited.StdoutPipe()
	if err = errors.Join(err, gone.Run(), unwaited.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unwaited.Wait() }) // it says nothing
	_, _ = said.Read(make([]byte, 1))         // until it has ended, or is about to
	poll.Until(t, "the process to end", func() bool { return isGone(unwaited.Process.Pid) })
	tcp, _, _ := three(t)
	for before, want := range map[int]bool{gone.Process.Pid: true, unwaited.Process.Pid: true, os.Getppid(): true, os.Getpid(): false, 0: false, -1: false} {
		first := given(t, tcp)
		set, err := inherited(environ("LISTEN_FDS=1", "LISTEN_FDNAMES=a", predecessorVar+"="+strconv.Itoa(before)), first)
		if err != nil {
			t.Fatal(err)
		}
		if set.Successor() != want {
			t.Errorf("of process %d: %v", before, set.Successor())
		}
		if names := set.Discard(); len(names) == 0 {
			_ = unix.Close(first) // nobody has taken it
		}
	}
}
