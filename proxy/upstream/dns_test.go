package upstream_test

import (
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// nameServer is a DNS server that says what a test wants.
type nameServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	code dnsmessage.RCode
	a    []netip.Addr
	srv  []dnsmessage.SRVResource
	// local is where the servers of SRV records listen.
	local netip.Addr
	// lost are names of which nothing is known, and broken those that it cannot answer.
	lost, broken string
	asks         int // for addresses of IPv4
}

func startNameServer(t testing.TB) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn, local: netip.MustParseAddrPort(loopback.Address(t)).Addr()}
	var work sync.WaitGroup
	work.Go(s.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		work.Wait()
	})
	return s
}

func (s *nameServer) serve() {
	buffer := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return // the test has ended
		}
		var question dnsmessage.Message
		if question.Unpack(buffer[:n]) != nil || len(question.Questions) != 1 {
			continue
		}
		if answer, err := s.answer(question); err == nil {
			_, _ = s.conn.WriteTo(answer, from)
		}
	}
}

func (s *nameServer) answer(question dnsmessage.Message) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := question.Questions[0]
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: question.ID, Response: true, Authoritative: true, RCode: s.code},
		Questions: question.Questions,
	}
	if asked.Type == dnsmessage.TypeA {
		s.asks++
	}
	switch asked.Name.String() {
	case s.lost:
		answer.RCode = dnsmessage.RCodeNameError
		return answer.Pack()
	case s.broken:
		answer.RCode = dnsmessage.RCodeServerFailure
		return answer.Pack()
	}
	if asked.Type == dnsmessage.TypeSRV {
		for i := range s.srv {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Type: asked.Type, Class: asked.Class},
				Body:   &s.srv[i],
			})
		}
	}
	if asked.Type == dnsmessage.TypeA {
		for _, a := range s.a {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Type: asked.Type, Class: asked.Class},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return answer.Pack()
}

// say has the server answer so from now on.
func (s *nameServer) say(code dnsmessage.RCode, servers ...*server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.code, s.a = code, nil
	for _, server := range servers {
		s.a = append(s.a, netip.MustParseAddrPort(server.address).Addr())
	}
}

func (s *nameServer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asks
}

// target is a name that is asked of this server.
func (s *nameServer) target(port string) string {
	return "dns://" + s.conn.LocalAddr().String() + "/backends.test.:" + port
}

// backends starts servers on 127.0.0.1, 127.0.0.2 and so on, all with one port.
func backends(t testing.TB, n int) (all []*server, port string) {
	t.Helper()
	var listeners []net.Listener
	for range 100 {
		port = "0"
		listeners = nil
		for i := range n {
			address := netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)})
			l, err := net.Listen("tcp", net.JoinHostPort(address.String(), port))
			if err != nil {
				break // the port is taken there
			}
			listeners = append(listeners, l)
			_, port, _ = net.SplitHostPort(l.Addr().String())
		}
		if len(listeners) == n {
			for _, l := range listeners {
				all = append(all, startOn(t, l))
			}
			return all, port
		}
		for _, l := range listeners {
			_ = l.Close()
		}
	}
	t.Fatal("there is no port that is free on all addresses")
	return nil, ""
}

// answering returns which servers answer ten calls, and fails the test where one
// does not.
func answering(t *testing.T, conn *upstream.Conn) []string {
	t.Helper()
	seen, err := answered(t, conn)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// answered is answering while a server stops, which calls may fail of.
func answered(t *testing.T, conn *upstream.Conn) ([]string, error) {
	t.Helper()
	seen := map[string]bool{}
	for range 10 {
		name, _, err := ask(t, conn)
		if err != nil {
			return nil, err
		}
		seen[name] = true
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

func addressesOf(servers ...*server) (list []string) {
	for _, s := range servers {
		list = append(list, s.address)
	}
	slices.Sort(list)
	return list
}

// TestDNS: Traffic 172: addresses are asked for again at intervals and after
// failures; 173: what is known stays in use while there is no better answer.
func TestDNS(t *testing.T) {
	const often = 20 * time.Millisecond
	t.Run("new addresses are found without a failure, vanished ones drain", func(t *testing.T) {
		servers, port := backends(t, 3)
		dns := startNameServer(t)
		dns.say(dnsmessage.RCodeSuccess, servers[0])
		conn := get(t, upstream.Target{Address: dns.target(port), ResolveInterval: often})
		if got := answering(t, conn); !slices.Equal(got, addressesOf(servers[0])) {
			t.Fatal(got)
		}
		dns.say(dnsmessage.RCodeSuccess, servers[0], servers[1])
		poll.Until(t, "calls to the new address", func() bool { return len(answering(t, conn)) == 2 })
		dns.say(dnsmessage.RCodeSuccess, servers[2])
		poll.Until(t, "calls to the newest address alone", func() bool {
			return slices.Equal(answering(t, conn), addressesOf(servers[2]))
		})
	})
	t.Run("backends are replaced one after the other", func(t *testing.T) {
		servers, port := backends(t, 4)
		dns := startNameServer(t)
		dns.say(dnsmessage.RCodeSuccess, servers[0], servers[1])
		conn := get(t, upstream.Target{Address: dns.target(port), ResolveInterval: time.Hour})
		poll.Until(t, "calls to both", func() bool { return len(answering(t, conn)) == 2 })
		for i := range 2 { // the second time within what grpc-go waits before it asks again
			dns.say(dnsmessage.RCodeSuccess, servers[i+1], servers[i+2])
			servers[i].Stop()
			poll.Until(t, "calls to what DNS says", func() bool {
				seen, err := answered(t, conn)
				return err == nil && slices.Equal(seen, addressesOf(servers[i+1], servers[i+2]))
			})
		}
	})
	t.Run("no answer changes nothing", func(t *testing.T) {
		for name, code := range map[string]dnsmessage.RCode{
			"NXDOMAIN": dnsmessage.RCodeNameError, "empty": dnsmessage.RCodeSuccess, "SERVFAIL": dnsmessage.RCodeServerFailure,
		} {
			t.Run(name, func(t *testing.T) {
				servers, port := backends(t, 2)
				dns := startNameServer(t)
				dns.say(dnsmessage.RCodeSuccess, servers[0])
				lines := &logtext.Text{}
				conn, err := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(upstream.Target{Address: dns.target(port), ResolveInterval: often})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Release()
				answering(t, conn)
				dns.say(code)
				before := dns.asked()
				poll.Until(t, "a word in the log", func() bool { return strings.Contains(lines.String(), "level=WARN") })
				poll.Until(t, "more questions", func() bool { return dns.asked() > before+4 })
				if got := answering(t, conn); !slices.Equal(got, addressesOf(servers[0])) {
					t.Error(got)
				}
				if err := conn.Failure(); err == nil || !strings.Contains(err.Error(), "the addresses known so far are in use") {
					t.Error(err)
				}
				dns.say(dnsmessage.RCodeSuccess, servers[1])
				poll.Until(t, "the new address", func() bool {
					return slices.Equal(answering(t, conn), addressesOf(servers[1]))
				})
				poll.Until(t, "no failure", func() bool { return conn.Failure() == nil })
				for _, want := range []string{"level=WARN msg=\"the backend's name cannot be resolved", "level=INFO msg=\"the backend's name is resolved again"} {
					if n := strings.Count(lines.String(), want); n != 1 {
						t.Errorf("%q is there %d times in\n%s", want, n, lines)
					}
				}
			})
		}
	})
	t.Run("a name without addresses, none of which connects, is left", func(t *testing.T) {
		servers, port := backends(t, 1)
		dns := startNameServer(t)
		dns.say(dnsmessage.RCodeSuccess, servers[0])
		conn := get(t, upstream.Target{Address: dns.target(port), ResolveInterval: often})
		answering(t, conn)
		dns.say(dnsmessage.RCodeNameError)
		servers[0].Stop()
		poll.Until(t, "the name to be what is wrong", func() bool {
			_, _, err := ask(t, conn)
			return strings.Contains(status.Convert(err).Message(), "its name has no address")
		})
	})
	t.Run("the first question fails", func(t *testing.T) {
		servers, port := backends(t, 1)
		dns := startNameServer(t)
		dns.say(dnsmessage.RCodeServerFailure)
		conn := get(t, upstream.Target{Address: dns.target(port), ResolveInterval: often})
		poll.Until(t, "the state", func() bool { return conn.State() == connectivity.TransientFailure })
		if _, _, err := ask(t, conn); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "its name cannot be resolved") {
			t.Error(err)
		}
		dns.say(dnsmessage.RCodeSuccess, servers[0])
		poll.Until(t, "the server", func() bool { _, _, err := ask(t, conn); return err == nil })
	})
	t.Run("pick_first stays where it is", func(t *testing.T) {
		servers, port := backends(t, 2)
		dns := startNameServer(t)
		dns.say(dnsmessage.RCodeSuccess, servers[0], servers[1])
		conn := get(t, upstream.Target{Address: dns.target(port), ResolveInterval: often, LoadBalancing: "pick_first"})
		server, client, err := ask(t, conn)
		if err != nil {
			t.Fatal(err)
		}
		dns.say(dnsmessage.RCodeSuccess, servers[1], servers[0])
		before := dns.asked()
		poll.Until(t, "more questions", func() bool { return dns.asked() > before+4 })
		if s, c, err := ask(t, conn); s != server || c != client || err != nil {
			t.Errorf("%s over %s, then %s over %s, %v", server, client, s, c, err)
		}
	})
}
