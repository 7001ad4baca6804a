package security

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/tlsfiles"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxName is the longest name of a host, in bytes (RFC 1035).
const maxName = 253

// certificates are those of a listener.
type certificates struct {
	all   []certificate
	index atomic.Pointer[index]
}

// certificate is a pair of files.
type certificate struct {
	*tlsfiles.Kept[*tls.Certificate]
	path string // of its setting, below tls
	file string // as it is named there
}

// index finds certificates by name.
type index struct {
	of    []*tls.Certificate // all, in the order of the settings
	names map[string][]*tls.Certificate
}

// open reads the pairs of the settings: the single one first.
func (c *certificates) open(t *transomv1.ServerTls, resolve func(string) string, faults *Faults) {
	open := func(path, cert, key string) {
		pair, err := tlsfiles.Pair(resolve(cert), resolve(key))
		if err != nil {
			faults.add(path+ofKey(err), err)
			return
		}
		c.all = append(c.all, certificate{pair, path, cert})
	}
	if t.GetCertificate() != "" || len(t.GetCertificates()) == 0 {
		open("", t.GetCertificate(), t.GetKey())
	}
	for i, pair := range t.GetCertificates() {
		open(fmt.Sprintf(".certificates[%d]", i), pair.GetCertificate(), pair.GetKey())
	}
}

// ofKey says which file of a pair an error is about. crypto/tls says so in words alone.
func ofKey(err error) string {
	text := err.Error()
	if !strings.Contains(text, "certificate input") && (strings.Contains(text, "key input") || strings.Contains(text, "private key")) {
		return ".key"
	}
	return ".certificate"
}

// choose picks the certificate for a client, for tls.Config.GetCertificate: one for the name that it
// asks for, else one for a wildcard that the name matches, else the first. Of several it is the first that
// the client can check.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	i := c.indexed()
	if len(i.of) == 1 {
		return i.of[0], nil
	}
	fit := i.of[:1]
	if name := hostName(hello.ServerName); name != "" && len(name) <= maxName {
		_, parent, _ := strings.Cut(name, ".")
		if exact := i.names[name]; exact != nil {
			fit = exact
		} else if wildcard := i.names["*."+parent]; wildcard != nil {
			fit = wildcard
		}
	}
	if len(fit) > 1 {
		for _, pair := range fit {
			if hello.SupportsCertificate(pair) == nil {
				return pair, nil
			}
		}
	}
	return fit[0], nil
}

// hostName is the name of a host in lower case, without the dot at its end.
func hostName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// indexed is the index of what the files hold.
func (c *certificates) indexed() *index {
	i := c.index.Load()
	if i != nil && c.same(i) {
		return i
	}
	i = &index{names: map[string][]*tls.Certificate{}}
	for _, pair := range c.all {
		now := pair.Last()
		i.of = append(i.of, now)
		for _, name := range now.Leaf.DNSNames {
			i.names[hostName(name)] = append(i.names[hostName(name)], now)
		}
	}
	c.index.Store(i)
	return i
}

// same reports whether an index is of what the files hold.
func (c *certificates) same(i *index) bool {
	for n := range c.all {
		if c.all[n].Last() != i.of[n] {
			return false
		}
	}
	return true
}

func (c *certificates) look() {
	for _, pair := range c.all {
		pair.Get() // a handshake does not wait for it
	}
}

func (c *certificates) review() {
	for _, pair := range c.all {
		pair.Review()
	}
}

func (c *certificates) report(tell func(path, why string)) {
	for _, pair := range c.all {
		pair.Report(func(why string) { tell(pair.path, why) })
	}
}

// Certificate is one of a listener's own.
type Certificate struct {
	// Path is that of its setting below tls, "" for the single one, and File the file's name there.
	Path, File string
	// Name is the first that it is for; its file where it is for none.
	Name string
	// Ends is when it expires.
	Ends time.Time
}

// Certificates lists those in service.
func (s *Security) Certificates() []Certificate {
	all := make([]Certificate, len(s.certificates.all))
	for i, pair := range s.certificates.all {
		leaf := pair.Last().Leaf
		all[i] = Certificate{pair.path, pair.file, nameOf(leaf, pair.file), leaf.NotAfter}
	}
	return all
}

// nameOf is what people call a certificate.
func nameOf(leaf *x509.Certificate, file string) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	case leaf.Subject.CommonName != "":
		return leaf.Subject.CommonName
	}
	return file
}
