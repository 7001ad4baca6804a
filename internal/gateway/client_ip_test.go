package gateway

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/http1head"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestClientIP: Traffic 201: which header, and how much of it, is believed.
func TestClientIP(t *testing.T) {
	const xff, forwarded, cdn = "X-Forwarded-For", "Forwarded", "Cf-Connecting-Ip"
	for name, test := range map[string]struct {
		ip                         *transomv1.ClientIp
		peer                       string // 10.0.0.1 where it is not said, which is trusted, as all of 10.0.0.0/8
		header                     http.Header
		client, hops, host, scheme string // the host asked for and http where they are not said
	}{
		"another header than X-Forwarded-For": {ip: &transomv1.ClientIp{Header: "cf-connecting-ip"},
			header: http.Header{xff: {"6.6.6.6"}, cdn: {"198.51.100.7"}, "X-Forwarded-Proto": {"https"}}, client: "198.51.100.7", hops: "198.51.100.7, 10.0.0.1", scheme: "https"},
		"it is not there":           {ip: &transomv1.ClientIp{Header: "CF-Connecting-IP"}, header: http.Header{xff: {"6.6.6.6"}}, client: "10.0.0.1", hops: "10.0.0.1"},
		"it is there twice":         {ip: &transomv1.ClientIp{Header: cdn}, header: http.Header{cdn: {"6.6.6.6", "6.6.6.7"}}, client: "10.0.0.1", hops: "10.0.0.1"},
		"it has two addresses":      {ip: &transomv1.ClientIp{Header: cdn}, header: http.Header{cdn: {"6.6.6.6, 6.6.6.7"}}, client: "10.0.0.1", hops: "10.0.0.1"},
		"a stranger sends it":       {ip: &transomv1.ClientIp{Header: cdn}, peer: "192.0.2.1", header: http.Header{cdn: {"6.6.6.6"}}, client: "192.0.2.1", hops: "192.0.2.1"},
		"one hop":                   {ip: &transomv1.ClientIp{TrustedHops: 1}, peer: "192.0.2.1", header: http.Header{xff: {"6.6.6.6, 198.51.100.7"}}, client: "198.51.100.7", hops: "198.51.100.7, 192.0.2.1"},
		"two hops":                  {ip: &transomv1.ClientIp{TrustedHops: 2}, peer: "192.0.2.1", header: http.Header{xff: {"6.6.6.6, 198.51.100.7", "192.0.2.2"}}, client: "198.51.100.7", hops: "198.51.100.7, 192.0.2.2, 192.0.2.1"},
		"fewer hops":                {ip: &transomv1.ClientIp{TrustedHops: 3}, peer: "192.0.2.1", header: http.Header{xff: {"198.51.100.7"}}, client: "198.51.100.7", hops: "198.51.100.7, 192.0.2.1"},
		"a hop that cannot be read": {ip: &transomv1.ClientIp{TrustedHops: 3}, peer: "192.0.2.1", header: http.Header{xff: {"6.6.6.6, what, 192.0.2.2"}}, client: "192.0.2.2", hops: "192.0.2.2, 192.0.2.1"},
		"Forwarded": {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{xff: {"6.6.6.6"}, "X-Forwarded-Host": {"evil.example"},
			forwarded: {`for=6.6.6.6;host=evil.example, For="[2001:db8::7]:4711";Proto=https;by=_x;host="shop.example:8443", for=10.9.9.9;proto=http`}},
			client: "2001:db8::7", hops: "2001:db8::7, 10.9.9.9, 10.0.0.1", host: "shop.example:8443", scheme: "https"},
		"Forwarded, on two lines":            {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{forwarded: {"for=198.51.100.7;proto=https", "for=10.9.9.9"}}, client: "198.51.100.7", hops: "198.51.100.7, 10.9.9.9, 10.0.0.1", scheme: "https"},
		"Forwarded, counted":                 {ip: &transomv1.ClientIp{Header: "forwarded", TrustedHops: 1}, peer: "192.0.2.1", header: http.Header{forwarded: {"for=6.6.6.6, for=198.51.100.7"}}, client: "198.51.100.7", hops: "198.51.100.7, 192.0.2.1"},
		"Forwarded with a name":              {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{forwarded: {"for=6.6.6.6, for=_hidden;proto=https, for=10.9.9.9"}}, client: "10.9.9.9", hops: "10.9.9.9, 10.0.0.1", scheme: "https"},
		"Forwarded that nobody can read":     {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{forwarded: {`for=6.6.6.6, for="10.9.9.9`}}, client: "10.0.0.1", hops: "10.0.0.1"},
		"a comma and a quote in a value":     {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{forwarded: {`for="6.6.6.6, \"x", for=198.51.100.7`}}, client: "198.51.100.7", hops: "198.51.100.7, 10.0.0.1"},
		"Forwarded that says for twice":      {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{forwarded: {"for=6.6.6.6;for=6.6.6.7"}}, client: "10.0.0.1", hops: "10.0.0.1"},
		"Forwarded with a host that is none": {ip: &transomv1.ClientIp{Header: "forwarded"}, header: http.Header{forwarded: {`for=198.51.100.7;host="a b"`}}, client: "198.51.100.7", hops: "198.51.100.7, 10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxies{ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
			p.read(test.ip)
			peer := test.peer
			if peer == "" {
				peer = "10.0.0.1"
			}
			host, scheme := test.host, test.scheme
			if host == "" {
				host = "gateway.example"
			}
			if scheme == "" {
				scheme = "http"
			}
			o := p.origin(&http.Request{Header: test.header, Host: "gateway.example", RemoteAddr: peer + ":99"})
			if o.client.String() != test.client || o.hops != test.hops || o.host != host || o.scheme != scheme {
				t.Errorf("got %s of %q, %s://%s; want %s of %q, %s://%s", o.client, o.hops, o.scheme, o.host, test.client, test.hops, scheme, host)
			}
		})
	}
}

// TestPeerOf: a peer is known by its address, which has one form, and that of a unix socket by none.
func TestPeerOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "[fe80::1%eth0]:80": "fe80::1",
		"192.0.2.1": "", "2001:db8::1": "", "::ffff:192.0.2.1:80": "", "gateway.example:80": "", ":80": "", "@": "", "": "",
	} {
		peer, text := peerOf(remote)
		if text != want || peer.IsValid() != (want != "") || want != "" && peer.String() != want {
			t.Errorf("%q: %s, %q; want %q", remote, peer, text, want)
		}
	}
}

// FuzzRFC7239 reads Forwarded as a trusted proxy's: whatever it says, the client is an address
// that stands in it, or the peer's, and the host is one.
func FuzzRFC7239(f *testing.F) {
	for _, line := range []string{`for=192.0.2.60;proto=http;by=203.0.113.43`, `For="[2001:db8:cafe::17]:4711"`, `for=192.0.2.43, for="_gazonk";host="a\"b"`, `for="unknown", , ;for=1.2.3.4`} {
		f.Add(line)
	}
	p := proxies{ranges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, header: fieldForwarded}
	f.Fuzz(func(t *testing.T, text string) {
		o := p.origin(&http.Request{Header: http.Header{fieldForwarded: strings.Split(text, "\n")}, Host: "gateway.example", RemoteAddr: "10.0.0.1:99"})
		if !o.client.IsValid() || !http1head.ValidHost(o.host) || o.scheme != "http" && o.scheme != "https" {
			t.Errorf("%q: %s at %s://%s", text, o.client, o.scheme, o.host)
		}
		if strings.Count(o.hops, ",") > strings.Count(text, ",")+strings.Count(text, "\n")+1 {
			t.Errorf("%q: the hops are %q", text, o.hops)
		}
		checkTold(t, &o)
	})
}
