// Package envelope has the edges of gRPC, gRPC-Web and Connect: messages behind a prefix
// of five bytes, and Connect's unary calls without one. It knows nothing of HTTP rules:
// these protocols call a method by its own path.
//
//	client := envelope.GRPC.Open(binding, x)
package envelope
