package upstream_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// stopped forwards connections to a server until it is stopped: then they stay open,
// and nothing comes through, as where the server's process is stopped.
type stopped struct {
	address string
	gate    sync.RWMutex // held while nothing comes through
}

func forward(t *testing.T, to string) *stopped {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stopped{address: l.Addr().String()}
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			work.Go(func() { s.copy(server, client) })
			work.Go(func() { s.copy(client, server) })
		}
	})
	return s
}

func (s *stopped) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		s.gate.RLock()
		_, failed := to.Write(buffer[:n])
		s.gate.RUnlock()
		if err != nil || failed != nil && failed != io.EOF {
			return
		}
	}
}

// TestStoppedServer: Traffic 178: a server that is stopped, with its connections and its
// Watch open, gets no calls once it has not answered a Check in time, and gets them
// again when it goes on.
func TestStoppedServer(t *testing.T) {
	a, _ := startChecked(t)
	b, _ := startChecked(t)
	between := forward(t, b.address)
	_, target := names(t, a.address, between.address)
	conn := get(t, upstream.Target{Address: target, LoadBalancing: "round_robin", Health: check(health.Check{
		Interval: 20 * time.Millisecond, Timeout: 500 * time.Millisecond, Down: 1, Up: 2,
	})})
	settled(t, conn, a, b)
	between.gate.Lock()
	poll.Until(t, "the stopped server to be found", func() bool {
		for _, e := range conn.Endpoints() {
			if strings.Contains(e.Why, "no answer to grpc.health.v1.Health/Check") {
				return e.State == "UNHEALTHY"
			}
		}
		return false
	})
	for range 20 {
		if seen, err := answered(t, conn); err != nil || len(seen) != 1 || seen[0] != a.address {
			t.Fatalf("calls are answered by %v (%v)", seen, err)
		}
	}
	between.gate.Unlock()
	settled(t, conn, a, b)
}
