// Package proxy carries a call to a backend and its answer back. It knows
// messages in wire format, metadata and gRPC status; it knows no JSON, no
// routes and no options.
//
//	result := proxy.Relay(ctx, &proxy.Call{Downstream: client, Backend: conn, Method: "/pkg.Service/Method"})
//
// One relay carries all four shapes of RPC. Unary is a stream of one with a
// short way through that starts no goroutine.
package proxy

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Call is one call on its way: both halves and what is done to messages
// between them.
type Call struct {
	// Downstream is the client, already open.
	Downstream Downstream
	// Backend is where the call goes.
	Backend Backend
	// Method is the path, "/package.Service/Method".
	Method string
	// Shape says which sides are streams.
	Shape Shape
	// Header is the metadata for the backend.
	Header Metadata
	// IdleTimeout ends a stream that is silent in both directions for so long;
	// zero means never. Unary calls have no idle time.
	IdleTimeout time.Duration
	// OnRequest is shown each message of the client before it is sent on; an
	// error ends the call. Nil for nothing to do.
	OnRequest func(ctx context.Context, f *Frame) error
	// OnReply is shown the answer of a unary call, with its metadata, and may
	// replace it; an error takes the place of the answer. Nil for nothing to do.
	OnReply func(ctx context.Context, f *Frame) error

	// Known is asked for the answer to a unary call before a message is made of what the client
	// wrote; false where there is none. It sets Received. The error is the call's, as that of
	// a Backend. Nil for nothing to ask.
	Known func(ctx context.Context, s Source) (reply Reply, known bool, err error)

	// Received is the size of a unary call's message in bytes, from OnReply on.
	Received int64

	// request and reply are what OnRequest and OnReply may change: here they take no memory of
	// their own.
	request Frame
	reply   Reply
}

// Result is how a call ended.
type Result struct {
	// Err is nil for status OK, else a gRPC status error.
	Err error
	// Trailer is the backend's trailing metadata.
	Trailer metadata.MD
	// Counts of the messages that crossed, and their bytes in wire format.
	RequestMessages, ResponseMessages int
	RequestBytes, ResponseBytes       int64
	// Tries tells of the attempts that the call took.
	Tries Tries
}

// Relay carries the call through and returns when both halves have ended and
// no goroutine of the call is left. It leaves Finish to the caller.
func Relay(ctx context.Context, c *Call) Result {
	if c.Shape.Unary() {
		return relayUnary(ctx, c)
	}
	return relayStream(ctx, c)
}

func relayUnary(ctx context.Context, c *Call) (r Result) {
	var known bool
	var err error
	if c.Known != nil {
		if known, err = c.recall(ctx); err != nil && !known {
			r.Err = err
			return r
		}
	}
	reply := &c.reply
	if !known {
		request, refused := c.receiveOnly(ctx)
		if refused != nil {
			r.Err = refused
			return r
		}
		c.Received = int64(request.Len())
		*reply, err = c.Backend.Call(ctx, c.Method, c.Header, request)
	}
	r.RequestMessages, r.RequestBytes = 1, c.Received
	r.Trailer, r.Tries = reply.Trailer, reply.Tries
	if len(reply.Header) > 0 {
		c.Downstream.Header(reply.Header)
	}
	if err != nil {
		r.Err = expired(ctx, err)
		return r
	}
	if c.OnReply != nil {
		if err := c.OnReply(ctx, &reply.Message); err != nil {
			reply.Message.Free()
			r.Err = err
			return r
		}
	}
	r.ResponseMessages, r.ResponseBytes = 1, int64(reply.Message.Len())
	r.Err = c.Downstream.Send(reply.Message)
	return r
}

// receiveOnly returns the one message of a client that does not stream.
func (c *Call) receiveOnly(ctx context.Context) (Frame, error) {
	var err error
	c.request, err = c.Downstream.Recv()
	if err == io.EOF {
		return Frame{}, status.Error(codes.Unimplemented, "the request has no message; a unary call takes exactly one")
	}
	if err != nil {
		return Frame{}, err
	}
	if c.OnRequest != nil {
		if err := c.OnRequest(ctx, &c.request); err != nil {
			c.request.Free()
			return Frame{}, err
		}
	}
	return c.request, nil
}

// expired makes DEADLINE_EXCEEDED of whatever was reported once the call's time
// was over (Semantics 32). It does so of a DEADLINE_EXCEEDED too: gRPC's client
// words it by what it saw last, such as a reset of its stream.
func expired(ctx context.Context, err error) error {
	if !timeIsOver(ctx) {
		return err
	}
	return status.Error(codes.DeadlineExceeded, "the call's time is over")
}

// timeIsOver looks at the clock too: gRPC's client does, and reports a deadline
// before the context's timer has run.
func timeIsOver(ctx context.Context) bool {
	if err := ctx.Err(); err != nil {
		return err == context.DeadlineExceeded
	}
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}
