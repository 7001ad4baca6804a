package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/server/coalesce"
	"github.com/transom-gateway/transom/internal/server/security"
	"github.com/transom-gateway/transom/internal/server/sockets"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// listener is one address of the gateway.
type listener struct {
	served
	tls *tls.Config // nil for cleartext
	// packets is the same for HTTP/3, whose connections are none of net.Conn.
	packets *tls.Config
	secured *security.Security // nil for cleartext

	connections *connections
	resets      *resets
	handshake   time.Duration // how long one of TLS may take
	// udp is HTTP/3 at the same port; nil for none.
	udp *served
}

// fronts are those of a listener: HTTP/1 and HTTP/2 first, HTTP/3 where it is served.
func (l *listener) fronts() []*served {
	if l.udp == nil {
		return []*served{&l.served}
	}
	return []*served{&l.served, l.udp}
}

func openListener(set *sockets.Set, c *transomv1.Listener, file *config.File, fleet *security.Fleet, log *slog.Logger) (*listener, error) {
	opened := &listener{handshake: handshakeOf(c)}
	if c.GetTls() != nil {
		if err := opened.serveTLS(c.GetTls(), file, fleet); err != nil {
			return nil, err
		}
	}
	l, err := set.Listen(forClients, c.GetAddress(), socketOptions(c))
	if err != nil {
		return nil, advised(err)
	}
	l = boundUnsent(l)
	if p := c.GetProxyProtocol(); p != nil {
		l = fromBalancers(l, p.GetFrom(), log)
	}
	opened.connections = countConnections(l, c, log)
	opened.Listener = coalesce.Listener(opened.connections)
	return opened, nil
}

// What sockets are for, which tells those of one address apart.
const (
	forClients  = "clients"
	forPackets  = "packets"
	forOperator = "admin"
)

// socketOptions are what a listener says of its sockets.
func socketOptions(c *transomv1.Listener) sockets.Options {
	mode, err := strconv.ParseUint(c.GetSocketMode(), 8, 12)
	if err != nil {
		mode = 0 // it is not said: the configuration is checked
	}
	return sockets.Options{Mode: os.FileMode(mode), Group: c.GetSocketGroup(), ReusePort: c.GetReusePort()}
}

// handshakeOf is how long a handshake may take.
func handshakeOf(c *transomv1.Listener) time.Duration {
	return cmp.Or(c.GetHandshakeTimeout().AsDuration(), handshakeTimeout)
}

// check has what comes over the listener's connections checked, by HTTP/1, before it
// is served.
func (l *listener) check(heads http1head.Options, log *log.Logger) {
	if l.tls == nil {
		l.Listener = http1head.Listener(l.Listener, heads)
		return
	}
	l.Listener = newHandshakes(l.Listener, l.tls, l.handshake, heads, log)
}

// advised adds to the error of an address where nobody can listen what to do.
func advised(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program listens there; end it, or choose another address", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine has no such address; without a host it is all that there are", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: choose another address, or run with the right to it (CAP_NET_BIND_SERVICE for ports below 1024)", err)
	}
	return err
}

// serveTLS reads what the listener's TLS needs of files.
func (l *listener) serveTLS(c *transomv1.ServerTls, file *config.File, fleet *security.Fleet) (err error) {
	if l.secured, err = security.Open(c, security.Options{Resolve: file.Resolve, Fleet: fleet}); err != nil {
		return err
	}
	if l.packets, err = packetsTLS(l.secured, c.GetEarlyData()); err != nil {
		return err
	}
	l.tls = l.secured.Config("h2", "http/1.1")
	l.tls.GetConfigForClient = coalesce.ConfigForClient(l.tls.GetConfigForClient)
	return nil
}
