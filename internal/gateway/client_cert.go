package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// clientCertHeader tells backends of a client's certificate, in Envoy's form.
const clientCertHeader = "X-Forwarded-Client-Cert"

// maxCertNames is how many bytes the subject and names of a certificate may have that backends are told. Of
// one with more they are told the hash.
const maxCertNames = 4 << 10

// clientCert is what backends are told of a client's certificate; "" for nothing.
func clientCert(r *policy.Request, how transomv1.Config_ForwardClientCert) string {
	if how != transomv1.Config_DETAILS && how != transomv1.Config_CERTIFICATE {
		return ""
	}
	c := r.Certificate()
	if c == nil {
		return ""
	}
	sum := sha256.Sum256(c.Raw)
	hash := "Hash=" + hex.EncodeToString(sum[:])
	var names strings.Builder
	add := func(name, value string) {
		if names.Len() <= maxCertNames {
			names.WriteString(";" + name + "=" + certValue(value))
		}
	}
	add("Subject", c.Subject.String())
	for _, u := range c.URIs {
		add("URI", u.String())
	}
	for _, name := range c.DNSNames {
		add("DNS", name)
	}
	if names.Len() > maxCertNames {
		names.Reset()
	}
	if how == transomv1.Config_CERTIFICATE && len(c.Raw) <= maxCertNames {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		return hash + `;Cert="` + strings.ReplaceAll(url.QueryEscape(string(block)), "+", "%20") + `"` + names.String()
	}
	return hash + names.String()
}

// certValue writes one value: in quotes where it holds what stands between values, percent-encoded
// where it holds what no header may.
func certValue(s string) string {
	var b strings.Builder
	quoted := s == "" || strings.ContainsAny(s, `,;="`)
	if quoted {
		b.WriteByte('"')
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~' || c == '%':
			const digits = "0123456789ABCDEF"
			b.WriteString(string([]byte{'%', digits[c>>4], digits[c&15]}))
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		b.WriteByte('"')
	}
	return b.String()
}
