package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/transom-gateway/transom/internal/overload"
	"github.com/transom-gateway/transom/internal/server/coalesce"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// connections counts the connections of a listener, and bounds them. Where there are as many
// as may be, none is accepted: those that come wait in the kernel's queue. Those of a client
// who has too many are closed.
type connections struct {
	net.Listener
	log       *slog.Logger
	overload  *overload.Guard // nil for none
	places    chan struct{}   // taken by connections; nil for no bound
	perClient int             // 0 for no bound

	open    atomic.Int64
	refused atomic.Int64
	warned  atomic.Bool

	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	clients map[netip.Addr]int
}

// countConnections bounds a listener's connections as its configuration says.
func countConnections(l net.Listener, c *transomv1.Listener, log *slog.Logger) *connections {
	b := &connections{Listener: l, log: log, perClient: int(c.GetMaxConnectionsPerClient()), closed: make(chan struct{}), clients: map[netip.Addr]int{}}
	if n := c.GetMaxConnections(); n > 0 {
		b.places = make(chan struct{}, n)
	}
	return b
}

// Accept implements net.Listener.
func (b *connections) Accept() (net.Conn, error) {
	for {
		if !b.wait() {
			return nil, net.ErrClosed
		}
		c, err := b.Listener.Accept()
		if err != nil {
			b.leave()
			return nil, err
		}
		b.opened(1)
		counted := &countedConn{Conn: c, of: b}
		// What comes from a load balancer says later whose it is.
		if _, later := c.(*balancedConn); later || counted.admit() {
			return counted, nil
		}
		_ = counted.Close() // nobody is told of it
	}
}

// wait takes a place once there is memory for another connection, and reports whether the
// listener is still open.
func (b *connections) wait() bool {
	if !b.overload.Await(b.closed) {
		return false
	}
	if b.places == nil {
		return true
	}
	select {
	case b.places <- struct{}{}:
		return true
	case <-b.closed:
		return false
	}
}

// enterPacket counts a connection of QUIC, which waits in no queue of the kernel, and reports
// whether there may be one more. leave counts it less.
func (b *connections) enterPacket(from net.Addr) (leave func(), ok bool) {
	if b.overload.Crowded() {
		return nil, false
	}
	if b.places != nil {
		select {
		case b.places <- struct{}{}:
		default:
			return nil, false
		}
	}
	b.opened(1)
	c := &countedConn{Conn: packetConn{from: from}, of: b}
	leave = func() { _ = c.Close() } // there is nothing that could fail
	if !c.admit() {
		leave()
		return nil, false
	}
	return leave, true
}

// packetConn is a connection of QUIC as far as it is counted.
type packetConn struct {
	net.Conn
	from net.Addr
}

func (c packetConn) RemoteAddr() net.Addr { return c.from }
func (packetConn) Close() error           { return nil }

// opened counts a connection more, or less.
func (b *connections) opened(n int64) {
	b.open.Add(n)
	b.overload.Connect(n)
}

// leave gives a place back.
func (b *connections) leave() {
	if b.places != nil {
		<-b.places
	}
}

// Close implements net.Listener.
func (b *connections) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// enter counts a client's connection, and reports whether it may have one more.
func (b *connections) enter(client netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients[client] >= b.perClient {
		return false
	}
	b.clients[client]++
	return true
}

// forget counts a connection less.
func (b *connections) forget(client netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.clients[client]--; b.clients[client] <= 0 {
		delete(b.clients, client)
	}
}

// refuse notes that a client has too many connections.
func (b *connections) refuse(client netip.Addr) {
	b.refused.Add(1)
	level := slog.LevelDebug
	if !b.warned.Swap(true) {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, "a connection is closed, as its client has as many as max_connections_per_client lets it; others like it are logged at the level debug",
		"client", client.String(), "limit", b.perClient)
}

// countedConn is one of the connections.
type countedConn struct {
	net.Conn
	of *connections

	asked  sync.Once
	client netip.Addr // invalid where it is not counted
	denied bool
	once   sync.Once
}

var (
	_ io.ReaderFrom          = (*countedConn)(nil)
	_ coalesce.BuffersWriter = (*countedConn)(nil)
)

// admit reports whether the client may have the connection.
func (c *countedConn) admit() bool {
	if c.of.perClient == 0 {
		return true
	}
	c.asked.Do(func() {
		at, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err != nil {
			return // by a unix socket there are no addresses
		}
		client := network(at.Addr())
		if c.denied = !c.of.enter(client); c.denied {
			c.of.refuse(client)
			return
		}
		c.client = client
	})
	return !c.denied
}

// network is what is one client: an address of IPv4, a network of 64 bits of IPv6, in which
// one host may have any address.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// Read implements net.Conn.
func (c *countedConn) Read(p []byte) (int, error) {
	if !c.admit() {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// ReadFrom implements io.ReaderFrom, so that files go from disk to network without us.
func (c *countedConn) ReadFrom(r io.Reader) (int64, error) {
	if from, ok := c.Conn.(io.ReaderFrom); ok {
		return from.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// WriteBuffers implements coalesce.BuffersWriter.
func (c *countedConn) WriteBuffers(b *net.Buffers) (int64, error) { return b.WriteTo(c.Conn) }

// CloseWrite ends our half of the connection.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	err := c.Conn.Close() // which ends the wait for a load balancer's header, too
	c.once.Do(func() {
		c.asked.Do(func() {})
		if c.client.IsValid() {
			c.of.forget(c.client)
		}
		c.of.opened(-1)
		c.of.leave()
	})
	return err
}
