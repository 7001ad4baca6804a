//go:build !unix

package server

// writable says why this process may not make files in a folder; nil where that is not known before it does.
func writable(string) error { return nil }
