// Package security is the TLS of connections to brokers and servers that get events. It
// opens none.
//
//	s, err := security.New(sink.GetTls(), env.Resolve)
//	conn, err := (&tls.Dialer{Config: s.Config()}).DialContext(ctx, "tcp", address)
package security

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/transom-gateway/transom/internal/tlsfiles"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Security reads its files again when they have changed; while they cannot be used, what
// they held before stays. It is safe for concurrent use.
type Security struct {
	authorities *tlsfiles.Kept[*x509.CertPool]   // nil for the system's
	own         *tlsfiles.Kept[*tls.Certificate] // nil for none
	serverName  string
}

// New reads the files. Without t it is TLS with the authorities of the system.
func New(t *transomv1.SinkTls, resolve func(string) string) (*Security, error) {
	s := &Security{serverName: t.GetServerName()}
	var err error
	if name := t.GetCa(); name != "" {
		if s.authorities, err = tlsfiles.Authorities(resolve(name), resolve(name)); err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
	}
	if (t.GetCert() == "") != (t.GetKey() == "") {
		return nil, errors.New("tls: cert and key go together; only one is set")
	}
	if t.GetCert() != "" {
		if s.own, err = tlsfiles.Pair(resolve(t.GetCert()), resolve(t.GetKey())); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
	}
	return s, nil
}

// Config is the TLS of connections that are made now. It is the caller's own.
func (s *Security) Config() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.serverName}
	if s.authorities != nil {
		s.authorities.Review()
		config.RootCAs = s.authorities.Get()
	}
	if s.own != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			s.own.Review() // a client that connects again by itself has the Config that it began with
			return s.own.Get(), nil
		}
	}
	return config
}

// NotReloaded says why the files are not in effect as they are now; "" where all is well.
func (s *Security) NotReloaded() string {
	if s.own != nil {
		if why := s.own.Why(); why != "" {
			return "tls: " + why
		}
	}
	if s.authorities != nil {
		if why := s.authorities.Why(); why != "" {
			return "tls.ca: " + why
		}
	}
	return ""
}
