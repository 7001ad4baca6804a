// Package transport is the client's half of gRPC over one HTTP/2 connection:
// frames, header compression and flow control of RFC 9113 and 7541, the framing
// and status of gRPC over HTTP/2. It carries messages in wire format and decodes
// none. It knows no names, no addresses and no other connection: package proxy
// picks and dials.
//
//	conn, err := transport.New(ctx, tcp, transport.Options{Authority: "books:9000"})
//	reply, err := conn.Call(ctx, &transport.Request{Method: "/pkg.Service/Method", Message: frame, Limit: 1 << 20})
//
// It exists beside grpc-go because a unary call through it costs a third: the
// caller's goroutine writes its request itself, in one go with those of others
// that wait, and is woken once, when the whole answer is there.
package transport

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Options are what a connection needs to know of its owner.
type Options struct {
	// Scheme is "http" or "https", for the server's eyes only. Default: http.
	Scheme string
	// Authority is what :authority says.
	Authority string
	// UserAgent is what user-agent says.
	UserAgent string
	// Pool lends the buffers of received messages. Required.
	Pool mem.BufferPool
	// Keepalive pings a connection that has calls and was silent for so long, and
	// closes it where no answer comes within ten seconds. Zero: never.
	Keepalive time.Duration
	// Loads are counters of the streams of several connections, to which those of this one
	// are added.
	Loads []*atomic.Int64
	// Busy is called when the streams have come to 80 % of what the server allows at once.
	// It must not wait, nor use the connection. Nil: nobody asks.
	Busy func()
	// Room is called where the server takes one call more, and reports whether
	// somebody has waited for it: then a stream is kept for a call with
	// Request.Reserved, or until Return. It must not wait, nor use the connection.
	// Nil: nobody waits.
	Room func(*Conn) bool
}

// Request is what a call begins with.
type Request struct {
	// Method is the path, "/package.Service/Method".
	Method string
	// Header is the metadata: pairs of a lower-case name and a value, "-bin" values
	// as raw bytes. Names that HTTP/2 or gRPC own are left out.
	Header []string
	// Limit bounds one received message, in bytes.
	Limit int
	// Reserved is set where the connection keeps a stream for the call (Options.Room).
	Reserved bool
	// Aside is set for a call of the gateway's own that Options.Loads do not count.
	Aside bool
	// Message is the only message of a unary call. It stays the caller's.
	Message mem.BufferSlice
}

// Reply is the answer to a unary call. Header and Trailer are set as far as they
// arrived, also beside an error.
type Reply struct {
	Message         mem.BufferSlice
	Header, Trailer metadata.MD
}

// Errors of calls that the server has certainly not looked at, so that they can
// go to another connection.
var (
	// ErrUnprocessed is wrapped where the server says so.
	ErrUnprocessed = errors.New("the server has not looked at the call")
	// ErrUnsent is wrapped where the call was not even sent.
	ErrUnsent = errors.New("the call was not sent")
	// ErrFull is returned where the connection has all the streams that the server
	// allows (SETTINGS_MAX_CONCURRENT_STREAMS). Nothing was sent. It is no status.
	ErrFull = errors.New("the connection is full")
)

// Errors of calls that say whose fault they are.
var (
	// ErrReset is wrapped where the server has reset the call.
	ErrReset = errors.New("the server has reset the call")
	// ErrRequest is wrapped where the request cannot be sent, whatever the server.
	ErrRequest = errors.New("the request cannot be sent")
)

// Unseen reports whether no server has looked at a call that ended with an error.
func Unseen(err error) bool {
	return errors.Is(err, ErrUnsent) || errors.Is(err, ErrUnprocessed) || errors.Is(err, ErrRequest)
}

// statusOf is a status that wraps an error which says whose fault it is.
type statusOf struct {
	error
	kind error
}

func (s *statusOf) Unwrap() []error { return []error{s.error, s.kind} }

// GRPCStatus lets the status package see the status.
func (s *statusOf) GRPCStatus() *status.Status { return status.Convert(s.error) }

// The end of a unary call whose backend does not send exactly one message: the
// code is the one that gRPC's status codes document gives (doc/statuscodes.md).
var (
	ErrNoAnswer    = status.Error(codes.Unimplemented, "the backend ended the call without an answer")
	ErrManyAnswers = status.Error(codes.Unimplemented, "the backend sent more than one answer")
)

// ErrPreface is wrapped by the error of New where the server's first bytes are
// not those of HTTP/2.
var ErrPreface = errors.New("reading the server's preface")

// notSeen is an error of a call that the server has not looked at.
type notSeen struct {
	reason string
	kind   error // ErrUnprocessed or ErrUnsent
}

func (n *notSeen) Error() string { return n.reason }
func (n *notSeen) Unwrap() error { return n.kind }

// GRPCStatus lets the status package see the status.
func (n *notSeen) GRPCStatus() *status.Status { return status.New(codes.Unavailable, n.reason) }

// ToldError is the status that the server itself gave a call. All other errors are this
// side's own words for what happened.
type ToldError struct{ told *status.Status }

// Told returns the status that a server gave a call to another client than Conn.
func Told(s *status.Status) *ToldError { return &ToldError{s} }

// Error implements error.
func (e *ToldError) Error() string { return e.told.Err().Error() }

// GRPCStatus lets the status package see the status.
func (e *ToldError) GRPCStatus() *status.Status { return e.told }

// TooLargeError says that the server sent a message above the limit.
type TooLargeError struct{ Size, Limit uint32 }

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the message has %d bytes, the limit is %d", e.Size, e.Limit)
}

// GRPCStatus lets the status package see the status.
func (e *TooLargeError) GRPCStatus() *status.Status {
	return status.New(codes.ResourceExhausted, e.Error())
}
