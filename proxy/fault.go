package proxy

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/transport"
)

// LargeMessageError says that the backend sent a message that is larger than the
// limit: the backend's fault, not the client's, so 502 over HTTP.
type LargeMessageError struct {
	// Limit is how many bytes a message of the backend may have.
	Limit int
}

// Error implements error.
func (e *LargeMessageError) Error() string {
	return fmt.Sprintf("the backend's answer is larger than %d bytes (limits.max_response_bytes)", e.Limit)
}

// GRPCStatus lets the status package see the status.
func (e *LargeMessageError) GRPCStatus() *status.Status {
	return status.New(codes.ResourceExhausted, e.Error())
}

// HTTPStatus is the status of an HTTP answer.
func (e *LargeMessageError) HTTPStatus() int { return 502 } // Bad Gateway

// ErrClientTime is the cause of a context whose deadline is the client's own, and not one
// of the gateway's: that it is over says nothing of the backend.
var ErrClientTime = errors.New("the time that the client gave the call is over")

// FromBackend reports whether a call's error is the status that the backend itself gave
// it, and not the gateway's word for what went wrong on the way.
func FromBackend(err error) bool {
	var told *transport.ToldError
	return errors.As(err, &told)
}

// NotModified reports whether a call's error is a handler's word that its client has the answer
// already, as connect-go's handlers say it to a request with If-None-Match: no failure.
func NotModified(err error) bool {
	if !FromBackend(err) {
		return false
	}
	st := status.Convert(err)
	return st.Code() == codes.Unknown && st.Message() == "not modified"
}

// What a unary answer must not be, whatever the transport.
var (
	errNoAnswer    = transport.ErrNoAnswer
	errManyAnswers = transport.ErrManyAnswers
)
