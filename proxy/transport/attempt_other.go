//go:build !unix

package transport

import (
	"errors"
	"net"
	"syscall"
)

// attempt is never made here: writes go through a goroutine, as with TLS.
type attempt struct{}

func rawConn(net.Conn) syscall.RawConn { return nil }

func (*attempt) write(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
