package proxy

import "context"

// Watcher sees each attempt at a backend, as traces do. It is safe for concurrent use.
type Watcher interface {
	// Attempt is told of the n-th attempt of a call, from 1, that is about to be made with
	// the metadata. It returns the metadata to make it with, which it may not change in
	// place, and what to tell of its end, once; nil for nothing. ctx is the call's.
	Attempt(ctx context.Context, n int, header Metadata) (Metadata, func(AttemptEnd))
}

// AttemptEnd is how an attempt ended.
type AttemptEnd struct {
	// Endpoint is an address of the endpoint, "" for an attempt that had none.
	Endpoint string
	// HTTPStatus is that of the answer of a plain HTTP server, 0 for none.
	HTTPStatus int
	// Err is nil for status OK, else a gRPC status error.
	Err error
}
