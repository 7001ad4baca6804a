package field

import "strings"

// SameOrigin reports whether an origin, as the header Origin has it, is the one of a
// request for a host with or without a port (RFC 6454, 5). A scheme's own port is the
// same as none (Semantics 309): proxies write it, browsers do not. Of a request that
// came by TLS only https is. One in cleartext may have been decrypted by a proxy that
// does not say so: https and http are both of its origin.
func SameOrigin(origin, host string, secure bool) bool {
	scheme, of, ok := strings.Cut(origin, "://")
	if !ok || of == "" || host == "" {
		return false
	}
	if !strings.EqualFold(scheme, "https") && (secure || !strings.EqualFold(scheme, "http")) {
		return false
	}
	return strings.EqualFold(WithoutDefaultPort(scheme, of), WithoutDefaultPort(scheme, host))
}

// WithoutDefaultPort takes the port off a host that is the scheme's own.
func WithoutDefaultPort(scheme, host string) string {
	switch port := DefaultPort(scheme); {
	case port == "":
	case strings.HasSuffix(host, port) && strings.HasSuffix(host[:len(host)-len(port)], ":"):
		return host[:len(host)-len(port)-1]
	}
	return host
}

// DefaultPort is the port of a URL that names none; empty for an unknown scheme.
func DefaultPort(scheme string) string {
	switch strings.ToLower(scheme) {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// Port is the port of a host with or without one, and the host without it.
func Port(host string) (without, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		return host, ""
	}
	if strings.IndexByte(host, ':') != i && host[0] != '[' {
		return host, "" // an IPv6 address without brackets
	}
	return host[:i], host[i+1:]
}
