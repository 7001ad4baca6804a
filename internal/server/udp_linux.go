package server

import (
	"net"
	"syscall"
)

// readBuffer is what the kernel keeps of packets that are not read yet, in bytes.
func readBuffer(udp *net.UDPConn) (n int, ok bool) {
	raw, err := udp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var got error
	if err := raw.Control(func(fd uintptr) {
		n, got = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF) //nolint:gosec // a file descriptor
	}); err != nil || got != nil {
		return 0, false
	}
	return n / 2, true // Linux tells twice of what was asked for (socket(7))
}
