package config

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// httpUpstream checks a plain HTTP upstream. path is that of the upstream.
func (c *checker) httpUpstream(path string, u *transomv1.HttpUpstream) {
	path = join(path, "http")
	c.httpServers(path, u)
	c.httpProtocol(join(path, "protocol"), u)
	c.clientTLS(join(path, "tls"), u.Tls)
	c.positive(join(path, "timeouts.connect"), u.GetTimeouts().GetConnect())
	c.positive(join(path, "timeouts.response_header"), u.GetTimeouts().GetResponseHeader())
	c.positive(join(path, "timeouts.idle"), u.GetTimeouts().GetIdle())
	if h := u.HealthCheck; h != nil {
		if h.Path == "" {
			c.fail(join(path, "health_check.path"), "found none; plain HTTP servers are asked by GET: expected a path, such as /healthz")
		} else {
			c.health(join(path, "health_check"), h)
		}
	}
	spread := HTTPBalancing(u)
	c.balancing(path, spread)
	c.outlier(path, spread)
	switch {
	case BalancingPolicy(spread) == policyPickFirst:
		c.fail(join(path, "balancing.policy"), "found pick_first, which plain HTTP upstreams do not have; a server of weight 0 takes requests while no other can")
	case HashKey(u.Balancing.GetHash()) == transomv1.Hash_FIELD:
		c.fail(join(path, "balancing.hash.field"), "found a field of the message, which a plain HTTP request has none of; expected a header or cookie, or key CLIENT_IP or PRINCIPAL")
	}
	if d := u.ResolveInterval; d != nil && d.AsDuration() < time.Second {
		c.fail(join(path, "resolve_interval"), "found %s, expected at least 1s", span.Text(d.AsDuration()))
	}
	c.httpCredentials(join(path, "credentials"), u.Credentials)
}

// httpCredentials holds that there are some, and that their file is there.
func (c *checker) httpCredentials(path string, b *transomv1.HttpCredentials) {
	if b == nil {
		return
	}
	kind, text := "basic", b.GetBasic()
	switch b.Kind.(type) {
	case nil:
		c.fail(path, "found none, expected basic or bearer")
		return
	case *transomv1.HttpCredentials_Bearer:
		kind, text = "bearer", b.GetBearer()
	}
	path = join(path, kind)
	switch name, ok := CredentialsFile(text); {
	case text == "":
		c.fail(path, "found none; expected %s, or file:PATH", map[string]string{"basic": "user:password", "bearer": "a token"}[kind])
	case ok && name == "":
		c.fail(path, `found no file name after "file:", expected one`)
	case ok:
		c.regular(path, name)
	}
}

// CredentialsFile is the name of the file that holds credentials for plain HTTP servers.
func CredentialsFile(text string) (name string, ok bool) { return strings.CutPrefix(text, "file:") }

// httpServers checks where the servers are.
func (c *checker) httpServers(path string, u *transomv1.HttpUpstream) {
	c.one(path, "servers, weighted_servers and target", []way{
		{"servers", len(u.Servers) > 0}, {"weighted_servers", len(u.WeightedServers) > 0}, {"target", u.Target != ""},
	})
	seen := map[string]bool{}
	for i, server := range u.Servers {
		c.server(join(join(path, "servers"), i), server, seen)
	}
	for i, server := range u.WeightedServers {
		at := join(join(path, "weighted_servers"), i)
		c.server(join(at, "address"), server.Address, seen)
		if server.GetWeight() > 1<<16-1 {
			c.fail(join(at, "weight"), "found %d, expected at most 65535", server.GetWeight())
		}
	}
	if u.Target != "" {
		c.target(join(path, "target"), u.Target)
	}
}

// httpProtocol holds that the protocol can be spoken.
func (c *checker) httpProtocol(path string, u *transomv1.HttpUpstream) {
	switch u.Protocol {
	case transomv1.HttpUpstream_AUTO, transomv1.HttpUpstream_H2:
		if u.Tls == nil {
			c.fail(path, "found %s without tls, in whose handshake the server says what it speaks; expected H1 or H2C, or tls", u.Protocol)
		}
	case transomv1.HttpUpstream_H2C:
		if u.Tls != nil {
			c.fail(path, "found H2C, which is HTTP/2 over cleartext, beside tls; expected H2")
		}
	}
}

// HTTPBalancing is how requests are spread over the servers of a plain HTTP upstream, in the
// words of gRPC ones.
func HTTPBalancing(u *transomv1.HttpUpstream) *transomv1.GrpcUpstream {
	return &transomv1.GrpcUpstream{Balancing: u.GetBalancing(), Outlier: u.GetOutlier(), MinHealthyPercent: u.GetMinHealthyPercent(), Fail: u.GetFail()}
}

// isHost reports whether a text can be the name of a host or its address: it has none of
// the characters that end one.
func isHost(host string) bool {
	if net.ParseIP(host) != nil {
		return true
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && r != '%' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// server holds that a server's address is "host:port", and stands there once.
func (c *checker) server(path, address string, seen map[string]bool) {
	host, port, err := net.SplitHostPort(address)
	n, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case strings.Contains(address, "://"):
		c.fail(path, `found %q, expected "host:port" without a scheme; TLS is asked for by tls, and a path by the route's rewrite`, address)
	case err != nil && strings.Count(address, ":") > 2 && address[0] != '[':
		c.fail(path, `found %q, expected "host:port", with an address of IPv6 in brackets, such as "[::1]:8080"`, address)
	case err != nil || host == "" || !isHost(host):
		c.fail(path, `found %q, expected "host:port"`, address)
	case bad != nil || n == 0:
		c.fail(path, "found the port %q, expected a number from 1 to 65535", port)
	case seen[address]:
		c.fail(path, "found %q a second time; weighted_servers give a server more", address)
	}
	seen[address] = true
}
