package transcoder

import (
	"net/http"

	"github.com/transom-gateway/transom/proxy"
)

// REST is JSON, a form or a message in an HTTP body, and the streams over HTTP: SSE,
// NDJSON and JSON arrays.
var REST = &Protocol{Name: "rest", NameOn: nameREST, Open: openREST}

// Table is what the gateway speaks.
var Table = &Protocols{
	Marked: []*Protocol{GRPC, GRPCWebText, GRPCWeb, ConnectStream, ConnectUnary, WebSocket, ConnectGet},
	Other:  REST,
	Posted: ConnectUnary,
}

func openREST(b *Binding, x Exchange) proxy.Downstream {
	if b.Method.Shape.Unary() {
		return OpenUnary(b, x)
	}
	return Open(b, x)
}

func nameREST(b *Binding, h http.Header) string {
	if b.Method.Shape.ServerStreams {
		return NameOn(b, h)
	}
	return "rest"
}
