package proxy

import (
	"errors"

	"google.golang.org/grpc/status"
)

// RefusedBy is a refusal, a gRPC status error, that something between the relay and the
// backend gives a call. by is its name, for logs and metrics.
func RefusedBy(by string, err error) error { return &refusedError{err, by} }

// RefuserOf is the name of whose RefusedBy an error is; "" for others.
func RefuserOf(err error) string {
	if err == nil {
		return "" // without memory for what follows
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		return refused.by
	}
	return ""
}

// refusedError is a gRPC status error that knows whose it is.
type refusedError struct {
	error
	by string
}

// Unwrap returns the status error.
func (e *refusedError) Unwrap() error { return e.error }

// GRPCStatus returns the gRPC status.
func (e *refusedError) GRPCStatus() *status.Status { return status.Convert(e.error) }
