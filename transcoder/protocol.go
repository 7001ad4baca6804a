package transcoder

import (
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/proxy"
)

// Protocol is how a client speaks.
type Protocol uint8

// The protocols.
const (
	// REST is JSON, a form or a message in an HTTP body, and the streams over HTTP:
	// SSE, NDJSON and JSON arrays.
	REST Protocol = iota
	// WebSocket is RFC 6455.
	WebSocket
	// GRPC is gRPC over HTTP/2.
	GRPC
	// GRPCWeb is gRPC-Web in binary, GRPCWebText in base64.
	GRPCWeb
	GRPCWebText
	// ConnectUnary is Connect's unary POST, ConnectGet its GET (and a HEAD of that),
	// ConnectStream its streams.
	ConnectUnary
	ConnectGet
	ConnectStream
)

// RPC reports whether the protocol calls methods by their own path alone and has
// a form of its own for errors and metadata.
func (p Protocol) RPC() bool { return p >= GRPC }

// Connect reports whether the protocol is one of Connect's.
func (p Protocol) Connect() bool { return p >= ConnectUnary }

// String names the protocol for logs and metrics.
func (p Protocol) String() string {
	switch p {
	case WebSocket:
		return "websocket"
	case GRPC:
		return "grpc"
	case GRPCWeb, GRPCWebText:
		return "grpc-web"
	case ConnectUnary, ConnectGet, ConnectStream:
		return "connect"
	case REST:
	}
	return "rest"
}

// Detect tells by its headers which protocol a request speaks.
func Detect(r *http.Request) Protocol {
	switch r.Method {
	case http.MethodPost:
		return detectPost(r)
	case http.MethodGet:
		if isWebSocket(r) {
			return WebSocket
		}
		if isConnectGet(r.URL.RawQuery) {
			return ConnectGet
		}
	case http.MethodHead:
		if isConnectGet(r.URL.RawQuery) {
			return ConnectGet
		}
	case http.MethodConnect:
		if r.Header.Get(":protocol") == "websocket" {
			return WebSocket
		}
	}
	return REST
}

// ErrorProtocol tells whose form an error takes where a method's own path does
// not take the request's HTTP method: the protocol of its header.
func ErrorProtocol(r *http.Request) Protocol {
	return detectPost(r)
}

func detectPost(r *http.Request) Protocol {
	const application = "application/"
	rest, ok := strings.CutPrefix(mediaType(r.Header), application)
	if !ok {
		return REST
	}
	switch {
	case rest == "json":
		if first(r.Header, "Connect-Protocol-Version") != "" {
			return ConnectUnary
		}
	case strings.HasPrefix(rest, "grpc-web-text"):
		return GRPCWebText
	case strings.HasPrefix(rest, "grpc-web"):
		return GRPCWeb
	case rest == "grpc", strings.HasPrefix(rest, "grpc+"):
		return GRPC
	case strings.HasPrefix(rest, "connect+"):
		return ConnectStream
	case first(r.Header, "Connect-Protocol-Version") != "" && (strings.HasPrefix(rest, "json") || strings.HasPrefix(rest, "proto")):
		return ConnectUnary
	}
	return REST
}

// isConnectGet reports whether a query has the parameter that marks Connect's GET.
func isConnectGet(query string) bool {
	const mark = "connect=v1"
	for rest := query; len(rest) >= len(mark); {
		i := strings.Index(rest, mark)
		if i < 0 {
			return false
		}
		after := i + len(mark)
		if (i == 0 || rest[i-1] == '&') && (after == len(rest) || rest[after] == '&') {
			return true
		}
		rest = rest[after:]
	}
	return false
}

// isWebSocket reports whether a GET asks for an upgrade (RFC 6455, 4.2.1).
func isWebSocket(r *http.Request) bool {
	if _, ok := r.Header["Upgrade"]; !ok {
		return false
	}
	return hasToken(r.Header["Connection"], "upgrade") && hasToken(r.Header["Upgrade"], "websocket")
}

func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// PathProtocol settles the protocol of a request for the method's own path,
// "/package.Service/Method". A unary POST of JSON is Connect's unary form even
// without its version header (Semantics 10). False where the path does not take
// the request.
func (m *Method) PathProtocol(r *http.Request, detected Protocol) (Protocol, bool) {
	switch {
	case detected == WebSocket || detected.RPC() && detected != ConnectGet:
		return detected, true
	case detected == ConnectGet:
		return detected, m.NoSideEffects && m.Shape.Unary()
	case r.Method != http.MethodPost:
		return detected, false
	case m.Shape.Unary():
		return ConnectUnary, true
	}
	return REST, true
}

// ProtocolName is the protocol of a request on this binding, for logs and
// metrics: Protocol's own name, or that of the form of a stream over HTTP.
func (b *Binding) ProtocolName(h http.Header, p Protocol) string {
	if p == REST && b.Method.Shape.ServerStreams {
		return b.streamFormat(h).protocolName()
	}
	return p.String()
}

// Downstream makes the client's half of a call on this binding. Nothing is read
// or written yet.
func (b *Binding) Downstream(x Exchange, p Protocol) proxy.Downstream {
	switch p {
	case WebSocket:
		return b.openWebSocket(x)
	case GRPC:
		return b.openGRPC(x)
	case GRPCWeb, GRPCWebText:
		return b.openGRPCWeb(x, p == GRPCWebText)
	case ConnectUnary, ConnectGet:
		return b.openConnectUnary(x, p == ConnectGet)
	case ConnectStream:
		return b.openConnectStream(x)
	case REST:
	}
	if b.Method.Shape.Unary() {
		return b.openUnary(x)
	}
	return b.openStream(x)
}
