package envelope

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// grpcWebCall is the edge of a gRPC-Web client, binary or text: gRPC whose
// trailer is the last envelope of the body, over any version of HTTP.
type grpcWebCall struct {
	envelopeCall

	textIn  base64Reader
	textOut base64Writer
	trailer bytes.Buffer // kept between calls
}

var _ proxy.Downstream = (*grpcWebCall)(nil)

var grpcWebCalls = sync.Pool{New: func() any { return new(grpcWebCall) }}

const (
	grpcWebType     = "application/grpc-web"
	grpcWebTextType = "application/grpc-web-text"
)

var (
	grpcWebHeader          = []string{grpcWebType}
	grpcWebProtoHeader     = []string{grpcWebType + "+proto"}
	grpcWebTextHeader      = []string{grpcWebTextType}
	grpcWebJSONHeader      = []string{grpcWebType + "+json"}
	grpcWebTextProtoHeader = []string{grpcWebTextType + "+proto"}
	grpcWebTextJSONHeader  = []string{grpcWebTextType + "+json"}
)

// GRPCWeb is gRPC-Web in binary, GRPCWebText in base64.
var (
	GRPCWeb = &transcoder.Protocol{
		Name: "grpc-web", RPC: true,
		PostedAs: func(media string, _ http.Header) bool {
			return strings.HasPrefix(media, grpcWebType) && !strings.HasPrefix(media, grpcWebTextType)
		},
		Open:   func(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream { return openGRPCWeb(b, x, false) },
		Refuse: func(x *exchange.Exchange, e *transcoder.Refusal) int { return refuseGRPCWeb(x, e, false) },
	}
	GRPCWebText = &transcoder.Protocol{
		Name: "grpc-web", RPC: true,
		PostedAs: func(media string, _ http.Header) bool { return strings.HasPrefix(media, grpcWebTextType) },
		Open:     func(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream { return openGRPCWeb(b, x, true) },
		Refuse:   func(x *exchange.Exchange, e *transcoder.Refusal) int { return refuseGRPCWeb(x, e, true) },
	}
)

func openGRPCWeb(b *transcoder.Binding, x exchange.Exchange, text bool) proxy.Downstream {
	c, ok := grpcWebCalls.Get().(*grpcWebCall)
	if !ok {
		panic("the pool of gRPC-Web calls holds something else") // its New is above
	}
	c.start(b.Method, x, codes.Internal)
	if text {
		c.textIn.begin(x.R.Body)
		c.in.src = &c.textIn
	}
	text = text || acceptsText(x.R.Header["Accept"])
	c.contentType, c.encodingHeader = grpcWebAnswerType(transcoder.ContentType(x.R.Header), text), "Grpc-Encoding"
	if text {
		c.textOut.begin(&c.x)
		c.out.dst, c.out.base64 = &c.textOut, &c.textOut
	}
	return c
}

// grpcWebAnswerType is the content type of the answer: the request's form, in
// text or binary.
func grpcWebAnswerType(contentType string, text bool) []string {
	switch proto, json := strings.Contains(contentType, "+proto"), strings.Contains(contentType, "+json"); {
	case text && proto:
		return grpcWebTextProtoHeader
	case text && json:
		return grpcWebTextJSONHeader
	case text:
		return grpcWebTextHeader
	case proto:
		return grpcWebProtoHeader
	case json:
		return grpcWebJSONHeader
	}
	return grpcWebHeader
}

// acceptsText reports whether a client that sends binary wants a text answer.
func acceptsText(accept []string) bool {
	for _, line := range accept {
		if strings.HasPrefix(line, grpcWebTextType) {
			return true
		}
	}
	return false
}

// Open implements proxy.Downstream.
func (c *grpcWebCall) Open(ctx context.Context) (context.Context, error) {
	contentType := transcoder.ContentType(c.x.R.Header)
	media := grpcWebType
	if strings.HasPrefix(contentType, grpcWebTextType) {
		media = grpcWebTextType
	}
	switch subtype(contentType, media) {
	case "", "proto":
	case "json":
		c.json = true
	default:
		c.refused = http.StatusUnsupportedMediaType
		return ctx, status.Errorf(codes.Unimplemented,
			"Content-Type %q: expected application/grpc-web or application/grpc-web-text, with +proto, +json or neither", rpcerror.Clip(contentType))
	}
	if err := c.openEncoding(); err != nil {
		return ctx, err
	}
	c.due, _ = ctx.Deadline()
	c.fullDuplex()
	return ctx, nil
}

// Finish implements proxy.Downstream. Where nothing was sent, the status stands
// in the header.
func (c *grpcWebCall) Finish(err error, trailer metadata.MD) int {
	httpStatus := http.StatusOK
	h, st := c.x.Header(), status.Convert(err)
	switch {
	case c.begun || c.headed:
		c.beginAnswer()
		c.sendTrailer(st, trailer)
	default:
		if c.refused != 0 {
			httpStatus = c.refused
		}
		transcoder.SetMetadata(h, "", trailer)
		rpcerror.SetStatus(h, st)
		h["Content-Type"] = c.contentType
		c.writeHeader(httpStatus)
	}
	c.leave()
	c.release()
	if c.trailer.Cap() > exchange.MaxKept {
		c.trailer = bytes.Buffer{}
	}
	c.textIn.begin(nil)
	c.textOut.begin(nil)
	grpcWebCalls.Put(c)
	return httpStatus
}

// sendTrailer writes the trailer as the last envelope: lines as in HTTP/1.1,
// with lower-case names.
func (c *grpcWebCall) sendTrailer(st *status.Status, trailer metadata.MD) {
	c.trailer.Reset()
	h := http.Header{}
	transcoder.SetMetadata(h, "", trailer)
	rpcerror.SetStatus(h, st)
	for name, values := range h {
		for _, value := range values {
			c.trailer.WriteString(strings.ToLower(name))
			c.trailer.WriteByte(':')
			c.trailer.WriteString(value)
			c.trailer.WriteString("\r\n")
		}
	}
	if c.out.raw(flagWebTrailer, c.trailer.Bytes()) == nil {
		_ = c.out.end() // an error means that the client is gone
	}
}
