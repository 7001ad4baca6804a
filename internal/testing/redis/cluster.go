package redistest

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// slots is how many slots a cluster has.
const slots = 16384

// StartCluster starts a cluster of one server. It refuses, as each cluster
// does, what touches several slots at once.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	return StartClusterOf(t, 1)[0]
}

// StartClusterOf starts a cluster of some servers, each with its part of the
// slots. Their URLs name all of them.
func StartClusterOf(t testing.TB, n int) []*Server {
	t.Helper()
	// A cluster's servers tell clients their addresses, so it cannot do with a
	// socket; the second half of the ports are those that its servers talk over.
	addresses := make([]string, 2*n)
	for i := range addresses {
		addresses[i] = loopback.Address(t)
	}
	servers := make([]*Server, n)
	for i := range servers {
		r := newServer(t)
		host, port, busPort := parts(t, addresses[i], addresses[n+i])
		r.NodeURL = "redis://" + addresses[i]
		r.URL = r.NodeURL + "?addr=" + strings.Join(addresses[:n], "&addr=")
		r.more = []string{
			"--port", port, "--cluster-port", busPort, "--bind", host,
			"--cluster-enabled", "yes", "--cluster-announce-ip", host,
		}
		r.Restart()
		r.must(fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
		r.must(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/n, (i+1)*slots/n-1))
		if i > 0 {
			servers[0].must(fmt.Sprintf("CLUSTER MEET %s %s %s", host, port, busPort))
		}
		servers[i] = r
	}
	// A key is served, or its server named, as soon as the cluster's state is good.
	for _, r := range servers {
		var answer string
		if !poll.Within(redisPatience, func() bool {
			answer = r.command("EXISTS a")
			return answer == ":0" || strings.HasPrefix(answer, "-MOVED")
		}) {
			t.Fatalf("the cluster does not serve keys within %v: %s", redisPatience, answer)
		}
	}
	return servers
}

// must sends a command that is answered OK.
func (r *Server) must(line string) {
	r.t.Helper()
	if answer := r.command(line); answer != "+OK" {
		r.t.Fatalf("%s: %s, want +OK", line, answer)
	}
}

// parts are the host of both addresses of a server, and their ports.
func parts(t testing.TB, serve, bus string) (host, port, busPort string) {
	t.Helper()
	host, port, err := net.SplitHostPort(serve)
	if err == nil {
		_, busPort, err = net.SplitHostPort(bus)
	}
	if err != nil {
		t.Fatal(err)
	}
	return host, port, busPort
}
