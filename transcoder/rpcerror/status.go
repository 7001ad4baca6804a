package rpcerror

import (
	"errors"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/problem"
)

// httpStatusOf is google/rpc/code.proto's table, by code (Semantics 25).
var httpStatusOf = [...]int{
	codes.OK:                 http.StatusOK,
	codes.Canceled:           499, // client closed request
	codes.Unknown:            http.StatusInternalServerError,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Aborted:            http.StatusConflict,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Internal:           http.StatusInternalServerError,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.DataLoss:           http.StatusInternalServerError,
	codes.Unauthenticated:    http.StatusUnauthorized,
}

// HTTPStatus returns the HTTP status of a gRPC code; 500 for one that is not in
// the table.
func HTTPStatus(code codes.Code) int {
	if int(code) < len(httpStatusOf) {
		return httpStatusOf[code]
	}
	return http.StatusInternalServerError
}

// StatusError is a gRPC status with an HTTP status that the table would not
// give it, for example 413 for a body that is too large.
type StatusError struct {
	Status *status.Status
	HTTP   int
}

// New builds a StatusError like status.Errorf does.
func New(httpStatus int, code codes.Code, format string, args ...any) *StatusError {
	return &StatusError{Status: status.Newf(code, format, args...), HTTP: httpStatus}
}

// Error implements error.
func (e *StatusError) Error() string { return e.Status.String() }

// GRPCStatus lets the status package see the status.
func (e *StatusError) GRPCStatus() *status.Status { return e.Status }

// HTTPStatus is the status of an HTTP answer.
func (e *StatusError) HTTPStatus() int { return e.HTTP }

// Of splits an error into its gRPC status and HTTP status: the error's
// own where that says more than the table, the method's mapping, or the table's.
func Of(err error, mapping map[codes.Code]int) (*status.Status, int) {
	st := status.Convert(err)
	var own interface{ HTTPStatus() int }
	if errors.As(err, &own) && own.HTTPStatus() != HTTPStatus(st.Code()) {
		return st, own.HTTPStatus()
	}
	if mapped, ok := mapping[st.Code()]; ok {
		return st, mapped
	}
	return st, HTTPStatus(st.Code())
}

// ErrorStatus makes sure that an error does not look like a success, whatever a
// policy maps its code to: Connect's clients tell them apart by the HTTP status
// alone. Then the table's status stands in.
func ErrorStatus(httpStatus int, code codes.Code) int {
	if httpStatus < 300 || httpStatus == http.StatusNotModified {
		return max(HTTPStatus(code), http.StatusBadRequest) // OK is no error's code
	}
	return httpStatus
}

// BadRequest is INVALID_ARGUMENT with HTTP 400.
func BadRequest(format string, args ...any) error {
	return New(http.StatusBadRequest, codes.InvalidArgument, format, args...)
}

// Clip shortens what a client sent before it stands in an error.
func Clip(s string) string { return problem.Clip(s, 64) }
