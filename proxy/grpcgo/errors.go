package grpcgo

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// seen is how far a call came, which grpc-go's errors do not tell.
type seen struct {
	sent  atomic.Bool // its header was
	ended atomic.Bool // the server has sent a status
}

type seenKey struct{}

// observer notes in each call's seen what happens to it.
type observer struct{}

var _ stats.Handler = observer{}

// HandleRPC implements stats.Handler.
func (observer) HandleRPC(ctx context.Context, event stats.RPCStats) {
	call, ok := ctx.Value(seenKey{}).(*seen)
	if !ok {
		return
	}
	switch event.(type) {
	case *stats.OutHeader:
		call.sent.Store(true)
	case *stats.InTrailer:
		call.ended.Store(true)
	}
}

// TagRPC, TagConn and HandleConn implement stats.Handler; there is nothing to note.
func (observer) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (observer) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (observer) HandleConn(context.Context, stats.ConnStats)                       {}

// failed makes the relay's error of one of grpc-go's. What the server told stays as it
// is; for all else there are words of our own, as grpc-go's hold addresses and what
// servers that speak no gRPC say (Semantics 26).
func (s *stream) failed(err error) error {
	told, _ := status.FromError(err)
	switch {
	case s.tooLarge(told):
		return &proxy.LargeMessageError{Limit: s.backend.limit}
	case s.ctx.Err() != nil:
		return status.FromContextError(s.ctx.Err()).Err()
	case s.request.ended.Load() && !ofTheClient(told):
		return transport.Told(told)
	}
	return status.Error(told.Code(), s.words(told))
}

// tooLarge reports whether a message of the server was above the limit. Servers of
// grpc-go word it alike where a request is too large for them; their limit is another.
func (s *stream) tooLarge(told *status.Status) bool {
	return told.Code() == codes.ResourceExhausted &&
		strings.HasPrefix(told.Message(), "grpc: received message larger than max (") &&
		strings.HasSuffix(told.Message(), fmt.Sprintf(" vs. %d)", s.backend.limit))
}

// ofTheClient reports whether a status is grpc-go's own word for an answer that it
// cannot read, whatever status the server gave it.
func ofTheClient(told *status.Status) bool {
	if told.Code() != codes.Internal {
		return false
	}
	for _, beginning := range []string{
		"unexpected EOF", "grpc: Decompressor is not installed", "grpc: received unexpected payload format",
		"grpc: compressed flag set", "transport: malformed",
	} {
		if strings.HasPrefix(told.Message(), beginning) {
			return true
		}
	}
	return false
}

const notGRPC = "the backend does not speak gRPC here"

// words says what went wrong, without grpc-go's details.
func (s *stream) words(told *status.Status) string {
	text := told.Message()
	switch {
	case strings.Contains(text, "HTTP status code received from server"), strings.Contains(text, "HTTP content-type"):
		return notGRPC
	case told.Code() == codes.Unavailable && s.request.sent.Load():
		return "the connection to the backend broke"
	case told.Code() == codes.Unavailable:
		return upstream.Reason(s.backend.conn.why())
	case told.Code() == codes.DeadlineExceeded:
		return "the call's time is over"
	case !s.request.sent.Load():
		return text // of the request; nothing of a server is in it
	case strings.Contains(text, "RST_STREAM"):
		return "the backend reset the call"
	}
	return "the backend breaks the rules of gRPC or HTTP/2"
}
