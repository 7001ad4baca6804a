//go:build unix

package transport

import (
	"net"
	"syscall"
)

// attempt is a write that does not wait for the peer. One is under way at a
// time. It keeps its function, so that a write allocates nothing.
type attempt struct {
	run func(fd uintptr) bool
	out []byte
	n   int
	err error
}

// rawConn returns the socket of a connection whose bytes are the socket's, nil
// for others such as TLS.
func rawConn(conn net.Conn) syscall.RawConn {
	switch socket := conn.(type) {
	case *net.TCPConn:
		raw, err := socket.SyscallConn()
		if err == nil {
			return raw
		}
	case *net.UnixConn:
		raw, err := socket.SyscallConn()
		if err == nil {
			return raw
		}
	}
	return nil
}

// write writes what the socket takes at once.
func (a *attempt) write(raw syscall.RawConn, out []byte) (int, error) {
	if a.run == nil {
		a.run = a.once
	}
	a.out, a.n, a.err = out, 0, nil
	err := raw.Write(a.run)
	a.out = nil
	if err == nil {
		err = a.err
	}
	return a.n, err
}

func (a *attempt) once(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), a.out)
		switch err {
		case nil:
			a.n = n
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
		default:
			a.err = err
		}
		return true // never wait
	}
}
