package client

import (
	"net/http"
	"net/netip"
)

// OptedOut reports whether the browser asks not to be followed: by Sec-GPC, and by DNT where that is
// honoured (Events 196).
func OptedOut(h http.Header, dnt bool) bool {
	return is(h["Sec-Gpc"], "1") || dnt && is(h["Dnt"], "1")
}

// Anonymous reports whether the page asks that nobody is told by ids or address, as trackers of
// Snowplow do.
func Anonymous(h http.Header) bool { return is(h["Sp-Anonymous"], "*") }

func is(values []string, want string) bool { return len(values) == 1 && values[0] == want }

// Truncate is an address without its last part: the first 24 bits of IPv4, 48 of IPv6. It is empty
// where there is none.
func Truncate(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(a, bits).Masked().Addr().String()
}
