package config

import (
	"net"
	"net/netip"
	"strings"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// minToken is the shortest token of the admin listener, in bytes.
const minToken = 16

// admin checks who is let in to the admin listener: off loopback, not everybody (Surface
// 231).
func (c *checker) admin(a *transomv1.Admin) {
	names := map[string]bool{}
	for i, t := range a.GetTokens() {
		path := join("admin.tokens", i)
		switch {
		case t.Name == "":
			c.fail(join(path, "name"), "found none, expected whose token it is, for the audit log")
		case names[t.Name]:
			c.fail(join(path, "name"), "found %q, which is the name of another token, too", t.Name)
		}
		names[t.Name] = true
		if len(t.Token) < minToken {
			c.fail(join(path, "token"), "found %d bytes, expected at least %d", len(t.Token), minToken)
		}
	}
	c.serverTLS("admin.tls", a.GetTls())
	if a.GetTls().GetEarlyData() {
		c.fail("admin.tls.early_data", "found it at the admin listener, expected none: only HTTP/3 has early data")
	}
	if a.GetAudit() != nil && a.GetAudit().GetFile() == "" {
		c.fail("admin.audit.file", "found none, expected the file to append to")
	}
	c.capture(a.GetCapture())
	host, _, err := net.SplitHostPort(a.GetAddress())
	if err == nil && !strings.HasPrefix(a.GetAddress(), unixScheme) && !isLoopback(host) && len(a.GetTokens()) == 0 && a.GetTls().GetClientCa() == "" {
		c.fail("admin.address", "found %q, which others can reach, and nothing that says who may: add admin.tokens or admin.tls.client_ca, "+
			"or listen on 127.0.0.1", a.GetAddress())
	}
}

// capture checks of which calls messages are shown.
func (c *checker) capture(rules []*transomv1.Capture) {
	for i, rule := range rules {
		path := join("admin.capture", i)
		c.selector(join(path, "selector"), rule.GetSelector())
		if len(rule.GetFields()) == 0 {
			c.fail(join(path, "fields"), `found none, expected "*" for all fields, or paths such as "request.name"`)
		}
		for j, field := range rule.GetFields() {
			if field != "*" && !strings.HasPrefix(field, "request.") && !strings.HasPrefix(field, "response.") {
				c.fail(join(join(path, "fields"), j), `found %q, expected "*", or a path that begins with "request." or "response."`, field)
			}
		}
	}
}

// isLoopback reports whether only programs of this machine reach a host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
