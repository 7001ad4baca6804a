//go:build !linux

package server

import "net"

// readBuffer does not know.
func readBuffer(*net.UDPConn) (n int, ok bool) { return 0, false }
