package proxy

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/poll"
)

// nameServer is a DNS server that says what a test wants.
type nameServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	code dnsmessage.RCode
	a    []netip.Addr
	asks int // for addresses of IPv4
}

func startNameServer(t testing.TB) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
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
func answering(t *testing.T, conn *Conn) []string {
	t.Helper()
	seen, err := answered(t, conn)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// answered is answering while a server stops, which calls may fail of.
func answered(t *testing.T, conn *Conn) ([]string, error) {
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
		conn := get(t, Target{Address: dns.target(port), ResolveInterval: often})
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
		conn := get(t, Target{Address: dns.target(port), ResolveInterval: time.Hour})
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
				lines := &lines{}
				conn, err := NewPool(slog.New(slog.NewTextHandler(lines, nil))).Get(Target{Address: dns.target(port), ResolveInterval: often})
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
		conn := get(t, Target{Address: dns.target(port), ResolveInterval: often})
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
		conn := get(t, Target{Address: dns.target(port), ResolveInterval: often})
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
		conn := get(t, Target{Address: dns.target(port), ResolveInterval: often, LoadBalancing: "pick_first"})
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

// told is a resolver.ClientConn that hears the times of its resolver's answers.
type told struct {
	began  time.Time
	states []time.Duration
	errors []time.Duration
}

var _ resolver.ClientConn = (*told)(nil)

func (c *told) UpdateState(resolver.State) error {
	c.states = append(c.states, time.Since(c.began))
	return nil
}
func (c *told) ReportError(error)                                  { c.errors = append(c.errors, time.Since(c.began)) }
func (*told) NewAddress([]resolver.Address)                        {}
func (*told) ParseServiceConfig(string) *serviceconfig.ParseResult { return nil }

// TestResolveTimes: Traffic 172 and 173 by the clock.
func TestResolveTimes(t *testing.T) {
	run := func(t *testing.T, lookup func() error, test func(d *dnsResolver, c *told)) {
		synctest.Test(t, func(t *testing.T) {
			c := &told{began: time.Now()}
			d := &dnsResolver{conn: c, host: "x", port: "1", lookup: func(context.Context, string) ([]string, error) {
				return []string{"192.0.2.1"}, lookup()
			}}
			d.start()
			defer d.Close()
			synctest.Wait()
			test(d, c)
		})
	}
	sound := func() error { return nil }
	t.Run("each 30 s, by and large", func(t *testing.T) {
		run(t, sound, func(_ *dnsResolver, c *told) {
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			differ := false
			for i := range len(c.states) - 1 {
				pause := c.states[i+1] - c.states[i]
				if pause < 24*time.Second || pause > 36*time.Second {
					t.Errorf("asked again after %s", pause)
				}
				differ = differ || pause != c.states[1]-c.states[0]
			}
			if n := len(c.states); n < 33 || n > 51 || !differ {
				t.Errorf("asked %d times in 20 minutes, at different intervals: %t", n, differ)
			}
		})
	})
	t.Run("at once when asked to, but once a second", func(t *testing.T) {
		run(t, sound, func(d *dnsResolver, c *told) {
			time.Sleep(10 * time.Second)
			for range 100 {
				d.ResolveNow(resolver.ResolveNowOptions{})
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			if want := []time.Duration{0, 10 * time.Second, 11 * time.Second, 12 * time.Second}; !slices.Equal(c.states[:min(len(c.states), 4)], want[:min(len(c.states), 4)]) || len(c.states) < 3 {
				t.Errorf("asked at %v, want %v", c.states, want)
			}
		})
	})
	t.Run("after failures from 1 s up to 30 s", func(t *testing.T) {
		run(t, func() error { return errors.New("no") }, func(_ *dnsResolver, c *told) {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
				want *= time.Second
				if pause := c.errors[i+1] - c.errors[i]; pause < want*8/10 || pause > want*12/10 {
					t.Errorf("failure %d: asked again after %s, want %s", i+1, pause, want)
				}
			}
		})
	})
}

// TestSplitTarget takes targets as grpc-go does.
func TestSplitTarget(t *testing.T) {
	for _, test := range []struct{ target, host, port, failure string }{
		{"a:1", "a", "1", ""},
		{"a", "a", "443", ""},
		{":1", "localhost", "1", ""},
		{"[::1]:2", "::1", "2", ""},
		{"::1", "::1", "443", ""},
		{"[::1]", "::1", "443", ""},
		{"192.0.2.1", "192.0.2.1", "443", ""},
		{"", "", "", "missing address"},
		{"a:", "", "", "ends with a colon"},
		{"a:b:c", "", "", "no host:port"},
	} {
		host, port, err := splitTarget(test.target, defaultPort)
		if host != test.host || port != test.port || (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
			t.Errorf("%q: %q, %q, %v", test.target, host, port, err)
		}
	}
}
