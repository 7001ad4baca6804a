// Package security is TLS of listeners: their certificates by the names that clients ask for, the
// certificates of clients and what revokes them, and the keys of session tickets. It reads
// files again when they have changed, and knows neither sockets nor HTTP.
//
//	secured, err := security.Open(tls, security.Options{Resolve: file.Resolve, Fleet: fleet})
//	config := secured.Config("h2", "http/1.1")
package security

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/tlsfiles"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// lookInterval is how often handshakes have the files looked at.
const lookInterval = time.Second

// Options are what a Security needs besides its settings.
type Options struct {
	// Resolve makes the path of a file of the name in the settings.
	Resolve func(name string) string
	// Fleet has the keys of session tickets, where the settings name no others.
	Fleet *Fleet
	// ClientAuth is what holds where the settings name authorities and do not say.
	ClientAuth transomv1.ServerTls_ClientAuth
}

// Security is TLS of one listener. It is safe for concurrent use.
type Security struct {
	certificates certificates
	clients      *tlsfiles.Kept[*x509.CertPool]        // nil: clients need no certificate
	revoked      *tlsfiles.Kept[*tlsfiles.Revocations] // nil: nothing revokes them
	keys         *tlsfiles.Kept[[][32]byte]            // of tickets; nil: the fleet's
	fleet        *Fleet
	least        uint16
	auth         tls.ClientAuthType
	begun        time.Time
	looked       atomic.Int64 // when somebody looked at the files, in nanoseconds since begun
}

// Fault is what is wrong with one of the settings.
type Fault struct {
	// Path is the setting's below the listener's tls, such as ".certificates[1].key".
	Path string
	// Err is what is wrong.
	Err error
}

// Faults are all that is wrong with the settings of a listener.
type Faults []Fault

// Error implements error.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Err.Error()
	}
	return strings.Join(lines, "\n")
}

func (f *Faults) add(path string, err error) {
	if err != nil {
		*f = append(*f, Fault{path, err})
	}
}

// Open reads the files of a listener's settings. The error is Faults.
func Open(c *transomv1.ServerTls, o Options) (*Security, error) {
	s := &Security{fleet: o.Fleet, least: tls.VersionTLS12, begun: time.Now()}
	s.looked.Store(-int64(lookInterval))
	if c.GetMinVersion() == transomv1.ServerTls_TLS_1_3 {
		s.least = tls.VersionTLS13
	}
	var faults Faults
	s.certificates.open(c, o.Resolve, &faults)
	var err error
	if name := c.GetClientCa(); name != "" {
		s.auth = clientAuth(c, o.ClientAuth)
		s.clients, err = tlsfiles.Authorities(o.Resolve(name), name)
		faults.add(".client_ca", named("client_ca", err))
	}
	if name := c.GetCrl(); name != "" {
		s.revoked, err = tlsfiles.RevocationLists(o.Resolve(name), name)
		faults.add(".crl", named("crl", err))
	}
	if name, ok := strings.CutPrefix(c.GetTicketKeys(), "file:"); ok {
		s.keys, err = tlsfiles.Keys(o.Resolve(name), name)
		faults.add(".ticket_keys", named("ticket_keys", err))
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return s, nil
}

// named says of an error that it is of a setting.
func named(setting string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", setting, err)
}

// clientAuth is whether clients need a certificate, where there are authorities.
func clientAuth(c *transomv1.ServerTls, otherwise transomv1.ServerTls_ClientAuth) tls.ClientAuthType {
	how := c.GetClientAuth()
	if how == transomv1.ServerTls_CLIENT_AUTH_UNSPECIFIED {
		how = otherwise
	}
	if how == transomv1.ServerTls_OPTIONAL {
		return tls.VerifyClientCertIfGiven
	}
	return tls.RequireAndVerifyClientCert
}

// Config makes the configuration of connections that speak these protocols. Each handshake is by
// what the files hold then.
func (s *Security) Config(protocols ...string) *tls.Config { return s.variant(protocols).whole() }

func (s *Security) variant(protocols []string) *variant {
	base := &tls.Config{MinVersion: s.least, GetCertificate: s.certificates.choose, NextProtos: protocols, ClientAuth: s.auth} //nolint:gosec // TLS 1.2 at the least
	if s.revoked != nil {
		base.VerifyConnection = s.verify
	}
	return &variant{security: s, base: base, label: strings.Join(protocols, " ")}
}

// verify refuses certificates that were revoked. It is asked for resumed sessions, too.
func (s *Security) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	return s.revoked.Last().Check(state.VerifiedChains, time.Now())
}

// variant is the configuration for some protocols.
type variant struct {
	security *Security
	base     *tls.Config
	label    string
	made     atomic.Pointer[made]
	early    *early // nil: there is no early data
	may      func(context.Context) bool
}

// whole is the configuration that asks for the one of each moment.
func (v *variant) whole() *tls.Config {
	config := v.base.Clone()
	config.GetConfigForClient = v.config
	return config
}

// made is a configuration and what it was made of.
type made struct {
	config  *tls.Config
	late    *tls.Config // for clients without early data; nil where no client has any
	clients *x509.CertPool
	tickets tickets
}

// of is the configuration for a client.
func (m *made) of(v *variant, hello *tls.ClientHelloInfo) *tls.Config {
	if m.late != nil && !v.may(hello.Context()) {
		return m.late
	}
	return m.config
}

// config is the one by what the files hold now, for tls.Config.GetConfigForClient. Where authorities
// have changed, crypto/tls resumes no session of others.
func (v *variant) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	s, now := v.security, time.Now()
	s.look(now)
	var clients *x509.CertPool
	if s.clients != nil {
		clients = s.clients.Last()
	}
	tickets := s.tickets(now)
	if m := v.made.Load(); m != nil && m.clients == clients && m.tickets.same(tickets) {
		return m.of(v, hello), nil
	}
	keys, err := tickets.derive(v.label)
	if err != nil {
		return nil, err
	}
	m := &made{config: v.base.Clone(), clients: clients, tickets: tickets}
	m.config.ClientCAs = clients
	m.config.SetSessionTicketKeys(keys)
	if v.early != nil {
		m.addEarly(v.early)
	}
	v.made.Store(m) // whoever made another one meanwhile made the same
	return m.of(v, hello), nil
}

// look has the files looked at, if nobody did so a moment ago. The handshake that does waits for
// what decides on clients, so that a list that has come revokes at once.
func (s *Security) look(now time.Time) {
	last, at := s.looked.Load(), int64(now.Sub(s.begun)) // which no step of the machine's clock changes
	if at-last < int64(lookInterval) || !s.looked.CompareAndSwap(last, at) {
		return
	}
	if s.clients != nil {
		s.clients.Review()
	}
	if s.revoked != nil {
		s.revoked.Review()
	}
	s.certificates.look()
	s.lookAtKeys()
}

// Report has what is wrong with the files told to somebody from now on, by the path of the setting
// below tls.
func (s *Security) Report(tell func(path, why string)) {
	s.certificates.report(tell)
	if s.clients != nil {
		s.clients.Report(func(why string) { tell(".client_ca", of("client_ca", why)) })
	}
	if s.revoked != nil {
		s.revoked.Report(func(why string) { tell(".crl", of("crl", why)) })
	}
	if s.keys != nil {
		s.keys.Report(func(why string) { tell(".ticket_keys", of("ticket_keys", why)) })
	}
}

// of says of what is wrong that it is so with a setting.
func of(setting, why string) string {
	if why == "" {
		return ""
	}
	return setting + ": " + why
}

// Review reads the files again if they have changed.
func (s *Security) Review() {
	s.certificates.review()
	if s.clients != nil {
		s.clients.Review()
	}
	if s.revoked != nil {
		s.revoked.Review()
	}
	if s.keys != nil {
		s.keys.Review()
	}
}
