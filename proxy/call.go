package proxy

import (
	"context"

	"google.golang.org/grpc/metadata"
)

// Downstream is the client's half of a call, whatever protocol the client
// speaks. One goroutine calls Recv, another may call the rest; Finish is called
// exactly once, last, when no Recv is under way.
type Downstream interface {
	// Open begins the exchange once the call is admitted: it upgrades a
	// WebSocket and may derive a context that ends when the client goes away.
	// It is not called for a call that is refused. The error is a gRPC status
	// error.
	Open(ctx context.Context) (context.Context, error)
	// Recv returns the client's next message; the caller owns it. io.EOF is the
	// client's half-close and nothing else. Any other error is a gRPC status
	// error that says what is wrong with what the client sent (it ends the call
	// and reaches the client by Finish), or CANCELED for a client that went away.
	Recv() (Frame, error)
	// Header gives the backend's response metadata. It is called at most once,
	// before the first Send; without it the backend sent trailers only.
	Header(header metadata.MD)
	// Send writes one message to the client and takes the frame over. It returns
	// when the client's transport has taken the message: no queue. The error is a
	// gRPC status error: the client is gone, or its answer cannot be written.
	Send(f Frame) error
	// Flush is called after Send when no further message is waiting.
	Flush()
	// Unblock makes a Recv that is waiting return soon with CANCELED. It may be
	// called from any goroutine, more than once; the answer can still be written.
	Unblock()
	// Finish ends the answer. A nil err is status OK; else it is a gRPC status
	// error, and where it has a method HTTPStatus() int, that is the status of an
	// HTTP answer in place of the table's. Finish before Open answers a refusal.
	// It frees what the Downstream holds, which must not be used afterwards.
	// It returns the status that stood in the status line, 0 if none did, or
	// Aborted.
	Finish(err error, trailer metadata.MD) (httpStatus int)
}

// Answer is what a Downstream may know of its answer before it has finished it.
type Answer interface {
	// Status is the HTTP status of the answer if it ends with err: that which stands in the
	// status line already, or would by what is known now; 0 if none does.
	Status(err error) int
	// Whole reports whether nothing of the answer leaves before Finish.
	Whole() bool
}

// Aborted is what Finish returns where the answer can only be broken off: the
// caller panics with http.ErrAbortHandler once it has recorded the call.
const Aborted = -1

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
	Tries   Tries
	// Substitute tells that another upstream than the method's own has answered.
	Substitute bool
}

// Tries tells of the attempts that a call took. The zero Tries is that of a Backend
// that makes none but the first.
type Tries struct {
	// Attempts is how often the call was made, and Hedged how many of these times beside
	// an attempt that was under way.
	Attempts, Hedged int
	// Unsent tells that no server can have looked at the call.
	Unsent bool
	// Denied is why there was not one more, where the policy has one: "budget",
	// "pushback", "deadline", "buffer", "circuit"; else it is empty.
	Denied string
	// Endpoint is an address of the server that the answer is of, or that the last attempt
	// went to; "" where none was found, or where the Backend does not know.
	Endpoint string
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

// triedStream is a Stream that counts its attempts.
type triedStream interface{ Tries() Tries }

// Shape says which sides of an RPC are streams.
type Shape struct {
	ClientStreams bool
	ServerStreams bool
}

// Unary reports whether neither side is a stream.
func (s Shape) Unary() bool { return !s.ClientStreams && !s.ServerStreams }
