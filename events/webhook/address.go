package webhook

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// refused are the ranges that no webhook leads to, besides those that netip.Addr knows by
// itself: whoever may set a URL must not reach what only the gateway can.
var refused = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"168.63.129.16/32", // a cloud's server of secrets, at an address that looks public
	"2001::/23", "2001:db8::/32", "3fff::/20",
)

// public has all public addresses of IPv6; what it leaves out may lead to an IPv4 address in a way that only this network knows.
var public = netip.MustParsePrefix("2000::/3")

// Ranges of IPv6 that lead to an IPv4 address within them.
var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixToFo = netip.MustParsePrefix("2002::/16")
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// ranges are addresses and ranges of a configuration.
func ranges(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := parseRange(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// CheckRange holds that text is an address or a range.
func CheckRange(text string) error {
	_, err := parseRange(text)
	return err
}

// CheckHost holds that a webhook may lead to a host, as far as that is known without asking anybody: to an
// address, or to localhost.
func CheckHost(host string, allow []string) error {
	ranges, err := ranges(allow)
	if err != nil {
		return nil //nolint:nilerr // CheckRange says so
	}
	a, err := netip.ParseAddr(host)
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		a, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if err != nil || reachable(a, ranges) {
		return nil //nolint:nilerr // it is a name
	}
	return notPublic(a)
}

func notPublic(a netip.Addr) error {
	return fmt.Errorf("%s is no public address: list it in allow if events shall go there", a)
}

func parseRange(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("found %q, expected an address or a range such as %q", text, "10.0.0.0/8")
	}
	return p, nil
}

// control refuses connections by the address that a name was resolved to.
func control(allow []netip.Prefix) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("found %q, expected an address", address)
		}
		if !reachable(to.Addr(), allow) {
			return notPublic(to.Addr())
		}
		return nil
	}
}

// reachable reports whether a webhook may lead to an address.
func reachable(a netip.Addr, allow []netip.Prefix) bool {
	a = inner(a.WithZone("").Unmap())
	for _, p := range allow {
		if p.Contains(a) {
			return true
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !public.Contains(a) {
		return false
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// inner is the IPv4 address that an address leads to, or the address itself.
func inner(a netip.Addr) netip.Addr {
	bytes := a.As16()
	switch {
	case nat64.Contains(a):
		return fromIPv4(bytes[12:])
	case sixToFo.Contains(a):
		return fromIPv4(bytes[2:6])
	}
	return a
}

func fromIPv4(b []byte) netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], binary.BigEndian.Uint32(b))
	return netip.AddrFrom4(four)
}
