package gateway

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/transom-gateway/transom/internal/http1head"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// fieldForwarded is the header of RFC 7239.
const fieldForwarded = "Forwarded"

// read takes over by which header, and how many proxies away, clients are known.
func (p *proxies) read(c *transomv1.ClientIp) {
	p.header, p.count = http.CanonicalHeaderKey(c.GetHeader()), int(c.GetTrustedHops())
	if p.header == "X-Forwarded-For" {
		p.header = ""
	}
}

// last reports whether a hop is the client's, so many proxies away: the first one that is no
// trusted proxy or, where these are counted, the one behind so many.
func (p *proxies) last(hop netip.Addr, away int) bool {
	if p.count > 0 {
		return away >= p.count
	}
	return !p.trust(hop)
}

// locate finds the client of a request whose peer is a trusted proxy.
func (o *origin) locate(p *proxies, h http.Header, peer netip.Addr) {
	var hops []netip.Addr
	switch p.header {
	case "":
		hops = p.walk(h["X-Forwarded-For"], peer)
	case fieldForwarded:
		var said element
		hops, said = p.walkForwarded(h[fieldForwarded], peer)
		o.say(said)
	default:
		hops = append(make([]netip.Addr, 0, 2), peer)
		if lines := h[p.header]; len(lines) == 1 {
			if a, ok := hopAddr(strings.Trim(lines[0], " \t")); ok {
				hops = append(hops, a)
			}
		}
	}
	o.client, o.hops = hops[len(hops)-1], hopsText(hops)
	if p.header != fieldForwarded {
		o.believe(h, max(1, len(hops)-1))
	}
}

// say takes host and scheme from an element of Forwarded.
func (o *origin) say(e element) {
	o.believeScheme(e.proto)
	if e.host != "" && http1head.ValidHost(e.host) {
		o.host = e.host
	}
}

// walkForwarded is walk by Forwarded, with the element of the trusted proxy that is farthest
// away.
func (p *proxies) walkForwarded(lines []string, peer netip.Addr) (hops []netip.Addr, said element) {
	hops = append(make([]netip.Addr, 0, 4), peer)
	for i := len(lines) - 1; i >= 0; i-- {
		elements, ok := parseForwarded(lines[i])
		if !ok {
			return hops, said
		}
		for j := len(elements) - 1; j >= 0; j-- {
			said = elements[j]
			a, ok := hopAddr(said.node)
			if !ok {
				return hops, said // "unknown", or a name of the proxy's own
			}
			if hops = append(hops, a); p.last(a, len(hops)-1) {
				return hops, said
			}
		}
	}
	return hops, said
}

// element is what one proxy says in Forwarded (RFC 7239, 4).
type element struct{ node, host, proto string }

// parseForwarded reads one line of Forwarded. One that is not written as RFC 7239, 4 wants says
// nothing at all.
func parseForwarded(line string) (all []element, ok bool) {
	var e element
	begun := false
	for rest := trimSpace(line); rest != ""; {
		switch rest[0] {
		case ',':
			if begun {
				all = append(all, e)
			}
			e, begun, rest = element{}, false, trimSpace(rest[1:])
			continue
		case ';':
			rest = trimSpace(rest[1:])
			continue
		}
		name, value, after, ok := parsePair(rest)
		if !ok {
			return nil, false
		}
		begun = true
		var to *string
		switch strings.ToLower(name) {
		case "for":
			to = &e.node
		case "host":
			to = &e.host
		case "proto":
			to = &e.proto
		}
		if to != nil && *to != "" {
			return nil, false // each may stand there once
		}
		if to != nil {
			*to = value
		}
		if rest = trimSpace(after); rest != "" && rest[0] != ';' && rest[0] != ',' {
			return nil, false
		}
	}
	if begun {
		all = append(all, e)
	}
	return all, true
}

// parsePair reads name=value, where value may be quoted.
func parsePair(s string) (name, value, rest string, ok bool) {
	n := http1head.TokenLen(s)
	if n == 0 || n == len(s) || s[n] != '=' {
		return "", "", "", false
	}
	name, s = s[:n], s[n+1:]
	if s == "" || s[0] != '"' {
		n = http1head.TokenLen(s)
		return name, s[:n], s[n:], n > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return name, b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", "", false
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", "", false
}

func trimSpace(s string) string { return strings.Trim(s, " \t") }
