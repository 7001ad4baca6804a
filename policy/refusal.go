package policy

import (
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// errorDomain is the domain of the gateway's own google.rpc.ErrorInfo.
const errorDomain = "transom"

// refusal makes a gRPC status error with details. A detail that cannot be
// packed is left out: the refusal matters more.
func refusal(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(code, message)
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

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

// retryAfter tells the client when to come back: whole seconds, rounded up, as
// RFC 9110 knows no parts of them. Of two answers the later one holds.
func retryAfter(h http.Header, wait time.Duration) {
	n := ceilSeconds(wait)
	if before, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64); err == nil && before >= n {
		return
	}
	h.Set("Retry-After", strconv.FormatInt(n, 10))
}

func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
