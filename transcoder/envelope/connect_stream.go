package envelope

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// connectStream is the edge of a streaming call in the Connect protocol.
// Whatever becomes of the call, the HTTP status is 200; the end stands in the
// last envelope.
type connectStream struct {
	envelopeCall
}

var _ proxy.Downstream = (*connectStream)(nil)

var connectStreams = sync.Pool{New: func() any { return new(connectStream) }}

const connectType = "application/connect"

var (
	connectJSONHeader  = []string{connectType + "+json"}
	connectProtoHeader = []string{connectType + "+proto"}
)

// ConnectStream is the streams of Connect.
var ConnectStream = &transcoder.Protocol{
	Name: "connect", RPC: true, WrongMethod: codes.Unknown,
	PostedAs: func(media string, _ http.Header) bool { return strings.HasPrefix(media, connectType+"+") },
	Open:     openConnectStream, Refuse: refuseConnectStream,
}

func openConnectStream(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream {
	c, ok := connectStreams.Get().(*connectStream)
	if !ok {
		panic("the pool of Connect streams holds something else") // its New is above
	}
	c.start(b.Method, x, codes.InvalidArgument)
	c.json = subtype(field.First(x.R.Header, "Content-Type"), connectType) == "json"
	c.contentType, c.encodingHeader = connectProtoHeader, "Connect-Content-Encoding"
	if c.json {
		c.contentType = connectJSONHeader
	}
	return c
}

// Open implements proxy.Downstream.
func (c *connectStream) Open(ctx context.Context) (context.Context, error) {
	sub := subtype(field.First(c.x.R.Header, "Content-Type"), connectType)
	if c.method.Shape.Unary() {
		c.refused = http.StatusUnsupportedMediaType
		return ctx, wrongContentType(c.x.Header(), c.x.R.Header, "application/json, application/proto")
	}
	if sub != "json" && sub != "proto" {
		c.refused = http.StatusUnsupportedMediaType
		return ctx, wrongContentType(c.x.Header(), c.x.R.Header, "application/connect+json, application/connect+proto")
	}
	if err := checkConnectVersion(c.x.R.Header); err != nil {
		return ctx, err
	}
	if err := c.setMessageEncoding("Connect-Content-Encoding"); err != nil {
		c.x.Header()["Connect-Accept-Encoding"] = compression.AcceptedBodies
		return ctx, err
	}
	c.out.zip = c.answerEncoding(c.x.R.Header["Connect-Accept-Encoding"])
	c.fullDuplex()
	return ctx, nil
}

// Finish implements proxy.Downstream.
func (c *connectStream) Finish(err error, trailer metadata.MD) int {
	httpStatus := http.StatusOK
	if c.refused != 0 {
		httpStatus = c.refused
		h := c.x.Header()
		h["Content-Type"] = transcoder.JSONHeader
		c.writeHeader(httpStatus)
		_, _ = c.x.Write(newConnectError(c.method.Errors, status.Convert(err)).append(nil)) // an error means that the client is gone
	} else {
		c.beginAnswer()
		c.converted = newConnectEnd(c.method.Errors, err, trailer).append(c.converted[:0])
		_ = c.out.raw(flagConnectEnd, c.converted) // an error means that the client is gone
	}
	c.leave()
	c.release()
	connectStreams.Put(c)
	return httpStatus
}
