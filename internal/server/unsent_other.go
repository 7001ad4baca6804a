//go:build !linux

package server

import "net"

// boundUnsent does nothing here.
func boundUnsent(l net.Listener) net.Listener { return l }
