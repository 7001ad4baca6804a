package loopback

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestAddress(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		address := Address(t)
		if seen[address] {
			t.Errorf("%s is given twice", address)
		}
		seen[address] = true
		if !strings.HasPrefix(address, host(os.Getpid())+":") {
			t.Errorf("%s is not an address of this process", address)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHost(t *testing.T) {
	for pid, want := range map[int]string{
		1: "127.1.0.1", 255: "127.1.0.255", 256: "127.1.1.0", 65535: "127.1.255.255", 65536: "127.2.0.0",
		4194304: "127.65.0.0", 1<<24 - 1: "127.2.255.255",
	} {
		if got := host(pid); got != want {
			t.Errorf("process %d has %s, want %s", pid, got, want)
		}
	}
}
