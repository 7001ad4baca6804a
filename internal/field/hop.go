package field

import (
	"net/textproto"
	"strings"
)

// HopByHop reports whether a field, by its canonical name, is that of one connection, and
// goes no further (RFC 9110, 7.6.1). All that begins with Proxy is: it is said to a
// proxy, or a program may take it for the proxy to use.
func HopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Proxy":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}

// Framing reports whether a field, by its name in Fold's form, says where a message ends,
// whom it is for, or what becomes of its connection.
func Framing(folded string) bool {
	switch folded {
	case "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "host", "expect", "http2-settings", "proxy":
		return true
	}
	return strings.HasPrefix(folded, "proxy-")
}

// NamedByConnection returns the fields that Connection names, by their canonical names:
// they are the connection's, as Connection itself is (RFC 9110, 7.6.1). It is nil where
// Connection says nothing but what is usual.
func NamedByConnection(lines []string) map[string]bool {
	var fields map[string]bool
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.Trim(item, " \t")
			switch {
			case item == "", strings.EqualFold(item, "close"), strings.EqualFold(item, "keep-alive"), strings.EqualFold(item, "upgrade"):
				continue
			case fields == nil:
				fields = map[string]bool{}
			}
			fields[textproto.CanonicalMIMEHeaderKey(item)] = true
		}
	}
	return fields
}
