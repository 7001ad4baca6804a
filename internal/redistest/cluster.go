package redistest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/poll"
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
	ports := freePorts(t, 2*n)
	servers := make([]*Server, n)
	for i := range servers {
		r := newServer(t)
		r.NodeURL = fmt.Sprintf("redis://127.0.0.1:%d", ports[i])
		r.URL = r.NodeURL + "?"
		for _, port := range ports[:n] {
			r.URL += fmt.Sprintf("addr=127.0.0.1:%d&", port)
		}
		r.URL = r.URL[:len(r.URL)-1]
		r.more = []string{
			"--port", strconv.Itoa(ports[i]), "--cluster-port", strconv.Itoa(ports[n+i]), "--bind", "127.0.0.1",
			"--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1",
		}
		r.Restart()
		r.must(fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
		r.must(fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", i*slots/n, (i+1)*slots/n-1))
		if i > 0 {
			servers[0].must(fmt.Sprintf("CLUSTER MEET 127.0.0.1 %d %d", ports[i], ports[n+i]))
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
