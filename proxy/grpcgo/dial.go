package grpcgo

import (
	"context"
	"net"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"

	"github.com/transom-gateway/transom/proxy/upstream"
)

// saw remembers how an attempt at a connection went, and returns it.
func (c *Conn) saw(err error) error {
	if err == nil {
		c.failure.Store(nil)
	} else {
		c.failure.Store(&err)
	}
	return err
}

// dial connects to an address. It exists to remember why that failed: grpc-go tells
// calls of it in words that hold addresses.
func (c *Conn) dial(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
	} else if strings.HasPrefix(address, "\x00") {
		network = "unix" // abstract
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return conn, c.saw(err)
}

// credentials are the target's TLS, with its files as they are when a connection is
// made.
func (c *Conn) credentials() credentials.TransportCredentials {
	if c.tls == nil {
		return insecure.NewCredentials()
	}
	return secured{credentials.NewTLS(c.tls.Current()), c}
}

type secured struct {
	credentials.TransportCredentials
	conn *Conn
}

// ClientHandshake implements credentials.TransportCredentials.
func (s secured) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := credentials.NewTLS(s.conn.tls.Current()).ClientHandshake(ctx, authority, raw)
	return conn, info, s.conn.saw(err)
}

// Clone implements credentials.TransportCredentials.
func (s secured) Clone() credentials.TransportCredentials { return s }

// names are the resolvers of a Conn, which remembers why a name has no addresses.
type names struct {
	resolver.Builder
	conn *Conn
}

// Build implements resolver.Builder.
func (n names) Build(target resolver.Target, cc resolver.ClientConn, o resolver.BuildOptions) (resolver.Resolver, error) {
	return n.Builder.Build(target, listener{cc, n.conn}, o)
}

type listener struct {
	resolver.ClientConn
	conn *Conn
}

// UpdateState implements resolver.ClientConn.
func (l listener) UpdateState(s resolver.State) error {
	s, _ = upstream.Bounded(s, func(string) bool { return false })
	return l.ClientConn.UpdateState(s)
}

// ReportError implements resolver.ClientConn.
func (l listener) ReportError(err error) {
	_ = l.conn.saw(err) // for later
	l.ClientConn.ReportError(err)
}
