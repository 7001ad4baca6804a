package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
	"github.com/transom-gateway/transom/proxy/upstream/health"
)

// plain makes the target of a list of servers of plain HTTP.
func plain(addresses ...string) upstream.Target {
	return upstream.Target{Plain: true, Servers: upstream.Servers(addresses, nil)}
}

// begin begins a request that must find a server with room.
func begin(t testing.TB, c *upstream.Conn, turn *upstream.Turn) upstream.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := c.Begin(ctx, turn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spread counts the servers of n requests, each of which ends with a verdict.
func spread(t testing.TB, c *upstream.Conn, n int, verdict func(address string) upstream.Verdict) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		var turn upstream.Turn
		s := begin(t, c, &turn)
		counts[s.Address]++
		v := upstream.Sound
		if verdict != nil {
			v = verdict(s.Address)
		}
		c.Judge(&turn, v)
		c.End(&turn)
	}
	return counts
}

// TestPlainServers: Traffic 153, 165: requests are spread over a list by weight; those of
// weight 0 get some only while no other one can take them. A server of a list has a name of
// its own, without the port that a URL would not name.
func TestPlainServers(t *testing.T) {
	list := upstream.Servers([]string{"a.example:8080", "b.example:80", "[::1]:80", "d.example:443"}, []uint32{3, 1, 1, 0})
	c := get(t, upstream.Target{Plain: true, Servers: list, LoadBalancing: "round_robin"})
	counts := spread(t, c, 50, nil)
	if counts["a.example:8080"] != 30 || counts["b.example:80"] != 10 || counts["[::1]:80"] != 10 {
		t.Errorf("%v", counts)
	}
	for _, address := range []string{"a.example:8080", "b.example:80", "[::1]:80"} {
		if err := c.TakeOut(address, true); err != nil {
			t.Fatal(err)
		}
	}
	if s := begin(t, c, new(upstream.Turn)); s != (upstream.Server{Network: "tcp", Address: "d.example:443", Authority: "d.example:443"}) {
		t.Errorf("of weight 0: %+v", s)
	}
	if c.State() != connectivity.Ready || c.Failure() != nil {
		t.Errorf("%v, %v", c.State(), c.Failure())
	}
	if name := c.Target().Name(); name != "a.example:8080, b.example:80, [::1]:80, d.example:443" {
		t.Errorf("the target is called %q", name)
	}
}

// TestPlainAuthority: a server of a list is called by its own address, one of a name by the
// name, whatever TLS calls it.
func TestPlainAuthority(t *testing.T) {
	secure := &upstream.TLS{ServerName: "certificate.example"}
	socket := filepath.Join(t.TempDir(), "s")
	for name, test := range map[string]struct {
		target upstream.Target
		want   upstream.Server
	}{
		"listed":           {plain("app.example:8080"), upstream.Server{Network: "tcp", Address: "app.example:8080", Authority: "app.example:8080"}},
		"listed, 80":       {plain("app.example:80"), upstream.Server{Network: "tcp", Address: "app.example:80", Authority: "app.example"}},
		"listed, 443, TLS": {upstream.Target{Plain: true, Servers: upstream.Servers([]string{"app.example:443"}, nil), TLS: secure}, upstream.Server{Network: "tcp", Address: "app.example:443", Authority: "app.example"}},
		"an address":       {upstream.Target{Plain: true, Address: "dns:///127.0.0.1:8080"}, upstream.Server{Network: "tcp", Address: "127.0.0.1:8080", Authority: "127.0.0.1:8080"}},
		"no port":          {upstream.Target{Plain: true, Address: "dns:///127.0.0.1"}, upstream.Server{Network: "tcp", Address: "127.0.0.1:80", Authority: "127.0.0.1"}},
		"no port, TLS":     {upstream.Target{Plain: true, Address: "dns:///127.0.0.1", TLS: secure}, upstream.Server{Network: "tcp", Address: "127.0.0.1:443", Authority: "127.0.0.1"}},
		"a name":           {upstream.Target{Plain: true, Address: "localhost:8080", TLS: secure}, upstream.Server{Network: "tcp", Address: "", Authority: "localhost:8080"}},
		"a socket":         {upstream.Target{Plain: true, Address: "unix:" + socket}, upstream.Server{Network: "unix", Address: socket, Authority: "localhost"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := begin(t, get(t, test.target), new(upstream.Turn))
			if test.want.Address == "" {
				s.Address = "" // a name may have several
			}
			if s != test.want {
				t.Errorf("%+v, want %+v", s, test.want)
			}
		})
	}
}

// TestPlainRoom: Traffic 153: with max_connections, requests beyond wait in line, first come,
// first served, until their time ends.
func TestPlainRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := plain("a.example:80")
		target.MaxConnections = 1
		c := get(t, target)
		var first upstream.Turn
		begin(t, c, &first)
		turns, order := make([]upstream.Turn, 4), make(chan int, 4)
		for i := range turns {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			if i == 1 {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			}
			go func() {
				defer cancel()
				if _, err := c.Begin(ctx, &turns[i]); err == nil {
					order <- i
				} else if status.Code(err) != codes.DeadlineExceeded || i != 1 || turns[i].Begun() {
					t.Errorf("request %d: %v", i, err)
				}
			}()
			synctest.Wait()
		}
		if now, _, _ := c.Waiting(); now != 4 || c.Failure() == nil {
			t.Errorf("%d wait: %v", now, c.Failure())
		}
		time.Sleep(time.Minute)
		c.End(&first)
		c.End(&first) // it gives back no more than it has
		for _, want := range []int{0, 2, 3} {
			synctest.Wait()
			if n := c.Endpoints()[0].InFlight; n != 1 {
				t.Errorf("%d are under way", n)
			}
			if got := <-order; got != want {
				t.Errorf("request %d is next, want %d", got, want)
			}
			c.End(&turns[want])
		}
		if _, served, refused := c.Waiting(); served != 3 || refused != 1 || c.Endpoints()[0].InFlight != 0 {
			t.Errorf("%d served, %d refused, %+v", served, refused, c.Endpoints())
		}
	})
}

// TestPlainRoomElsewhere: Traffic 153: requests that wait go to a server that joins, and
// those of an upstream that has none any more end.
func TestPlainRoomElsewhere(t *testing.T) {
	r, address := names(t, "192.0.2.1:80")
	c := get(t, upstream.Target{Plain: true, Address: address, MaxConnections: 1})
	var first upstream.Turn
	begin(t, c, &first)
	var second, third upstream.Turn
	go c.Begin(t.Context(), &second) //nolint:errcheck // what became of it is seen below
	poll.Until(t, "a request that waits", func() bool { n, _, _ := c.Waiting(); return n == 1 })
	r.UpdateState(state("192.0.2.1:80", "192.0.2.2:80"))
	poll.Until(t, "a request at the server that joined", func() bool {
		return slices.ContainsFunc(c.Endpoints(), func(e upstream.EndpointStatus) bool { return e.Addresses[0] == "192.0.2.2:80" && e.InFlight == 1 })
	})
	ended := make(chan error)
	go func() {
		_, err := c.Begin(t.Context(), &third)
		ended <- err
	}()
	poll.Until(t, "a request that waits", func() bool { n, _, _ := c.Waiting(); return n == 1 })
	r.UpdateState(state("192.0.2.3:80"))
	if err := <-ended; err != nil || third.Endpoint() != "192.0.2.3:80" {
		t.Errorf("at %q: %v", third.Endpoint(), err)
	}
}

// TestPlainRoomBusy: Traffic 153: no server has more than it may, and nobody waits while one
// has room, whoever gives up waiting meanwhile.
func TestPlainRoomBusy(t *testing.T) {
	const most = 3
	target := plain("a.example:80", "b.example:80")
	target.MaxConnections = most
	c := get(t, target)
	under := map[string]*atomic.Int64{"a.example:80": {}, "b.example:80": {}}
	var work sync.WaitGroup
	for worker := range 24 {
		work.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if (worker+n)%3 == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(n)*time.Microsecond)
				}
				var turn upstream.Turn
				s, err := c.Begin(ctx, &turn)
				if err == nil {
					if now := under[s.Address].Add(1); now > most {
						t.Errorf("%d requests at %s", now, s.Address)
					}
					under[s.Address].Add(-1)
					c.End(&turn)
				} else if (worker+n)%3 != 0 {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	work.Wait()
	for _, e := range c.Endpoints() {
		if e.InFlight != 0 {
			t.Errorf("%d at %s in the end", e.InFlight, e.Addresses[0])
		}
	}
}

// TestPlainHealth: Traffic 110, 179, 180: servers that say that they are not well get no
// requests while others do; without one that is well all do, or none of those that fail
// closed. Each is asked by its own name.
func TestPlainHealth(t *testing.T) {
	hosts := make(chan string, 100)
	server := func(ill *atomic.Bool) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case hosts <- r.Host + r.URL.Path:
			default:
			}
			if ill.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	var illA, illB atomic.Bool
	illB.Store(true)
	a, b := server(&illA), server(&illB)
	c := health.Check{Path: "/healthz", Interval: 5 * time.Millisecond, Timeout: time.Minute}.WithDefaults()
	target := plain(a, b)
	target.Health = &c
	open := get(t, target)
	target.FailClosed = true
	closed := get(t, target)
	if counts := spread(t, open, 20, nil); counts[a] != 20 {
		t.Errorf("%v, want all at the one that is well", counts)
	}
	if host := <-hosts; host != a+"/healthz" && host != b+"/healthz" {
		t.Errorf("asked as %q", host)
	}
	illA.Store(true)
	poll.Until(t, "requests to both", func() bool { return open.Panics() && closed.Panics() })
	if counts := spread(t, open, 20, nil); counts[a] == 0 || counts[b] == 0 {
		t.Errorf("%v, want requests to all where none is well", counts)
	}
	_, err := closed.Begin(t.Context(), new(upstream.Turn))
	if status.Code(err) != codes.Unavailable || !errors.Is(err, upstream.ErrNoServer) || closed.State() != connectivity.TransientFailure {
		t.Errorf("%v, %v", err, closed.State())
	}
	illB.Store(false)
	poll.Until(t, "the other one to be well", func() bool { return !closed.Panics() })
	if counts := spread(t, closed, 20, nil); counts[b] != 20 {
		t.Errorf("%v, want all at the one that is well again", counts)
	}
}

// TestPlainVanished: Traffic 172, 180, 181: a server whose address is gone finishes its
// requests and is listed until then; it gets new ones until another one has been found well.
func TestPlainVanished(t *testing.T) {
	answer := make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	checked := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-answer }))
	checked.Listener = listener
	well := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer well.Close()
	checked.Start()
	defer checked.Close()
	old, young := well.Listener.Addr().String(), listener.Addr().String()
	r, address := names(t, old)
	c := health.Check{Path: "/", Timeout: time.Minute}.WithDefaults()
	conn := get(t, upstream.Target{Plain: true, Address: address, Health: &c})
	var turn upstream.Turn
	begin(t, conn, &turn)
	r.UpdateState(state(young))
	if counts := spread(t, conn, 10, nil); counts[old] != 10 {
		t.Errorf("%v, want all at the one that is known to be well", counts)
	}
	close(answer)
	poll.Until(t, "requests to the new server", func() bool { return spread(t, conn, 10, nil)[young] == 10 })
	listed := conn.Endpoints()
	i := slices.IndexFunc(listed, func(e upstream.EndpointStatus) bool { return e.Addresses[0] == old })
	if i < 0 || listed[i].State != upstream.EndpointDraining || listed[i].InFlight != 1 {
		t.Errorf("%+v", listed)
	}
	conn.End(&turn)
	if listed = conn.Endpoints(); len(listed) != 1 || listed[0].State != upstream.EndpointReady {
		t.Errorf("%+v", listed)
	}
}

// TestPlainEjected: Traffic 108, 109: a server whose requests fail is ejected, tried by one
// request at a time after a while, and back when that one succeeds.
func TestPlainEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := plain("a.example:80", "b.example:80", "c.example:80")
		target.LoadBalancing = "round_robin"
		target.Outlier = upstream.Outlier{Consecutive: 5, FailurePercent: 50, MinCalls: 20, Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjectionPercent: 50}
		c := get(t, target)
		down := true
		verdict := func(address string) upstream.Verdict {
			if down && address == "b.example:80" {
				return upstream.Faulty
			}
			return upstream.Sound
		}
		if counts := spread(t, c, 300, verdict); counts["b.example:80"] != 5 {
			t.Errorf("%v, want 5 before it is ejected", counts)
		}
		if e := c.Endpoints()[1]; e.State != upstream.EndpointEjected || e.Used || e.Faults != 5 || e.Ejections != 1 {
			t.Errorf("%+v", e)
		}
		time.Sleep(34 * time.Second)
		if counts := spread(t, c, 300, verdict); counts["b.example:80"] != 1 {
			t.Errorf("%v, want one trial", counts)
		}
		down = false
		time.Sleep(67 * time.Second)
		if counts := spread(t, c, 300, verdict); counts["b.example:80"] < 90 {
			t.Errorf("%v, want its share again", counts)
		}
	})
}

// TestPlainPlaces: Traffic 166 to 168: keys and tickets lead to the same server, as long as
// it has room, and a server that joins gets its share bit by bit.
func TestPlainPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, address := names(t, "192.0.2.1:80", "192.0.2.2:80")
		by := get(t, upstream.Target{Plain: true, Servers: upstream.Servers([]string{"a:80", "b:80", "c:80"}, nil), LoadBalancing: "hash", Sticky: true})
		for _, user := range []string{"anna", "bert", "cleo"} {
			servers := map[string]bool{}
			for range 20 {
				var turn upstream.Turn
				turn.At(upstream.Place{Key: upstream.CallKeyOf(user)})
				servers[begin(t, by, &turn).Address] = true
				by.End(&turn)
			}
			if len(servers) != 1 {
				t.Errorf("%s is at %v", user, servers)
			}
		}
		ticket := new(upstream.Ticket)
		var turn upstream.Turn
		turn.At(upstream.Place{Ticket: ticket})
		at := begin(t, by, &turn)
		turn.Told(nil)
		by.End(&turn)
		next := &upstream.Ticket{Sent: ticket.Next()}
		for range 20 {
			var turn upstream.Turn
			turn.At(upstream.Place{Ticket: next})
			if s := begin(t, by, &turn); s != at {
				t.Errorf("at %+v, want %+v", s, at)
			}
			by.End(&turn)
		}
		slow := get(t, upstream.Target{Plain: true, Address: address, LoadBalancing: "round_robin", SlowStart: time.Minute})
		time.Sleep(2 * time.Minute)
		r.UpdateState(state("192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"))
		if n := spread(t, slow, 2100, nil)["192.0.2.3:80"]; n < 80 || n > 120 {
			t.Errorf("%d of 2100 at once, want a tenth of a share", n)
		}
		time.Sleep(time.Minute + time.Second)
		if n := spread(t, slow, 2100, nil)["192.0.2.3:80"]; n != 700 {
			t.Errorf("%d of 2100, want its share", n)
		}
	})
}

// TestPlainTried: Traffic 73: three attempts reach three servers.
func TestPlainTried(t *testing.T) {
	c := get(t, plain("a:80", "b:80", "c:80"))
	for range 20 {
		seen := map[string]bool{}
		var turn upstream.Turn
		for range 3 {
			seen[begin(t, c, &turn).Address] = true
			turn.Elsewhere()
			c.End(&turn)
		}
		if len(seen) != 3 {
			t.Fatalf("%v", seen)
		}
	}
}

// TestPlainNone: Traffic 155: where there is no server, the error says why, without
// addresses, and when to come again.
func TestPlainNone(t *testing.T) {
	r, address := names(t)
	c := get(t, upstream.Target{Plain: true, Address: address})
	r.CC().ReportError(errors.New("lookup db.internal on 10.1.2.3:53: refused"))
	_, err := c.Begin(t.Context(), new(upstream.Turn))
	s, _ := status.FromError(err)
	if !errors.Is(err, upstream.ErrNoServer) || s.Code() != codes.Unavailable || s.Message() != "the backend cannot be reached" {
		t.Errorf("%v", err)
	}
	if info, ok := s.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() != time.Second {
		t.Errorf("%v", s.Details())
	}
}

// TestPlainRefused: a plain target has no health checks of gRPC, and no pick_first.
func TestPlainRefused(t *testing.T) {
	service := health.Check{Service: "a.B"}.WithDefaults()
	for _, target := range []upstream.Target{
		{Plain: true, Servers: upstream.Servers([]string{"a:80"}, nil), Health: &service},
		{Plain: true, Servers: upstream.Servers([]string{"a:80"}, nil), LoadBalancing: "pick_first"},
		{Plain: true, Servers: "a:80 many\n"},
		{Plain: true},
	} {
		if c, err := upstream.NewPool(nil).Get(target); err == nil {
			c.Release()
			t.Errorf("%+v is accepted", target)
		}
	}
}

// TestPlainFree: Traffic 163: a request takes no memory.
func TestPlainFree(t *testing.T) {
	for _, most := range []int{0, 10} {
		target := plain("a:80", "b:80", "c:80")
		target.MaxConnections = most
		c := get(t, target)
		ctx := t.Context()
		if n := testing.AllocsPerRun(1000, func() {
			var turn upstream.Turn
			_, _ = c.Begin(ctx, &turn)
			c.Judge(&turn, upstream.Sound)
			c.End(&turn)
		}); n != 0 {
			t.Errorf("max_connections %d: %v allocations", most, n)
		}
	}
}

// BenchmarkBegin measures what a plain HTTP request costs here.
func BenchmarkBegin(b *testing.B) {
	target := plain("a:80", "b:80", "c:80")
	target.MaxConnections = 1000
	c, ctx := get(b, target), b.Context()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			var turn upstream.Turn
			_, _ = c.Begin(ctx, &turn)
			c.Judge(&turn, upstream.Sound)
			c.End(&turn)
		}
	})
}
