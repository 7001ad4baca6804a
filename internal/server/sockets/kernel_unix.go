//go:build unix

package sockets

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Kinds of sockets, and what can be asked of one.
const (
	stream   = unix.SOCK_STREAM
	datagram = unix.SOCK_DGRAM

	accepts = unix.SO_ACCEPTCONN
	kindOf  = unix.SO_TYPE
)

// takeDescriptor makes a descriptor that came with the process its own. The error says that it is not open.
func takeDescriptor(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil { //nolint:gosec // a file descriptor
		return err
	}
	unix.CloseOnExec(fd)
	return nil
}

// copyDescriptor copies one, for a process that is started by os/exec alone.
func copyDescriptor(fd uintptr) (int, error) {
	return unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstFD)
}

func socketOption(fd uintptr, which int) (int, error) {
	return unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, which) //nolint:gosec // a file descriptor
}

// reusePort lets others listen at the same address.
func reusePort(fd uintptr) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) //nolint:gosec // a file descriptor
}

// hide has the file of a socket be its user's alone, before it is bound.
func hide(fd uintptr) { _ = unix.Fchmod(int(fd), 0o600) } //nolint:gosec // a file descriptor; other kernels than Linux's have the umask alone

// isGone reports whether there is no process of an id, or nothing of it but how it ended, which nobody has
// asked for yet.
func isGone(pid int) bool {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // Linux has it; proc_pid_stat(5)
	end := bytes.LastIndexByte(stat, ')')
	return err == nil && end >= 0 && bytes.HasPrefix(stat[end:], []byte(") Z "))
}
