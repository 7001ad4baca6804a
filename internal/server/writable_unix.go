//go:build unix

package server

import "golang.org/x/sys/unix"

// writable says why this process may not make files in a folder; nil where it may.
func writable(folder string) error { return unix.Access(folder, unix.W_OK|unix.X_OK) }
