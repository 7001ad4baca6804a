package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/proxy"
)

// trustUnix is the entry of trusted_proxies for whoever comes by a unix socket.
const trustUnix = "unix"

// proxies are the peers whose X-Forwarded-* is believed.
type proxies struct {
	ranges []netip.Prefix
	unix   bool // those of a unix socket
	// count is how many proxies there are, whatever their addresses; 0 where these say it.
	count int
	// header says who the client is, by its canonical name; "" for X-Forwarded-For.
	header string
}

func (p *proxies) add(text string) error {
	if text == trustUnix {
		p.unix = true
		return nil
	}
	prefix, err := parsePrefix(text)
	if err == nil {
		p.ranges = append(p.ranges, prefix)
	}
	return err
}

func (p *proxies) trust(a netip.Addr) bool {
	for _, prefix := range p.ranges {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// trustPeer reports whether the direct peer, whose address is invalid where it has
// none, is a trusted proxy.
func (p *proxies) trustPeer(r *http.Request, peer netip.Addr) bool {
	if p.count > 0 {
		return true
	}
	if peer.IsValid() {
		return p.trust(peer)
	}
	if !p.unix {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

// origin is where a request comes from: what the trusted proxies say, as far as
// they wrote it, else what the connection says (Semantics 309).
type origin struct {
	client netip.Addr // invalid for a unix socket's peer of which nothing is said
	// hops are the client's address and those of the trusted proxies, for backends.
	hops         string
	host, scheme string
}

// origin finds out where a request comes from.
func (p *proxies) origin(r *http.Request) origin {
	o := origin{host: r.Host, scheme: "http"}
	if r.TLS != nil {
		o.scheme = "https"
	}
	peer, text := peerOf(r.RemoteAddr)
	o.client = peer
	if !p.trustPeer(r, peer) {
		o.hops = text
		return o
	}
	o.locate(p, r.Header, peer)
	return o
}

// walk lists the hops from the direct peer to the client, which is the last one.
// What cannot be read ends the walk: what stands before it is no better.
func (p *proxies) walk(lines []string, peer netip.Addr) []netip.Addr {
	hops := append(make([]netip.Addr, 0, 4), peer)
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
				return hops
			}
			if hops = append(hops, a); p.last(a, len(hops)-1) {
				return hops
			}
		}
	}
	return hops
}

// hopsText writes the hops from the client on. Nothing that a client made up
// stands in it.
func hopsText(hops []netip.Addr) string {
	var b strings.Builder
	for i := len(hops) - 1; i >= 0; i-- {
		if !hops[i].IsValid() {
			continue // a unix socket's peer
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(hops[i].String())
	}
	return b.String()
}

// believe takes host and scheme from the headers of trusted proxies, of which
// there are so many.
func (o *origin) believe(h http.Header, trusted int) {
	o.believeScheme(writtenBy(h["X-Forwarded-Proto"], trusted))
	host := writtenBy(h["X-Forwarded-Host"], trusted)
	said := host != "" && http1head.ValidHost(host)
	if said {
		o.host = host
	}
	n, err := strconv.ParseUint(writtenBy(h["X-Forwarded-Port"], trusted), 10, 16)
	if err != nil || n == 0 {
		return
	}
	without, port := field.Port(o.host)
	if said && port != "" {
		return // the browser named it
	}
	if o.host = without; strconv.FormatUint(n, 10) != field.DefaultPort(o.scheme) {
		o.host += ":" + strconv.FormatUint(n, 10)
	}
}

// believeScheme takes a scheme that a trusted proxy named, if it is one.
func (o *origin) believeScheme(said string) {
	switch strings.ToLower(said) {
	case "https", "wss":
		o.scheme = "https"
	case "http", "ws":
		o.scheme = "http"
	}
}

// writtenBy picks, of the values of a header that each proxy adds to or passes on,
// the one by the trusted proxy that is farthest away.
func writtenBy(lines []string, trusted int) string {
	switch len(lines) {
	case 0:
		return ""
	case 1:
		if strings.IndexByte(lines[0], ',') < 0 {
			return strings.TrimSpace(lines[0])
		}
	}
	all := strings.Split(strings.Join(lines, ","), ",")
	return strings.TrimSpace(all[max(0, len(all)-trusted)])
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

// forwarded says the same as one value of the header Forwarded (RFC 7239).
func (o *origin) forwarded() string {
	var b strings.Builder
	first := true
	for hop := range strings.SplitSeq(o.hops, ", ") {
		if !first {
			b.WriteString(", ")
		}
		switch {
		case hop == "":
			b.WriteString("for=unknown") // the peer of a unix socket
		case strings.IndexByte(hop, ':') >= 0:
			b.WriteString(`for="[` + hop + `]"`)
		default:
			b.WriteString("for=" + hop)
		}
		if first {
			if plain(o.host) {
				b.WriteString(`;host="` + o.host + `"`) // a host has no quotes and backslashes
			}
			b.WriteString(";proto=" + o.scheme)
		}
		first = false
	}
	return b.String()
}

// tell says who the request was forwarded for.
func (o *origin) tell(md *proxy.Metadata, rfc7239 bool) {
	if rfc7239 {
		md.Add("forwarded", o.forwarded())
		return
	}
	if o.hops != "" {
		md.Add("x-forwarded-for", o.hops)
	}
	if plain(o.host) {
		md.Add("x-forwarded-host", o.host)
	}
	md.Add("x-forwarded-proto", o.scheme)
	_, port := field.Port(o.host)
	if port == "" {
		port = field.DefaultPort(o.scheme)
	}
	if plain(port) {
		md.Add("x-forwarded-port", port)
	}
}

// write says the same to a plain HTTP server.
func (o *origin) write(h http.Header, rfc7239 bool) {
	if rfc7239 {
		h["Forwarded"] = []string{o.forwarded()}
		return
	}
	said := make([]string, 4)
	say := func(name, value string) {
		said[0] = value
		h[name], said = said[:1:1], said[1:]
	}
	if o.hops != "" {
		say("X-Forwarded-For", o.hops)
	}
	if o.host != "" {
		say("X-Forwarded-Host", o.host)
	}
	say("X-Forwarded-Proto", o.scheme)
	_, port := field.Port(o.host)
	if port == "" {
		port = field.DefaultPort(o.scheme)
	}
	say("X-Forwarded-Port", port)
}

// peerOf reads the peer's address in RemoteAddr, and returns it as a text, too; nothing for a unix socket's. That of
// IPv4 needs neither a copy nor a look at the port.
func peerOf(remote string) (peer netip.Addr, text string) {
	if i := strings.LastIndexByte(remote, ':'); i > 0 && remote[0] != '[' {
		if peer, err := netip.ParseAddr(remote[:i]); err == nil && peer.Is4() {
			return peer, remote[:i]
		}
	}
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}, ""
	}
	peer = plainAddr(at.Addr())
	return peer, peer.String()
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
