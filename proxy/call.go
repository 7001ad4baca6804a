package proxy

import (
	"context"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Downstream is the client's half of a call, whatever protocol the client
// speaks. One goroutine calls Recv, one calls the rest; Finish is called
// exactly once, last, by the goroutine that called Send, and never at the same
// time as Recv.
type Downstream interface {
	// Recv returns the client's next message; the caller owns it. io.EOF is the
	// client's half-close and nothing else. Any other error is a gRPC status
	// error that says what is wrong with what the client sent (it ends the call
	// and reaches the client by Finish), or CANCELED for a client that went away.
	Recv() (Frame, error)
	// Header gives the backend's response metadata. It is called at most once,
	// before the first Send; without it the backend sent trailers only.
	Header(metadata.MD)
	// Send writes one message to the client and takes the frame over. It returns
	// when the client's transport has taken the message: no queue. An error means
	// the client is gone or its answer cannot be written; the call is cancelled.
	Send(Frame) error
	// Finish ends the answer with the call's status and trailing metadata; st is
	// never nil. It frees what the Downstream holds.
	Finish(st *status.Status, trailer metadata.MD)
	// Unblock makes a Recv that is waiting return soon with CANCELED. It may be
	// called from any goroutine, more than once; the answer can still be written.
	Unblock()
}

// Backend is what the relay sees of an upstream. A Backend is safe for
// concurrent use.
type Backend interface {
	// Call sends one message and waits for one. It takes request over; the caller
	// owns the reply's message. The error is a gRPC status error.
	Call(ctx context.Context, method string, header Metadata, request Frame) (Reply, error)
	// Open begins a stream; ctx ends it.
	Open(ctx context.Context, method string, header Metadata, shape Shape) (Stream, error)
}

// Reply is the answer to a unary call. Header and Trailer are set as far as
// they arrived, also beside an error.
type Reply struct {
	Message Frame
	Header  metadata.MD
	Trailer metadata.MD
}

// Stream is the backend's half of a call. One goroutine may send while another
// receives.
type Stream interface {
	// Send takes the frame over. io.EOF means that the backend has ended the call:
	// Recv has the real status.
	Send(Frame) error
	// CloseSend is the client's half-close.
	CloseSend() error
	// Recv returns the next message; io.EOF is the end with status OK, any other
	// error is a gRPC status error.
	Recv() (Frame, error)
	// Header waits for the response metadata.
	Header() (metadata.MD, error)
	// Trailer is valid after Recv returned an error.
	Trailer() metadata.MD
}

// Shape says which sides of an RPC are streams.
type Shape struct {
	ClientStreams bool
	ServerStreams bool
}

// Unary tells whether neither side is a stream.
func (s Shape) Unary() bool { return !s.ClientStreams && !s.ServerStreams }
