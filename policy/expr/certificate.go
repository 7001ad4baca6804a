package expr

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
)

// certificateValue is what expressions see of a client's certificate; empty for none.
func certificateValue(c *x509.Certificate) map[string]any {
	if c == nil {
		return map[string]any{}
	}
	uris := make([]string, len(c.URIs))
	for i, u := range c.URIs {
		uris[i] = u.String()
	}
	ips := make([]string, len(c.IPAddresses))
	for i, ip := range c.IPAddresses {
		ips[i] = ip.String()
	}
	sum := sha256.Sum256(c.Raw)
	return map[string]any{
		"subject": c.Subject.String(), "issuer": c.Issuer.String(), "common_name": c.Subject.CommonName,
		"uris": uris, "dns_names": append([]string{}, c.DNSNames...), "emails": append([]string{}, c.EmailAddresses...), "ip_addresses": ips,
		"serial": c.SerialNumber.Text(16), "fingerprint": hex.EncodeToString(sum[:]), "thumbprint": base64.RawURLEncoding.EncodeToString(sum[:]),
		"not_before": c.NotBefore, "not_after": c.NotAfter,
	}
}
