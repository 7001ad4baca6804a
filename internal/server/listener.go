package server

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/server/coalesce"
	"github.com/transom-gateway/transom/internal/tlsfiles"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// listener is one address of the gateway.
type listener struct {
	served
	tls *tls.Config // nil for cleartext
	// packets is the same for HTTP/3, whose connections are none of net.Conn.
	packets *tls.Config
	pair    *tlsfiles.Kept[*tls.Certificate]
	ca      *tlsfiles.Kept[*x509.CertPool] // of the clients; nil where they need no certificate

	connections *connections
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

func openListener(c *transomv1.Listener, file *config.File, log *slog.Logger) (*listener, error) {
	network, address := "tcp", c.GetAddress()
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	opened := &listener{handshake: handshakeOf(c)}
	if c.GetTls() != nil {
		if err := opened.serveTLS(c.GetTls(), file); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen(network, address)
	if err != nil && network == "unix" && left(address) && os.Remove(address) == nil {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, advised(err)
	}
	if p := c.GetProxyProtocol(); p != nil {
		l = fromBalancers(l, p.GetFrom(), log)
	}
	opened.connections = countConnections(l, c, log)
	opened.Listener = coalesce.Listener(opened.connections)
	return opened, nil
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

// left reports whether a socket is what a process left that did not end well: nobody
// takes a connection.
func left(socket string) bool {
	info, err := os.Lstat(socket)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err == nil {
		_ = conn.Close() // somebody is there, and that is all there is to know
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// serveTLS reads the listener's certificate and the authorities of its clients, and
// does so again when their files change.
func (l *listener) serveTLS(c *transomv1.ServerTls, file *config.File) (err error) {
	if l.pair, err = tlsfiles.Pair(file.Resolve(c.GetCertificate()), file.Resolve(c.GetKey())); err != nil {
		return err
	}
	own := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.pair.Get(), nil }
	l.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: own, NextProtos: []string{"h2", "http/1.1"}}
	if name := c.GetClientCa(); name != "" {
		if l.ca, err = tlsfiles.Authorities(file.Resolve(name), name); err != nil {
			return fmt.Errorf("client_ca: %w", err)
		}
		l.tls.ClientAuth = tls.RequireAndVerifyClientCert
		l.tls.GetConfigForClient = clientsOf(l.tls.Clone(), l.ca)
	}
	l.packets = l.tls.Clone()
	l.tls.GetConfigForClient = coalesce.ConfigForClient(l.tls.GetConfigForClient)
	return nil
}

// clientsOf makes a tls.Config.GetConfigForClient that checks clients by the latest
// authorities. A session that began with others is not resumed: crypto/tls looks for
// them.
func clientsOf(base *tls.Config, authorities *tlsfiles.Kept[*x509.CertPool]) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	var mu sync.Mutex
	base.ClientCAs = authorities.Get()
	return func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := authorities.Get()
		mu.Lock()
		defer mu.Unlock()
		if base.ClientCAs != now {
			base = base.Clone()
			base.ClientCAs = now
		}
		return base, nil
	}
}

// report has what is wrong with the listener's files told to somebody from now on.
func (l *listener) report(tell func(what, why string)) {
	if l.pair != nil {
		l.pair.Report(func(why string) { tell("", why) })
	}
	if l.ca != nil {
		l.ca.Report(func(why string) { tell(".client_ca", clientCA(why)) })
	}
}

// review reads the listener's files again if they have changed.
func (l *listener) review() {
	if l.pair != nil {
		l.pair.Review()
	}
	if l.ca != nil {
		l.ca.Review()
	}
}

// clientCA says of what is wrong that it is so with client_ca.
func clientCA(why string) string {
	if why == "" {
		return ""
	}
	return "client_ca: " + why
}
