package gateway

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// proxies are the address ranges whose X-Forwarded-For is believed.
type proxies []netip.Prefix

func (p proxies) trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// client returns the address of the client and of its direct peer. Where the
// peer is a trusted proxy, the client is the last address of X-Forwarded-For
// that no trusted proxy has.
func (p proxies) client(r *http.Request) (client, peer netip.Addr) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = plainAddr(at.Addr())
	}
	client = peer
	if len(p) == 0 || !p.trust(peer) {
		return client, peer
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			var hop string
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				rest, hop = rest[:j], rest[j+1:]
			} else {
				rest, hop = "", rest
			}
			a, ok := hopAddr(strings.Trim(hop, " \t"))
			if !ok {
				return client, peer // what stands before is no better
			}
			client = a
			if !p.trust(client) {
				return client, peer
			}
		}
	}
	return client, peer
}

// hopAddr reads one address of X-Forwarded-For; some proxies write its port,
// too.
func hopAddr(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		at, err := netip.ParseAddrPort(text)
		return plainAddr(at.Addr()), err == nil
	}
	return plainAddr(a), true
}

// plainAddr takes off what makes one address look like two: an IPv4 address in
// the form of IPv6, and the zone, which says where a machine heard of it.
func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// forwarded says who the request was forwarded for.
func (s *Snapshot) forwarded(md *proxy.Metadata, r *http.Request, q *policy.Request) {
	host, scheme := r.Host, "http"
	if r.TLS != nil {
		scheme = "https"
	}
	_, peer := s.proxies.client(r)
	hops := peerText(r.RemoteAddr, peer)
	if len(s.proxies) > 0 && s.proxies.trust(peer) {
		if before := strings.Join(r.Header["X-Forwarded-For"], ", "); before != "" && plain(before) {
			hops = before + ", " + hops
		}
		if v := r.Header.Get("X-Forwarded-Host"); v != "" && plain(v) {
			host = v
		}
		if v := r.Header.Get("X-Forwarded-Proto"); v == "http" || v == "https" {
			scheme = v
		}
	}
	if hops != "" {
		md.Add("x-forwarded-for", hops)
	}
	if plain(host) {
		md.Add("x-forwarded-host", host)
	}
	md.Add("x-forwarded-proto", scheme)
}

// peerText is the peer's address as it stands in RemoteAddr, without a copy.
func peerText(remote string, peer netip.Addr) string {
	if !peer.IsValid() {
		return ""
	}
	if i := strings.LastIndexByte(remote, ':'); i > 0 && remote[0] != '[' {
		return remote[:i]
	}
	return peer.String()
}

// plain reports whether a value can be gRPC metadata.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}
