package field

import (
	"net/textproto"
	"strings"
)

// HopByHop reports whether a field, by its name in any case, is that of one connection, and
// goes no further (RFC 9110, 7.6.1). All that begins with Proxy is: it is said to a
// proxy, or a program may take it for the proxy to use. This is the one list of such
// names; whoever needs more of them adds to it where it is asked.
func HopByHop(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "te")
	case 5:
		return strings.EqualFold(name, "proxy")
	case 7:
		return strings.EqualFold(name, "trailer") || strings.EqualFold(name, "upgrade")
	case 10:
		if strings.EqualFold(name, "connection") || strings.EqualFold(name, "keep-alive") {
			return true
		}
	case 14:
		if strings.EqualFold(name, "http2-settings") {
			return true
		}
	case 17:
		if strings.EqualFold(name, "transfer-encoding") {
			return true
		}
	}
	return len(name) > len(proxyPrefix) && strings.EqualFold(name[:len(proxyPrefix)], proxyPrefix)
}

const proxyPrefix = "proxy-"

// HopByHopInAnswers is HopByHop of a field of an answer: Proxy-Status is for whoever reads
// it on the way to the client, and for the client (RFC 9209, 2).
func HopByHopInAnswers(name string) bool {
	return HopByHop(name) && !strings.EqualFold(name, "proxy-status")
}

// Framing reports whether a field, by its name in Fold's form, says where a message ends,
// whom it is for, or what becomes of its connection.
func Framing(folded string) bool {
	switch folded {
	case "content-length", "host", "expect":
		return true
	}
	return HopByHop(folded)
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
