// Package field knows the names of header fields: which the gateway keeps to
// itself, and which spellings a backend may take for one of them. It knows
// neither HTTP nor gRPC metadata; both have such names.
//
//	field.Reserved("grpcgateway_x.request-id") // true
package field

import "strings"

// Prefixes are those under which gateways hand on a header: a backend that takes
// one off takes the rest for the header itself.
var Prefixes = []string{"grpc-metadata-", "grpcgateway-"}

// OwnPrefix begins the names that only the gateway may say to a backend.
const OwnPrefix = "x-transom-"

// Defaults are the headers of a request that cross as metadata of the same name,
// whatever the configuration says.
var Defaults = []string{
	"authorization", "accept-language", "traceparent", "tracestate", "baggage",
	"x-request-id", "last-event-id", "idempotency-key",
}

// Fold gives all spellings of a name that some server takes for one the same
// form: lower case, with "-" for "_" and ".". It allocates only where the name has
// another form.
func Fold(name string) string {
	i := 0
	for i < len(name) && fold(name[i]) == name[i] {
		i++
	}
	if i == len(name) {
		return name
	}
	folded := []byte(name)
	for ; i < len(folded); i++ {
		folded[i] = fold(folded[i])
	}
	return string(folded)
}

func fold(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.':
		return '-'
	}
	return c
}

// Bare is Fold without Prefixes, however many stand in front, and without more
// prefixes of the caller's, which are in Fold's form.
func Bare(name string, more ...string) string {
	name = Fold(name)
	for {
		rest := name
		for _, prefix := range Prefixes {
			rest = strings.TrimPrefix(rest, prefix)
		}
		for _, prefix := range more {
			rest = strings.TrimPrefix(rest, prefix)
		}
		if rest == name {
			return name
		}
		name = rest
	}
}

// Same reports whether a backend may take a name for another one, which has
// Fold's form. It allocates nothing for a name in its usual form.
func Same(name, other string) bool { return Bare(name) == other }

// Reserved reports whether a name, in any spelling and behind any prefix, is one
// that the gateway verifies, sets or names itself: a second value would leave it
// to the backend which of the two to believe.
func Reserved(name string, more ...string) bool {
	bare := Bare(name, more...)
	for _, own := range Defaults {
		if bare == own {
			return true
		}
	}
	return bare == "user-agent" || strings.HasPrefix(bare, OwnPrefix) || Origin(bare)
}

// Origin reports whether a name in Fold's form says where a request comes from.
func Origin(bare string) bool {
	return bare == "forwarded" || strings.HasPrefix(bare, "x-forwarded-") || strings.HasPrefix(bare, "x-real-")
}

// protocolPrefixes and protocolNames are the headers of the protocols that the
// gateway speaks: gRPC, gRPC-Web, Connect, WebSocket.
var (
	protocolPrefixes = []string{"grpc-", "connect-", "sec-websocket-", ":"}
	protocolNames    = []string{"x-grpc-web", "x-user-agent", "x-accept-content-transfer-encoding", "x-accept-response-streaming"}
)

// Protocol reports whether a name in Fold's form is that of a protocol between
// the client and the gateway.
func Protocol(name string) bool {
	for _, prefix := range protocolPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	for _, own := range protocolNames {
		if name == own {
			return true
		}
	}
	return false
}
