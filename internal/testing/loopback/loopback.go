// Package loopback finds addresses for programs that must be told before they
// start where to listen, or that come back where they were. It knows no program.
//
//	address := loopback.Address(t) // "127.12.34.56:43210"
//
// A port of 127.0.0.1 that was free a moment ago may be another program's now:
// the system gives the same ports to whatever listens at port 0, and to each
// connection that somebody opens. So each process has an address of its own
// among the sixteen million of loopback, where nobody else takes ports.
package loopback

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

var (
	mu sync.Mutex
	// given are the addresses that have been given away.
	given = map[string]bool{}
)

// Address returns "host:port" of an address where nobody listens, and that no
// other call of this process is given.
func Address(t testing.TB) string {
	t.Helper()
	l := Listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// Listen listens at such an address. Whoever can is to call it: in the moment that it takes
// to listen at an Address, a program that listens on all addresses may have been given its port.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	for {
		l, err := listen(os.Getpid())
		if err != nil {
			t.Fatalf("no address of loopback is free: %v", err)
		}
		if address := l.Addr().String(); !given[address] {
			given[address] = true
			return l
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// listen listens at the address of a process, or where the system has but one
// address of loopback, at that.
func listen(pid int) (net.Listener, error) {
	l, err := net.Listen("tcp", host(pid)+":0")
	if err != nil {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, nil
}

// host is the address of a process: its number, between 127.1.0.0 and
// 127.254.255.255.
func host(pid int) string {
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>16%254, pid>>8&255, pid&255)
}
