package proxy

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// failed makes the relay's error of what grpc-go returned on a stream.
func (s *grpcStream) failed(err error) error {
	if err == io.EOF {
		return err
	}
	return s.backend.failed(err, s.spoke || len(s.stream.Trailer()) > 0)
}

// failed makes an error for the client of what grpc-go returned. spoke tells
// whether any metadata of the backend arrived.
func (g *GRPC) failed(err error, spoke bool) error {
	if tooLarge(status.Convert(err), g.limit) {
		return &LargeMessageError{Limit: g.limit}
	}
	return backendError(err, spoke)
}

// tooLarge tells grpc-go's refusal of a message that the backend sent from the
// backend's own refusal of a request, which reads alike: by the limit it names.
func tooLarge(st *status.Status, limit int) bool {
	if st.Code() != codes.ResourceExhausted || !strings.HasPrefix(st.Message(), "grpc: ") {
		return false
	}
	_, max, found := strings.Cut(st.Message(), "larger than max ")
	if _, second, two := strings.Cut(strings.Trim(max, "()"), " vs. "); two {
		max = second
	}
	return found && max == strconv.Itoa(limit)
}

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

// ours are the beginnings of messages that grpc-go writes itself when a
// connection fails. They hold addresses, which must not reach a client
// (SEMANTICS 26).
var ours = []string{
	"connection error: ", "last connection error: ", "last resolver error: ", "name resolver error: ",
	"transport: ", "error reading from server: ", "the connection is draining", "keepalive ping failed",
	"closing transport due to: ", "produced zero addresses", "no children to pick from", "balancer is ",
	"stream terminated by RST_STREAM", "dns: ", "all SubConns are in TransientFailure",
	"error writing to server: ", "malformed ", "unexpected HTTP status code",
}

// backendError tells what the backend said from what grpc-go says about the
// connection, and puts the latter into words without addresses. spoke tells
// whether any metadata of the backend arrived.
func backendError(err error, spoke bool) error {
	st, ok := status.FromError(err)
	if !ok {
		return status.FromContextError(err).Err()
	}
	message := st.Message()
	if st.Code() != codes.Unavailable && st.Code() != codes.Internal && st.Code() != codes.Unknown {
		return err
	}
	local := false
	for _, prefix := range ours {
		if strings.HasPrefix(message, prefix) {
			local = true
			break
		}
	}
	if !local {
		return err
	}
	if spoke {
		return status.Error(st.Code(), "the connection to the backend broke")
	}
	return status.Error(st.Code(), reason(message))
}

// reason says in plain words why a backend cannot be reached.
func reason(message string) string {
	for _, r := range []struct{ part, words string }{
		{"connection refused", "the backend cannot be reached: connection refused"},
		{"no such host", "the backend cannot be reached: its name is not known"},
		{"zero addresses", "the backend cannot be reached: its name has no address"},
		{"no such file", "the backend cannot be reached: its socket does not exist"},
		{"x509", "the backend cannot be reached: its certificate is not accepted"},
		{"tls:", "the backend cannot be reached: TLS failed"},
		{"authentication handshake failed", "the backend cannot be reached: TLS failed"},
		{"timeout", "the backend cannot be reached: no answer in time"},
		{"deadline exceeded", "the backend cannot be reached: no answer in time"},
		{"server preface", "the backend does not speak HTTP/2"},
		{"HTTP status code", "the backend does not speak gRPC here"},
		{"RST_STREAM", "the backend reset the call"},
	} {
		if strings.Contains(message, r.part) {
			return r.words
		}
	}
	return "the backend cannot be reached"
}
