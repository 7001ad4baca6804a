package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// proxyHeaderTime is how long a load balancer may take to say who its client is.
const proxyHeaderTime = 5 * time.Second

// fromBalancers has the connections of load balancers begin with a header of the PROXY
// protocol, which says who the client is. Those of others are taken as they come: what
// looks like a header there is part of a bad request.
func fromBalancers(l net.Listener, from []string, log *slog.Logger) net.Listener {
	b := balancers{log: log}
	for _, text := range from {
		if text == "unix" {
			b.unix = true
		} else if p, err := netip.ParsePrefix(text); err == nil { // checked with the configuration
			b.ranges = append(b.ranges, p.Masked())
		}
	}
	return balanced{&proxyproto.Listener{Listener: inPieces{l, &b}, ConnPolicy: b.policy, ValidateHeader: checkProxyHeader, ReadHeaderTimeout: proxyHeaderTime}, &b}
}

// balancers are the load balancers in front of a listener.
type balancers struct {
	ranges []netip.Prefix
	unix   bool
	log    *slog.Logger
	warned atomic.Bool
}

// policy says whether a connection begins with a header.
func (b *balancers) policy(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
	at, err := netip.ParseAddrPort(o.Upstream.String())
	if err != nil {
		if b.unix && o.Upstream.Network() == "unix" {
			return proxyproto.REQUIRE, nil
		}
		return proxyproto.SKIP, nil
	}
	for _, r := range b.ranges {
		if r.Contains(at.Addr().Unmap().WithZone("")) {
			return proxyproto.REQUIRE, nil
		}
	}
	return proxyproto.SKIP, nil
}

// checkProxyHeader refuses clients that did not come to the load balancer by TCP: that they
// came by a unix socket would pass for coming by ours.
func checkProxyHeader(h *proxyproto.Header) error {
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return nil // a check by the load balancer itself, or a client that it does not name
	}
	if _, ok := h.SourceAddr.(*net.TCPAddr); !ok {
		return fmt.Errorf("the client's address is %v, want one of TCP over IPv4 or IPv6", h.SourceAddr)
	}
	return nil
}

// balanced is a listener behind load balancers.
type balanced struct {
	*proxyproto.Listener
	balancers *balancers
}

// Accept implements net.Listener.
func (l balanced) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if p, ok := c.(*proxyproto.Conn); ok {
		return &balancedConn{Conn: p, balancers: l.balancers}, nil
	}
	return c, err
}

// balancedConn is the connection of a load balancer.
type balancedConn struct {
	*proxyproto.Conn
	balancers *balancers
	told      sync.Once
}

// Read implements net.Conn.
func (c *balancedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && c.ProxyHeader() == nil {
		c.told.Do(func() { c.tell(err) })
	}
	return n, err
}

// tell notes in the log that a connection is closed for its header. A load balancer that
// sends none is most often one that is set up wrongly, which is worth one warning.
func (c *balancedConn) tell(err error) {
	if errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		err = fmt.Errorf("found no header of the PROXY protocol at the beginning, want one within %v", proxyHeaderTime)
	}
	level := slog.LevelDebug
	if !c.balancers.warned.Swap(true) {
		level = slog.LevelWarn
	}
	c.balancers.log.Log(context.Background(), level, "a load balancer's connection is closed; others like it are logged at the level debug",
		"peer", c.Raw().RemoteAddr().String(), "error", err)
}

// CloseWrite ends our half of the connection.
func (c *balancedConn) CloseWrite() error {
	if half, ok := c.Raw().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
