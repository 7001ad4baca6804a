package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/transom-gateway/transom/internal/coalesce"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/observe"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// listener is one address of the gateway.
type listener struct {
	net.Listener
	tls  *tls.Config
	pair *certificate // nil without TLS
}

func openListener(c *transomv1.Listener, file *config.File) (*listener, error) {
	network, address := "tcp", c.GetAddress()
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	var config *tls.Config
	var pair *certificate
	if c.GetTls() != nil {
		var err error
		if config, pair, err = serverTLS(c.GetTls(), file); err != nil {
			return nil, err
		}
		config.GetConfigForClient = coalesce.ConfigForClient(nil)
	}
	l, err := net.Listen(network, address)
	if err != nil && network == "unix" && left(address) && os.Remove(address) == nil {
		l, err = net.Listen(network, address)
	}
	if err != nil {
		return nil, advised(err)
	}
	return &listener{Listener: coalesce.Listener(l), tls: config, pair: pair}, nil
}

// check has what comes over the listener's connections checked, by HTTP/1, before it
// is served.
func (l *listener) check(heads http1head.Options, t *observe.Telemetry) {
	if l.tls == nil {
		l.Listener = http1head.Listener(l.Listener, heads)
		return
	}
	l.Listener = newHandshakes(l.Listener, l.tls, heads, httpLog(t.Log))
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

// serverTLS reads the certificate anew when its file changes.
func serverTLS(c *transomv1.ServerTls, file *config.File) (*tls.Config, *certificate, error) {
	pair := &certificate{cert: file.Resolve(c.GetCertificate()), key: file.Resolve(c.GetKey())}
	if _, err := pair.get(nil); err != nil {
		return nil, nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}
	if ca := c.GetClientCa(); ca != "" {
		pem, err := os.ReadFile(file.Resolve(ca))
		if err != nil {
			return nil, nil, fmt.Errorf("client_ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("client_ca: %s holds no PEM certificate", ca)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		pair.caFile, pair.ca = file.Resolve(ca), pem
	}
	return config, pair, nil
}

// certificate is a key pair in files.
type certificate struct {
	cert, key string
	caFile    string // of the clients; "" for none
	ca        []byte // what it held at the start

	mu     sync.Mutex
	times  [2]time.Time // of the files as they were last read
	pair   *tls.Certificate
	report func(why string) // nil for nobody
}

// get returns the pair as it is on disk; the last good one while the files cannot be
// used.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := [2]time.Time{modified(c.cert), modified(c.key)}
	if c.pair != nil && times == c.times {
		return c.pair, nil
	}
	c.times = times
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil && c.pair != nil && within(c.pair) == nil {
		err = within(&pair) // a good one is not given up for one that no client takes
	}
	if err != nil {
		err = fmt.Errorf("certificate %s and key %s: %w", c.cert, c.key, err)
		if c.pair == nil {
			return nil, err
		}
		c.tell(err.Error() + "; the one before stays in service")
		return c.pair, nil
	}
	c.pair = &pair
	c.tell("")
	return c.pair, nil
}

// reported has what is wrong with the files told to somebody from now on.
func (c *certificate) reported(report func(why string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report = report
	if err := within(c.pair); err != nil {
		c.tell(fmt.Sprintf("certificate %s: %v", c.cert, err))
	}
}

func (c *certificate) tell(why string) {
	if c.report != nil {
		c.report(why)
	}
}

// otherCA says why the authority of the clients' certificates is not that of its file;
// "" where it is.
func (c *certificate) otherCA() string {
	if c.caFile == "" {
		return ""
	}
	pem, err := os.ReadFile(c.caFile)
	switch {
	case err != nil:
		return fmt.Sprintf("client_ca: %v; the one before stays in service", err)
	case !bytes.Equal(pem, c.ca):
		return "client_ca: " + c.caFile + " has changed; restart to have it take effect"
	}
	return ""
}

// within says why clients refuse a certificate at this time; nil where they do not.
func within(pair *tls.Certificate) error {
	switch now := time.Now(); {
	case pair.Leaf == nil:
		return nil
	case now.After(pair.Leaf.NotAfter):
		return fmt.Errorf("it expired on %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return fmt.Errorf("it is valid from %s only", pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkListeners looks at the files of the listeners as serve would, without listening.
func checkListeners(file *config.File) error {
	var errs []error
	for i, c := range file.Config.GetListeners() {
		if c.GetTls() == nil {
			continue
		}
		_, pair, err := serverTLS(c.GetTls(), file)
		if err == nil {
			if err = within(pair.pair); err != nil {
				err = fmt.Errorf("certificate %s: %w", pair.cert, err)
			}
		}
		if err != nil {
			errs = append(errs, at(file, fmt.Sprintf("listeners[%d]", i), "--listen", err))
		}
	}
	return errors.Join(errs...)
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
