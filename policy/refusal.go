package policy

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// ErrorDomain is the domain of the gateway's own google.rpc.ErrorInfo.
const ErrorDomain = "transom"

// Refusal makes a gRPC status error with details. A detail that cannot be
// packed is left out: the refusal matters more.
func Refusal(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(code, message)
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

// ErrStoreAway is what errors.Is finds in the refusals of StoreAway.
var ErrStoreAway = errors.New("a store cannot be reached")

// StoreAway makes a gRPC status error for a call that is refused because a store
// could not be asked; an Observer hears of it.
func StoreAway(message string) error {
	return &storeError{status.New(codes.Unavailable, message)}
}

// storeError is UNAVAILABLE for want of a store.
type storeError struct{ status *status.Status }

// Error words the error as status errors do.
func (e *storeError) Error() string { return e.status.Err().Error() }

// GRPCStatus returns the gRPC status.
func (e *storeError) GRPCStatus() *status.Status { return e.status }

// Is reports whether target is ErrStoreAway.
func (e *storeError) Is(target error) bool { return target == ErrStoreAway }

// WithHTTPStatus gives a gRPC status error an HTTP status of its own, in place
// of the table's. The result has the methods GRPCStatus and HTTPStatus, by
// which status.FromError and proxy.Downstream.Finish find both. A nil err stays
// nil.
func WithHTTPStatus(err error, httpStatus int) error {
	if err == nil {
		return nil
	}
	return &httpError{error: err, status: httpStatus}
}

// httpError is a gRPC status error that knows its HTTP status.
type httpError struct {
	error
	status int
}

// Unwrap returns the status error.
func (e *httpError) Unwrap() error { return e.error }

// GRPCStatus returns the gRPC status.
func (e *httpError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// HTTPStatus returns the status of an HTTP answer.
func (e *httpError) HTTPStatus() int { return e.status }

// RetryAfter tells the client when to come back: whole seconds, rounded up, as
// RFC 9110 knows no parts of them. Of two answers the later one holds.
func RetryAfter(h http.Header, wait time.Duration) {
	n := Seconds(wait)
	if before, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64); err == nil && before >= n {
		return
	}
	h.Set("Retry-After", strconv.FormatInt(n, 10))
}

// Seconds counts the seconds of a time, the last begun one too.
func Seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
