//go:build !unix

package sockets

import "errors"

// Kinds of sockets, and what can be asked of one.
const (
	stream   = 1
	datagram = 2

	accepts = 0
	kindOf  = 1
)

// errSystem is that of what this system does not have: no process gives another one its sockets.
var errSystem = errors.New("this system does not have it")

func takeDescriptor(int) error { return errSystem }

func copyDescriptor(uintptr) (int, error) { return 0, errSystem }

func socketOption(uintptr, int) (int, error) { return 0, errSystem }

func reusePort(uintptr) error { return errSystem }

func hide(uintptr) {}

func isGone(int) bool { return false }
