package config

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	policyPickFirst = "pick_first"
	policyHash      = "hash"
)

// balancingPolicies are those of Transom's own client; grpc-go's has the first ones.
var (
	balancingPolicies = []string{"least_request", "round_robin", policyPickFirst, "random", policyHash}
	grpcGoPolicies    = balancingPolicies[:3]
)

// BalancingPolicy is how calls are spread over the addresses of an upstream, by name.
func BalancingPolicy(g *transomv1.GrpcUpstream) string {
	switch b := g.GetBalancing(); {
	case b.GetPolicy() != "":
		return b.GetPolicy()
	case g.GetLoadBalancingPolicy() != "":
		return g.GetLoadBalancingPolicy()
	case b.GetHash() != nil:
		return policyHash
	}
	return "least_request"
}

// balancing checks how calls are spread over the addresses of an upstream.
func (c *checker) balancing(path string, g *transomv1.GrpcUpstream) {
	before := len(c.problems)
	old, own := join(path, "load_balancing_policy"), join(path, "balancing.policy")
	c.balancingPolicy(old, g.LoadBalancingPolicy, g.Client)
	c.balancingPolicy(own, g.Balancing.GetPolicy(), g.Client)
	if a, b := g.LoadBalancingPolicy, g.Balancing.GetPolicy(); a != "" && b != "" && a != b {
		c.fail(own, "found %q, but load_balancing_policy at %s is %q; expected one of the two alone", b, c.file.Where(old), a)
	}
	if len(c.problems) > before || g.Balancing == nil {
		return
	}
	path = join(path, "balancing")
	c.hash(join(path, "hash"), g)
	c.sticky(join(path, "sticky"), g.Balancing.Sticky)
	c.positive(join(path, "slow_start"), g.Balancing.SlowStart)
	if policy := BalancingPolicy(g); policy == policyPickFirst {
		for name, set := range map[string]bool{"sticky": g.Balancing.Sticky != nil, "slow_start": g.Balancing.SlowStart != nil} {
			if set {
				c.fail(join(path, name), "has no effect with the policy %s, which takes one address for all calls; remove it, or choose another policy", policy)
			}
		}
	}
}

// balancingPolicy holds that a name is one of a policy that the client has.
func (c *checker) balancingPolicy(path, name string, client transomv1.GrpcUpstream_Client) {
	if name == "" || slices.Contains(balancingPolicies, name) && client != transomv1.GrpcUpstream_GRPC_GO {
		return
	}
	known, reason := balancingPolicies, ""
	if client == transomv1.GrpcUpstream_GRPC_GO {
		if known = grpcGoPolicies; slices.Contains(known, name) {
			return
		}
		reason = ": the client GRPC_GO has no other"
	}
	if near := nearest.Of(known, name); near != "" {
		reason += fmt.Sprintf("; did you mean %s?", near)
	}
	last := len(known) - 1
	c.fail(path, "found %q, expected %s or %s%s", name, strings.Join(known[:last], ", "), known[last], reason)
}

// hash checks what calls have in common that are made at one address.
func (c *checker) hash(path string, g *transomv1.GrpcUpstream) {
	h, policy := g.Balancing.Hash, BalancingPolicy(g)
	switch {
	case h == nil && policy == policyHash:
		c.fail(path, "found none, expected what the policy hash is of: key CLIENT_IP or PRINCIPAL, or the name of a header, cookie or field")
		return
	case h == nil:
		return
	case policy != policyHash:
		c.fail(path, "has no effect with the policy %s; remove it, or set policy to hash", policy)
		return
	}
	names := map[transomv1.Hash_Key]string{transomv1.Hash_HEADER: h.Header, transomv1.Hash_COOKIE: h.Cookie, transomv1.Hash_FIELD: h.Field}
	key := HashKey(h)
	if key == transomv1.Hash_KEY_UNSPECIFIED {
		c.fail(path, "found none, expected key CLIENT_IP or PRINCIPAL, or the name of a header, cookie or field")
		return
	}
	for _, other := range []transomv1.Hash_Key{transomv1.Hash_HEADER, transomv1.Hash_COOKIE, transomv1.Hash_FIELD} {
		at := join(path, strings.ToLower(other.String()))
		switch name := names[other]; {
		case other == key && name == "":
			c.fail(at, "found none, expected the name of the %s, for key %s", strings.ToLower(key.String()), key)
		case other != key && name != "":
			c.fail(at, "found %q beside key %s; expected one of the two", name, key)
		}
	}
	switch {
	case h.Header != "" && !httpguts.ValidHeaderFieldName(h.Header):
		c.fail(join(path, "header"), "found %q, expected the name of a header", h.Header)
	case field.HasPrefixFold(h.Header, field.OwnPrefix):
		c.fail(join(path, "header"), "found %q, which is the gateway's own to set; expected another header, or key PRINCIPAL", h.Header)
	case h.Cookie != "" && !validCookieName(h.Cookie):
		c.fail(join(path, "cookie"), "found %q, expected the name of a cookie", h.Cookie)
	}
}

// HashKey is where the key of a call comes from, by what is set; KEY_UNSPECIFIED where
// nothing is.
func HashKey(h *transomv1.Hash) transomv1.Hash_Key {
	switch {
	case h.GetKey() != transomv1.Hash_KEY_UNSPECIFIED:
		return h.GetKey()
	case h.GetHeader() != "":
		return transomv1.Hash_HEADER
	case h.GetCookie() != "":
		return transomv1.Hash_COOKIE
	case h.GetField() != "":
		return transomv1.Hash_FIELD
	}
	return transomv1.Hash_KEY_UNSPECIFIED
}

// sticky checks the cookie that brings clients back.
func (c *checker) sticky(path string, s *transomv1.Sticky) {
	if s == nil {
		return
	}
	switch {
	case s.Cookie == "":
		c.fail(join(path, "cookie"), "found none, expected the name of a cookie")
	case !validCookieName(s.Cookie):
		c.fail(join(path, "cookie"), "found %q, expected the name of a cookie", s.Cookie)
	}
	switch n := len(s.Secret); {
	case strings.HasPrefix(s.Secret, "file:"): // what is left of a reference to bytes
		c.fail(join(path, "secret"), "found a file that is no text, expected at least %d bytes of text", minSecret)
	case n > 0 && n < minSecret:
		c.fail(join(path, "secret"), "found %d bytes, expected at least %d", n, minSecret)
	}
}

// stickyCookies holds that each upstream, of either kind, has a cookie of its own: one would
// take the place of the other.
func (c *checker) stickyCookies(config *transomv1.Config) {
	seen := map[string]string{}
	for _, name := range upstreamNames(config) {
		kind, u := "grpc", config.Upstreams[name]
		cookie := u.GetGrpc().GetBalancing().GetSticky().GetCookie()
		if u.GetHttp() != nil {
			kind, cookie = "http", u.GetHttp().GetBalancing().GetSticky().GetCookie()
		}
		if cookie == "" {
			continue
		}
		path := join(join("upstreams", name), kind+".balancing.sticky.cookie")
		if other, ok := seen[cookie]; ok {
			c.fail(path, "found %q, which is the cookie of %s, too; expected one for each upstream", cookie, other)
		}
		seen[cookie] = path
	}
}

func validCookieName(name string) bool {
	return (&http.Cookie{Name: name, Value: "v"}).Valid() == nil
}

// growth checks how connections are made and left.
func (c *checker) growth(path string, g *transomv1.GrpcUpstream) {
	at := join(path, "max_connections")
	switch most := g.MaxConnections; {
	case most > maxConnections:
		c.fail(at, "found %d, expected at most %d", most, maxConnections)
	case most > 0 && most < g.Connections:
		c.fail(at, "found %d, expected at least the %d of connections", most, g.Connections)
	}
	if d := g.MaxConnectionAge; d != nil && d.AsDuration() < time.Second {
		c.fail(join(path, "max_connection_age"), "found %s, expected at least 1s", span.Text(d.AsDuration()))
	}
}
