package config

import (
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxCertificates is the most certificates of one listener that make sense: all are in memory.
const maxCertificates = 1000

// serverTLS holds that the files of a listener's TLS are there and that its settings go together;
// nil is none.
func (c *checker) serverTLS(path string, t *transomv1.ServerTls) {
	if t == nil {
		return
	}
	if t.Certificate != "" || t.Key != "" || len(t.Certificates) == 0 {
		c.regular(join(path, "certificate"), t.Certificate)
		c.regular(join(path, "key"), t.Key)
	}
	if n := len(t.Certificates); n > maxCertificates {
		c.fail(join(path, "certificates"), "found %d, expected at most %d", n, maxCertificates)
		return
	}
	for i, pair := range t.Certificates {
		at := join(join(path, "certificates"), i)
		c.regular(join(at, "certificate"), pair.Certificate)
		c.regular(join(at, "key"), pair.Key)
	}
	c.secretFile(join(path, "ticket_keys"), t.TicketKeys)
	if t.ClientCa != "" {
		c.regular(join(path, "client_ca"), t.ClientCa)
		if t.Crl != "" {
			c.regular(join(path, "crl"), t.Crl)
		}
		return
	}
	const without = "found it without client_ca, expected client_ca beside it: without, no client is asked for a certificate"
	if t.ClientAuth != transomv1.ServerTls_CLIENT_AUTH_UNSPECIFIED {
		c.fail(join(path, "client_auth"), without)
	}
	if t.Crl != "" {
		c.fail(join(path, "crl"), without)
	}
}

// secretFile holds that a setting, if there is one, names the file of a secret. What it says otherwise
// may be the secret: it is not repeated.
func (c *checker) secretFile(path, text string) {
	if text == "" {
		return
	}
	name, ok := strings.CutPrefix(text, "file:")
	if !ok {
		c.fail(path, "found no file, expected file:PATH: a secret stands in a file of its own")
		return
	}
	c.regular(path, name)
}
