package server

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxUnsent is how much of what was written to a connection waits in the kernel until it can be sent. Without a bound that
// is up to 4 MiB (net.ipv4.tcp_wmem) for each client who does not read: memory that nobody counts, and
// work that others wait for.
const maxUnsent = 128 << 10

// unsent is a listener whose connections keep up to maxUnsent.
type unsent struct{ net.Listener }

func boundUnsent(l net.Listener) net.Listener { return unsent{l} }

// Accept implements net.Listener. The option is each connection's own, as those of a listener for MPTCP do not pass it on;
// a kernel that does not know it does without.
func (l unsent) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) //nolint:gosec // a file descriptor
			})
		}
	}
	return c, err
}
