package redistest

import (
	"net"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// StartWithReplica starts two servers that listen on TCP, too, of which the second follows
// the first.
func StartWithReplica(t testing.TB) (primary, replica *Server) {
	t.Helper()
	servers := make([]*Server, 2)
	for i := range servers {
		r := newServer(t)
		r.address = loopback.Address(t)
		host, port, err := net.SplitHostPort(r.address)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = "redis://" + r.address
		r.more = []string{"--port", port, "--bind", host, "--repl-diskless-sync-delay", "0"}
		r.Restart()
		servers[i] = r
	}
	servers[1].Follow(servers[0])
	return servers[0], servers[1]
}

// Address is where a server of StartWithReplica listens.
func (r *Server) Address() string { return r.address }

// Follow makes a server of StartWithReplica the replica of another one, and waits until it has
// what that one has.
func (r *Server) Follow(primary *Server) {
	r.t.Helper()
	r.must("REPLICAOF " + strings.ReplaceAll(primary.address, ":", " "))
	client := r.Client(r.t)
	poll.Until(r.t, "the replica", func() bool {
		info, err := client.Info(r.t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}

// Promote makes a replica a primary.
func (r *Server) Promote() {
	r.t.Helper()
	r.must("REPLICAOF NO ONE")
}
