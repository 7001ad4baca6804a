package security

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder writes files, names and contents, and resolves names to them.
func folder(t *testing.T, files ...string) func(string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		replace(t, filepath.Join(dir, files[i]), files[i+1])
	}
	return func(name string) string { return filepath.Join(dir, name) }
}

// replace renames a new file to path.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// open opens the TLS of settings, with a fleet of its own where none is given.
func open(t *testing.T, c *transomv1.ServerTls, resolve func(string) string, fleet string) *Security {
	t.Helper()
	f, err := NewFleet(fleet, resolve)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(c, Options{Resolve: resolve, Fleet: f})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// server serves handshakes by a configuration at a free port, and answers what it is asked for one
// byte; its address is returned.
func server(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = c.Close() }()
				secure := tls.Server(c, config)
				var one [1]byte
				if _, err := io.ReadFull(secure, one[:]); err == nil {
					_, _ = secure.Write(one[:])
					_ = secure.CloseWrite()
					_, _ = io.Copy(io.Discard, secure)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// shake makes a handshake and an exchange, so that tickets have come and refusals are known.
func shake(address string, config *tls.Config) (tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte{'x'}); err != nil {
		return tls.ConnectionState{}, err
	}
	_, err = io.ReadAll(c)
	return c.ConnectionState(), err
}

// client trusts an authority, asks for a name and has a certificate, if cert is not empty.
func client(t *testing.T, ca, name, cert, key string) *tls.Config {
	t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: name, MinVersion: tls.VersionTLS12}
	c.RootCAs.AppendCertsFromPEM([]byte(ca))
	if cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// TestChoice: Traffic 183: a client gets the certificate for the name that it asks for, else for a
// wildcard, else the first, in whatever spelling and of whatever length the name comes.
func TestChoice(t *testing.T) {
	ca := keytest.NewAuthority(t, "ca")
	issue := func(names ...string) (string, string) {
		return ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names})
	}
	first, firstKey := issue("first.example")
	exact, exactKey := issue("a.books.example", "b.books.example")
	wild, wildKey := issue("*.books.example")
	resolve := folder(t, "first.pem", first, "first.key", firstKey, "exact.pem", exact, "exact.key", exactKey, "wild.pem", wild, "wild.key", wildKey)
	s := open(t, &transomv1.ServerTls{Certificate: "first.pem", Key: "first.key", Certificates: []*transomv1.ServerCertificate{
		{Certificate: "wild.pem", Key: "wild.key"}, {Certificate: "exact.pem", Key: "exact.key"},
	}}, resolve, "")
	for name, want := range map[string]string{
		"first.example": "first.example", "a.books.example": "a.books.example", "b.books.example": "a.books.example",
		"B.Books.EXAMPLE": "a.books.example", "c.books.example": "*.books.example", "d.c.books.example": "first.example",
		"books.example": "first.example", "*.books.example": "*.books.example", "": "first.example", ".": "first.example", "..": "first.example",
		"other.example": "first.example", ".books.example": "*.books.example", "a.books.example.": "a.books.example",
		strings.Repeat("a", 241) + ".books.example": "first.example", strings.Repeat("a.", 30_000): "first.example",
	} {
		got, err := s.certificates.choose(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || got.Leaf.Subject.CommonName != want {
			t.Errorf("%.60q: %v %v, want %s", name, got.Leaf.Subject, err, want)
		}
	}
	for name, want := range map[string]string{"a.books.example": "a.books.example", "x.books.example": "*.books.example", "first.example": "first.example"} {
		state, err := shake(server(t, s.Config("h2")), client(t, ca.PEM, name, "", ""))
		if err != nil || state.PeerCertificates[0].Subject.CommonName != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := s.Certificates(); len(got) != 3 || got[1].Path != ".certificates[0]" || got[1].Name != "*.books.example" || time.Until(got[1].Ends) > time.Hour {
		t.Errorf("certificates: %+v", got)
	}
}

// TestCertificatesChange: Traffic 183: a pair is read again when it has changed, as one: while
// one of its files is another's, the pair before stays and somebody is told.
func TestCertificatesChange(t *testing.T) {
	ca := keytest.NewAuthority(t, "ca")
	issue := func(name string, end time.Time) (string, string) {
		return ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: end})
	}
	soon := time.Now().Add(time.Hour)
	one, oneKey := issue("one.example", soon)
	two, twoKey := issue("two.example", soon)
	three, threeKey := issue("three.example", soon)
	old, oldKey := issue("old.example", time.Now().Add(-time.Minute))
	resolve := folder(t, "a.pem", one, "a.key", oneKey, "b.pem", two, "b.key", twoKey)
	s := open(t, &transomv1.ServerTls{Certificates: []*transomv1.ServerCertificate{{Certificate: "a.pem", Key: "a.key"}, {Certificate: "b.pem", Key: "b.key"}}}, resolve, "")
	var mu sync.Mutex
	told := map[string]string{}
	s.Report(func(path, why string) {
		mu.Lock()
		defer mu.Unlock()
		told[path] = why
	})
	names := func() string {
		s.Review()
		return s.Certificates()[0].Name + " " + s.Certificates()[1].Name
	}
	for _, step := range []struct{ file, text, names, why string }{
		{"b.pem", three, "one.example two.example", "private key does not match public key; what was there before stays in service"},
		{"b.key", threeKey, "one.example three.example", ""},
		{"b.key", oldKey, "one.example three.example", "private key does not match"},
		{"b.pem", old, "one.example three.example", "it expired on"},
		{"b.pem", "", "one.example three.example", "failed to find any PEM data"},
		{"b.pem", two, "one.example three.example", "private key does not match"},
		{"b.key", twoKey, "one.example two.example", ""},
	} {
		replace(t, resolve(step.file), step.text)
		if got := names(); got != step.names {
			t.Errorf("%s: %s, want %s", step.file, got, step.names)
		}
		mu.Lock()
		if why := told[".certificates[1]"]; !strings.Contains(why, step.why) || step.why == "" && why != "" || told[".certificates[0]"] != "" {
			t.Errorf("%s: told %v, want %s", step.file, told, step.why)
		}
		mu.Unlock()
	}
	replace(t, resolve("a.pem"), three)
	replace(t, resolve("a.key"), threeKey)
	at := server(t, s.Config("h2"))
	poll.Until(t, "a handshake with the other certificate", func() bool {
		state, err := shake(at, client(t, ca.PEM, "three.example", "", ""))
		return err == nil && state.PeerCertificates[0].Subject.CommonName == "three.example"
	})
}

// TestFaults: Traffic 183: what is wrong with the files is named with the setting.
func TestFaults(t *testing.T) {
	cert, key := keytest.Certificate(t, "a.example")
	_, other := keytest.Certificate(t, "b.example")
	resolve := folder(t, "cert.pem", cert, "key.pem", key, "other.pem", other, "empty", "", "text", "text\n",
		"keys", strings.Repeat("0", 64)+"\nshort\n", "many", strings.Repeat(strings.Repeat("0", 64)+"\n", 17), "secret", "short")
	pair := func(cert, key string) *transomv1.ServerTls { return &transomv1.ServerTls{Certificate: cert, Key: key} }
	with := func(more func(*transomv1.ServerTls)) *transomv1.ServerTls {
		c := pair("cert.pem", "key.pem")
		more(c)
		return c
	}
	for name, test := range map[string]struct {
		c          *transomv1.ServerTls
		path, want string
	}{
		"another's key":     {pair("cert.pem", "other.pem"), ".key", "tls: private key does not match public key"},
		"no key":            {pair("cert.pem", "empty"), ".key", "failed to find any PEM data in key input"},
		"no certificate":    {pair("text", "key.pem"), ".certificate", "failed to find any PEM data in certificate input"},
		"a key for a cert":  {pair("key.pem", "key.pem"), ".certificate", ""},
		"the second's key":  {&transomv1.ServerTls{Certificates: []*transomv1.ServerCertificate{{Certificate: "cert.pem", Key: "key.pem"}, {Certificate: "cert.pem", Key: "other.pem"}}}, ".certificates[1].key", "does not match"},
		"no authority":      {with(func(c *transomv1.ServerTls) { c.ClientCa = "key.pem" }), ".client_ca", "client_ca: key.pem holds no PEM certificate"},
		"an empty list":     {with(func(c *transomv1.ServerTls) { c.ClientCa, c.Crl = "cert.pem", "empty" }), ".crl", "crl: empty: it holds no revocation list, expected PEM blocks"},
		"text for a list":   {with(func(c *transomv1.ServerTls) { c.ClientCa, c.Crl = "cert.pem", "text" }), ".crl", "it is no revocation list"},
		"a key for a list":  {with(func(c *transomv1.ServerTls) { c.ClientCa, c.Crl = "cert.pem", "key.pem" }), ".crl", `PEM block 1 is a "PRIVATE KEY", expected "X509 CRL"`},
		"a short key":       {with(func(c *transomv1.ServerTls) { c.TicketKeys = "file:keys" }), ".ticket_keys", "ticket_keys: keys:2: found 5 bytes, expected a key of 32 bytes"},
		"too many keys":     {with(func(c *transomv1.ServerTls) { c.TicketKeys = "file:many" }), ".ticket_keys", "many:17: found more than 16 keys"},
		"no ticket keys":    {with(func(c *transomv1.ServerTls) { c.TicketKeys = "file:empty" }), ".ticket_keys", "empty holds no key"},
		"no file of keys":   {with(func(c *transomv1.ServerTls) { c.TicketKeys = "file:none" }), ".ticket_keys", "no such file"},
		"a folder for keys": {with(func(c *transomv1.ServerTls) { c.TicketKeys = "file:." }), ".ticket_keys", "is a directory"},
	} {
		_, err := Open(test.c, Options{Resolve: resolve, Fleet: new(Fleet)})
		var faults Faults
		if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Path != test.path || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v %v, want %s %s", name, faults, err, test.path, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "short") || strings.Contains(err.Error(), "000000")) {
			t.Errorf("%s: it is told what is in the file: %v", name, err)
		}
	}
	if _, err := NewFleet("file:secret", resolve); err == nil || err.Error() != "fleet_secret: secret holds 5 bytes, expected at least 32; openssl rand -hex 32 makes some" {
		t.Error(err)
	}
}

// TestClients: Traffic 185: clients need a certificate of the authorities, or may have one; a chain
// needs its intermediate authority.
func TestClients(t *testing.T) {
	ca, stranger := keytest.NewAuthority(t, "ca"), keytest.NewAuthority(t, "ca") // of the same name
	between := ca.Below(t, "between")
	own, ownKey := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example"}})
	good, goodKey := ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "good"}})
	below, belowKey := between.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "below"}})
	strange, strangeKey := stranger.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "good"}})
	old, oldKey := ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "old"}, NotAfter: time.Now().Add(-time.Minute)})
	forServers, forServersKey := ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "s"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprintf("service-%d.example", i))
	}
	many, manyKey := ca.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "many"}, DNSNames: names})
	resolve := folder(t, "cert.pem", own, "key.pem", ownKey, "ca.pem", ca.PEM)
	for _, how := range []transomv1.ServerTls_ClientAuth{transomv1.ServerTls_CLIENT_AUTH_UNSPECIFIED, transomv1.ServerTls_REQUIRE, transomv1.ServerTls_OPTIONAL} {
		s := open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem", ClientCa: "ca.pem", ClientAuth: how}, resolve, "")
		at := server(t, s.Config("h2"))
		for name, test := range map[string]struct {
			cert, key string
			want      bool
		}{
			"none": {"", "", how == transomv1.ServerTls_OPTIONAL}, "good": {good, goodKey, true}, "with its chain": {below + between.PEM, belowKey, true},
			"without its chain": {below, belowKey, false}, "another authority's": {strange, strangeKey, false}, "expired": {old, oldKey, false}, "for servers": {forServers, forServersKey, false},
			"of 500 names": {many, manyKey, true}, "with 30 that are no chain": {good + strings.Repeat(strange, 30), goodKey, true},
			"longer than any chain": {good + strings.Repeat(many, 40), goodKey, false},
		} {
			if _, err := shake(at, client(t, ca.PEM, "a.example", test.cert, test.key)); (err == nil) != test.want {
				t.Errorf("%s, %s: %v", how, name, err)
			}
		}
	}
}

// TestVersions: Traffic 184: TLS 1.2 is the least, or 1.3 where that is said; the key exchange is
// Go's, hybrid with ML-KEM.
func TestVersions(t *testing.T) {
	cert, key := keytest.Certificate(t, "a.example")
	resolve := folder(t, "cert.pem", cert, "key.pem", key)
	for least, want := range map[transomv1.ServerTls_Version][3]bool{
		transomv1.ServerTls_VERSION_UNSPECIFIED: {false, true, true}, transomv1.ServerTls_TLS_1_2: {false, true, true}, transomv1.ServerTls_TLS_1_3: {false, false, true},
	} {
		at := server(t, open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem", MinVersion: least}, resolve, "").Config("h2"))
		for i, version := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			c := client(t, cert, "a.example", "", "")
			c.MinVersion, c.MaxVersion = version, version
			state, err := shake(at, c)
			if (err == nil) != want[i] || err == nil && state.Version != version {
				t.Errorf("%s, %s: %v", least, tls.VersionName(version), err)
			}
			if err == nil && version == tls.VersionTLS13 && state.CurveID != tls.X25519MLKEM768 {
				t.Errorf("the key exchange is %s", state.CurveID)
			}
		}
	}
}

// TestRevoked: Traffic 185: a certificate that a list revokes is refused, in a session that began before
// the list, too. Each authority of a chain needs a list that has not expired.
func TestRevoked(t *testing.T) {
	ca, stranger := keytest.NewAuthority(t, "ca"), keytest.NewAuthority(t, "ca")
	between := ca.Below(t, "between")
	own, ownKey := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example"}})
	good, goodKey := ca.Issue(t, x509.Certificate{SerialNumber: big.NewInt(7)})
	below, belowKey := between.Issue(t, x509.Certificate{SerialNumber: big.NewInt(7)})
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	resolve := folder(t, "cert.pem", own, "key.pem", ownKey, "ca.pem", ca.PEM, "crl.pem", ca.Revoked(t, later))
	s := open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem", ClientCa: "ca.pem", Crl: "crl.pem"}, resolve, "")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		at := server(t, s.Config("h2"))
		for _, step := range []struct {
			name, lists   string
			direct, chain bool
			changes       bool // an unusable file leaves the lists before
		}{
			{"no list of the one between", ca.Revoked(t, later), true, false, true},
			{"lists of both", ca.Revoked(t, later) + between.Revoked(t, later), true, true, true},
			{"another serial number", ca.Revoked(t, later, big.NewInt(8)) + between.Revoked(t, later), true, true, true},
			{"one revoked", ca.Revoked(t, later, big.NewInt(7)) + between.Revoked(t, later), false, true, true},
			{"an unusable file", "nothing", false, true, false},
			{"an expired file", ca.Revoked(t, before) + between.Revoked(t, before), false, true, false},
			{"the other revoked", ca.Revoked(t, later) + between.Revoked(t, later, big.NewInt(7)), true, false, true},
			{"lists of somebody else", stranger.Revoked(t, later), false, false, true},
			{"two lists of one", ca.Revoked(t, later) + ca.Revoked(t, later, big.NewInt(7)), false, false, true},
		} {
			// The sessions are those of before.
			sessions := tls.NewLRUClientSessionCache(8)
			ask := func(cert, key string) error {
				c := client(t, ca.PEM, "a.example", cert, key)
				c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, sessions
				_, err := shake(at, c)
				return err
			}
			replace(t, resolve("crl.pem"), ca.Revoked(t, later)+between.Revoked(t, later))
			s.Review()
			if err := errors.Join(ask(good, goodKey), ask(good, goodKey)); err != nil {
				t.Fatal(err)
			}
			if !step.changes {
				replace(t, resolve("crl.pem"), ca.Revoked(t, later, big.NewInt(7))+between.Revoked(t, later))
				s.Review()
			}
			replace(t, resolve("crl.pem"), step.lists)
			s.Review()
			if err := ask(good, goodKey); (err == nil) != step.direct {
				t.Errorf("%s, %s: resumed: %v", tls.VersionName(version), step.name, err)
			}
			sessions = nil
			if err := ask(good, goodKey); (err == nil) != step.direct {
				t.Errorf("%s, %s: anew: %v", tls.VersionName(version), step.name, err)
			}
			if err := ask(below+between.PEM, belowKey); (err == nil) != step.chain {
				t.Errorf("%s, %s: below: %v", tls.VersionName(version), step.name, err)
			}
		}
	}
}

// TestExpiredList: Traffic 185: where the list has expired, clients with certificates are refused and
// somebody is told; one without a certificate is let in where it needs none.
func TestExpiredList(t *testing.T) {
	ca := keytest.NewAuthority(t, "ca")
	own, ownKey := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example"}})
	resolve := folder(t, "cert.pem", own, "key.pem", ownKey, "ca.pem", ca.PEM, "crl.pem", ca.Revoked(t, time.Now().Add(-time.Minute)))
	s := open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem", ClientCa: "ca.pem", Crl: "crl.pem", ClientAuth: transomv1.ServerTls_OPTIONAL}, resolve, "")
	told := ""
	s.Report(func(path, why string) { told += path + " " + why })
	if !strings.Contains(told, ".crl crl: crl.pem: the revocation list of CN=ca expired on ") || !strings.Contains(told, "are refused") {
		t.Errorf("told %q", told)
	}
	at := server(t, s.Config("h2"))
	if _, err := shake(at, client(t, ca.PEM, "a.example", own, ownKey)); err == nil {
		t.Error("a certificate is let in")
	}
	if _, err := shake(at, client(t, ca.PEM, "a.example", "", "")); err != nil {
		t.Errorf("without a certificate: %v", err)
	}
}

// TestOtherAuthorities: Traffic 185: a session is not resumed whose certificate is of authorities
// that are none any more.
func TestOtherAuthorities(t *testing.T) {
	ca, next := keytest.NewAuthority(t, "ca"), keytest.NewAuthority(t, "next")
	own, ownKey := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example"}})
	resolve := folder(t, "cert.pem", own, "key.pem", ownKey, "ca.pem", ca.PEM)
	for _, how := range []transomv1.ServerTls_ClientAuth{transomv1.ServerTls_REQUIRE, transomv1.ServerTls_OPTIONAL} {
		replace(t, resolve("ca.pem"), ca.PEM)
		s := open(t, &transomv1.ServerTls{Certificate: "cert.pem", Key: "key.pem", ClientCa: "ca.pem", ClientAuth: how}, resolve, "")
		at := server(t, s.Config("h2"))
		c := client(t, ca.PEM, "a.example", own, ownKey)
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, resumed := range []bool{false, true} {
			if state, err := shake(at, c); err != nil || state.DidResume != resumed {
				t.Fatalf("%s: %v, resumed %v", how, err, state.DidResume)
			}
		}
		replace(t, resolve("ca.pem"), next.PEM)
		s.Review()
		if _, err := shake(at, c); err == nil {
			t.Errorf("%s: it is let in by its session", how)
		}
	}
}

// TestChangesUnderHandshakes: Traffic 183 and 185: files change while handshakes are made, none of
// which fails.
func TestChangesUnderHandshakes(t *testing.T) {
	ca := keytest.NewAuthority(t, "ca")
	later := time.Now().Add(time.Hour)
	own, ownKey := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example"}})
	resolve := folder(t, "cert.pem", own, "key.pem", ownKey, "second.pem", own, "second.key", ownKey, "ca.pem", ca.PEM, "crl.pem", ca.Revoked(t, later), "keys", strings.Repeat("1", 64))
	s := open(t, &transomv1.ServerTls{
		Certificate: "cert.pem", Key: "key.pem", Certificates: []*transomv1.ServerCertificate{{Certificate: "second.pem", Key: "second.key"}},
		ClientCa: "ca.pem", Crl: "crl.pem", TicketKeys: "file:keys",
	}, resolve, "")
	at := server(t, s.Config("h2"))
	var made atomic.Int32
	var running sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		running.Go(func() {
			c := client(t, ca.PEM, "a.example", own, ownKey)
			c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := shake(at, c); err != nil {
					t.Error(err)
					return
				}
				made.Add(1)
			}
		})
	}
	for i := range 20 {
		cert, key := ca.Issue(t, x509.Certificate{DNSNames: []string{"a.example"}})
		replace(t, resolve("second.pem"), cert)
		replace(t, resolve("second.key"), key)
		replace(t, resolve("ca.pem"), ca.PEM+"\n")
		replace(t, resolve("crl.pem"), ca.Revoked(t, later, big.NewInt(int64(i))))
		replace(t, resolve("keys"), fmt.Sprintf("%064x\n", i+1))
		s.Review()
		before := made.Load()
		poll.Until(t, "further handshakes", func() bool { return made.Load() > before+4 || t.Failed() })
	}
	close(done)
	running.Wait()
}
