package redistest

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/transom-gateway/transom/internal/poll"
)

// StartCluster starts a cluster of one server. It refuses, as each cluster
// does, what touches several slots at once.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	// A cluster's servers tell clients their addresses, so it cannot do with a
	// socket; the second port is the one its servers would talk over.
	ports := freePorts(t, 2)
	r := newServer(t)
	r.URL = fmt.Sprintf("redis://127.0.0.1:%d?addr=127.0.0.1:%d", ports[0], ports[0])
	r.more = []string{
		"--port", strconv.Itoa(ports[0]), "--cluster-port", strconv.Itoa(ports[1]), "--bind", "127.0.0.1",
		"--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1",
	}
	r.Restart()
	if answer := r.command("CLUSTER ADDSLOTSRANGE 0 16383"); answer != "+OK" {
		t.Fatalf("the cluster does not take its slots: %s", answer)
	}
	// A key is served as soon as the cluster's state is good.
	if !poll.Within(redisPatience, func() bool { return r.command("EXISTS a") == ":0" }) {
		t.Fatalf("the cluster does not serve keys within %v: %s", redisPatience, r.command("EXISTS a"))
	}
	return r
}

// freePorts finds ports of loopback that nobody uses now.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // all at the end, so that no two are the same
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
