package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"

	"github.com/transom-gateway/transom/internal/tlsfiles"
)

// Security is the TLS of the connections to a backend. Its files are read again when
// they have changed; while they cannot be used, what they held before stays (Semantics
// 322).
type Security struct {
	authorities *tlsfiles.Kept[*x509.CertPool]   // nil for the system's
	own         *tlsfiles.Kept[*tls.Certificate] // nil for none

	mu     sync.Mutex
	config *tls.Config // replaced, not changed: connections use it
}

// NewSecurity reads the files; nil for cleartext.
func NewSecurity(t *TLS) (*Security, error) {
	if t == nil {
		return nil, nil
	}
	s := &Security{config: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2"},
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // the operator asked for it, for tests
	}}
	var err error
	if t.CA != "" {
		if s.authorities, err = tlsfiles.Authorities(t.CA, t.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		s.config.RootCAs = s.authorities.Get()
	}
	if (t.Certificate == "") != (t.Key == "") {
		return nil, errors.New("tls: certificate and key go together; only one is set")
	}
	if t.Certificate != "" {
		if s.own, err = tlsfiles.Pair(t.Certificate, t.Key); err != nil {
			return nil, err
		}
		s.config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return s.own.Get(), nil
		}
	}
	return s, nil
}

// Current is the TLS of a connection that is made now.
func (s *Security) Current() *tls.Config {
	if s.authorities == nil {
		return s.config
	}
	now := s.authorities.Get()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.RootCAs != now {
		s.config = s.config.Clone()
		s.config.RootCAs = now
	}
	return s.config
}

// NotReloaded says why the files are not in effect as they are now, or why a backend
// will not take our certificate; "" where all is well, or there is no TLS.
func (s *Security) NotReloaded() string {
	if s == nil {
		return ""
	}
	var why string
	if s.own != nil {
		why = s.own.Why()
	}
	if why == "" && s.authorities != nil {
		if why = s.authorities.Why(); why != "" {
			why = "ca: " + why
		}
	}
	return why
}

// NotReloaded says why the files of the connections' TLS are not in effect as they are
// now; "" where all is well.
func (c *Conn) NotReloaded() string { return c.tls.NotReloaded() }

// ListNotReloaded says why the file that lists the addresses is not in effect as it is
// now; "" where all is well, and where there is none.
func (c *Conn) ListNotReloaded() string {
	if c.onList == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unresolved == nil {
		return ""
	}
	return c.unresolved.Error()
}
