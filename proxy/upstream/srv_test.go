package upstream_test

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// record is an SRV record of a server, whose name has its address.
func record(s *server, priority, weight uint16) dnsmessage.SRVResource {
	at := netip.MustParseAddrPort(s.address)
	return dnsmessage.SRVResource{Priority: priority, Weight: weight, Port: at.Port(), Target: dnsmessage.MustNewName("one.test.")}
}

func (s *nameServer) sayServers(code dnsmessage.RCode, records ...dnsmessage.SRVResource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.srv, s.a = code, records, []netip.Addr{s.local}
}

func (s *nameServer) lose(lost, broken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost, s.broken = lost, broken
}

func (s *nameServer) srvTarget() string {
	return "srv://" + s.conn.LocalAddr().String() + "/_grpc._tcp.books.test."
}

// share counts how many of so many calls each server answers.
func share(t *testing.T, conn *upstream.Conn, calls int) map[string]int {
	t.Helper()
	n := map[string]int{}
	for range calls {
		name, _, err := ask(t, conn)
		if err != nil {
			t.Fatal(err)
		}
		n[name]++
	}
	return n
}

// TestSRV: Traffic 174: SRV records give ports, weights and priorities, and are asked
// for again.
func TestSRV(t *testing.T) {
	const often = 20 * time.Millisecond
	local := func(t *testing.T) *server { return startOn(t, loopback.Listen(t)) }
	t.Run("ports and weights", func(t *testing.T) {
		light, heavy, drained := local(t), local(t), local(t)
		dns := startNameServer(t)
		dns.sayServers(dnsmessage.RCodeSuccess, record(light, 0, 10), record(heavy, 0, 30), record(drained, 0, 0))
		conn := get(t, upstream.Target{Address: dns.srvTarget(), ResolveInterval: time.Hour, LoadBalancing: "round_robin"})
		poll.Until(t, "calls to both", func() bool { return len(answering(t, conn)) == 2 })
		n := share(t, conn, 40)
		if n[light.address] != 10 || n[heavy.address] != 30 {
			t.Errorf("calls: %v, want a quarter of them to %s", n, light.address)
		}
	})
	t.Run("weights of 0 alone are equal", func(t *testing.T) {
		a, b := local(t), local(t)
		dns := startNameServer(t)
		dns.sayServers(dnsmessage.RCodeSuccess, record(a, 0, 0), record(b, 0, 0))
		conn := get(t, upstream.Target{Address: dns.srvTarget(), LoadBalancing: "round_robin"})
		poll.Until(t, "calls to both", func() bool { return len(answering(t, conn)) == 2 })
	})
	t.Run("a priority only while all above it are away", func(t *testing.T) {
		first, second, third := local(t), local(t), local(t)
		dns := startNameServer(t)
		dns.sayServers(dnsmessage.RCodeSuccess, record(third, 20, 1), record(second, 10, 1), record(first, 10, 1))
		conn := get(t, upstream.Target{Address: dns.srvTarget(), ResolveInterval: often})
		settled := func(servers ...*server) {
			t.Helper()
			poll.Until(t, "calls to those of the first priority", func() bool {
				seen, err := answered(t, conn)
				return err == nil && slices.Equal(seen, addressesOf(servers...))
			})
		}
		settled(first, second)
		first.Stop()
		settled(second)
		second.Stop()
		settled(third)
		dns.sayServers(dnsmessage.RCodeSuccess, record(third, 0, 1), record(second, 10, 1))
		settled(third)
	})
	t.Run("asked again", func(t *testing.T) {
		a, b := local(t), local(t)
		dns := startNameServer(t)
		dns.sayServers(dnsmessage.RCodeSuccess, record(a, 0, 1))
		conn := get(t, upstream.Target{Address: dns.srvTarget(), ResolveInterval: often})
		answering(t, conn)
		dns.sayServers(dnsmessage.RCodeSuccess, record(b, 0, 1))
		poll.Until(t, "the other server", func() bool { return slices.Equal(answering(t, conn), addressesOf(b)) })
	})
	t.Run("no answer changes nothing", func(t *testing.T) {
		for name, say := range map[string]func(*nameServer){
			"no record": func(dns *nameServer) { dns.sayServers(dnsmessage.RCodeSuccess) },
			"NXDOMAIN":  func(dns *nameServer) { dns.sayServers(dnsmessage.RCodeNameError) },
			"no service": func(dns *nameServer) {
				dns.sayServers(dnsmessage.RCodeSuccess, dnsmessage.SRVResource{Target: dnsmessage.MustNewName(".")})
			},
			"a server without address": func(dns *nameServer) { dns.lose("one.test.", "") },
		} {
			t.Run(name, func(t *testing.T) {
				a := local(t)
				dns := startNameServer(t)
				dns.sayServers(dnsmessage.RCodeSuccess, record(a, 0, 1))
				lines := &logtext.Text{}
				conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: dns.srvTarget(), ResolveInterval: often})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Release()
				answering(t, conn)
				say(dns)
				poll.Until(t, "a word in the log", func() bool { return strings.Contains(lines.String(), "the backend's name cannot be resolved") })
				answering(t, conn)
			})
		}
	})
	t.Run("the address of one server cannot be found for a while", func(t *testing.T) {
		a := local(t)
		dns := startNameServer(t)
		dns.sayServers(dnsmessage.RCodeSuccess, record(a, 0, 1))
		conn := get(t, upstream.Target{Address: dns.srvTarget(), ResolveInterval: often})
		answering(t, conn)
		dns.lose("", "one.test.")
		before := dns.asked()
		poll.Until(t, "more questions", func() bool { return dns.asked() > before+4 })
		answering(t, conn)
		if err := conn.Failure(); err != nil {
			t.Error(err)
		}
	})
	t.Run("bad names", func(t *testing.T) {
		for _, address := range []string{"srv:///", "srv:///_grpc._tcp.books.test:50051"} {
			if _, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Address: address}); err == nil || !strings.Contains(err.Error(), "is no name of SRV records") {
				t.Errorf("%s: %v", address, err)
			}
		}
	})
}
