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
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// grpcCall is the edge of a gRPC client, for all four shapes. Messages in wire
// format pass as they are; only their envelopes are taken off and put on.
type grpcCall struct {
	envelopeCall
}

var _ proxy.Downstream = (*grpcCall)(nil)

var grpcCalls = sync.Pool{New: func() any { return new(grpcCall) }}

// Header values that are set again and again, so that they are not allocated.
var (
	grpcHeader      = []string{"application/grpc"}
	grpcProtoHeader = []string{"application/grpc+proto"}
	grpcJSONHeader  = []string{"application/grpc+json"}
)

// GRPC is gRPC over HTTP/2.
var GRPC = &transcoder.Protocol{Name: "grpc", RPC: true, PostedAs: postedGRPC, Open: openGRPC, Refuse: refuseGRPC}

func postedGRPC(media string, _ http.Header) bool {
	return media == "application/grpc" || strings.HasPrefix(media, "application/grpc+")
}

func openGRPC(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream {
	c, ok := grpcCalls.Get().(*grpcCall)
	if !ok {
		panic("the pool of gRPC calls holds something else") // its New is above
	}
	c.start(b.Method, x, codes.Internal)
	c.contentType, c.encodingHeader, c.bare = grpcHeader, "Grpc-Encoding", true
	return c
}

// Open implements proxy.Downstream.
func (c *grpcCall) Open(ctx context.Context) (context.Context, error) {
	if !c.x.Multiplexed() {
		c.refused = http.StatusHTTPVersionNotSupported
		return ctx, status.Error(codes.Unimplemented, "gRPC needs HTTP/2; over HTTP/1.1 use gRPC-Web or Connect")
	}
	switch subtype(field.First(c.x.R.Header, "Content-Type"), grpcHeader[0]) {
	case "":
	case "proto":
		c.contentType = grpcProtoHeader
	case "json":
		c.json, c.contentType = true, grpcJSONHeader
	default:
		c.refused = http.StatusUnsupportedMediaType
		return ctx, status.Errorf(codes.Unimplemented, "Content-Type %q: expected application/grpc, application/grpc+proto or application/grpc+json",
			rpcerror.Clip(field.First(c.x.R.Header, "Content-Type")))
	}
	c.due, _ = ctx.Deadline()
	return ctx, c.openEncoding()
}

// openEncoding settles the encodings of the messages, as gRPC names them. Like
// grpc-go, the answer is compressed when the request is.
func (c *envelopeCall) openEncoding() error {
	if err := c.setMessageEncoding("Grpc-Encoding"); err != nil {
		c.x.Header()["Grpc-Accept-Encoding"] = compression.AcceptedMessages
		return err
	}
	if c.in.zip != nil {
		if accepted := c.x.R.Header["Grpc-Accept-Encoding"]; len(accepted) > 0 {
			c.out.zip = c.answerEncoding(accepted)
		} else {
			c.out.zip = c.in.zip
		}
	}
	return nil
}

// subtype returns what follows a media type and its plus sign, without
// parameters: "" for the media type itself, "?" for something else.
func subtype(contentType, media string) string {
	if contentType == media {
		return ""
	}
	contentType, _, _ = strings.Cut(contentType, ";")
	rest, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(contentType)), media)
	if !ok {
		return "?"
	}
	if rest == "" {
		return ""
	}
	sub, ok := strings.CutPrefix(rest, "+")
	if !ok || sub == "" {
		return "?"
	}
	return sub
}

// Finish implements proxy.Downstream. Where nothing was sent, the status stands
// in the header ("trailers-only").
func (c *grpcCall) Finish(err error, trailer metadata.MD) int {
	httpStatus := http.StatusOK
	switch h := c.x.Header(); {
	case c.refused != 0:
		httpStatus = c.refused
		rpcerror.SetStatus(h, status.Convert(err))
		c.writeHeader(httpStatus)
	case c.begun || c.headed:
		c.beginAnswer()
		transcoder.SetMetadata(h, exchange.TrailerPrefix, trailer)
		setStatusTrailer(h, status.Convert(err))
	default:
		transcoder.SetMetadata(h, "", trailer)
		rpcerror.SetStatus(h, status.Convert(err))
		h["Content-Type"] = c.contentType
		c.writeHeader(httpStatus)
	}
	c.release()
	grpcCalls.Put(c)
	return httpStatus
}
