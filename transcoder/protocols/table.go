package protocols

import (
	"net/http"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/envelope"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/stream"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// REST is JSON, a form or a message in an HTTP body, and the streams over HTTP: SSE,
// NDJSON and JSON arrays.
var REST = &transcoder.Protocol{Name: "rest", NameOn: nameREST, Open: openREST}

// Table is what the gateway speaks.
var Table = &transcoder.Protocols{
	Marked: []*transcoder.Protocol{envelope.GRPC, envelope.GRPCWebText, envelope.GRPCWeb, envelope.ConnectStream, envelope.ConnectUnary, websocket.Protocol, envelope.ConnectGet},
	Other:  REST,
	Posted: envelope.ConnectUnary,
}

func openREST(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream {
	if b.Method.Shape.Unary() {
		return transcoder.OpenUnary(b, x)
	}
	return stream.Open(b, x)
}

func nameREST(b *transcoder.Binding, h http.Header) string {
	if b.Method.Shape.ServerStreams {
		return stream.NameOn(b, h)
	}
	return "rest"
}
