package httpbackend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/upstream"
)

// Error is why an exchange failed: a gRPC status with an HTTP status of its own. Its text
// is for clients and names no address.
type Error struct {
	code codes.Code
	http int
	text string
	// cause is what happened, for the operator; nil where the text says all.
	cause error
	// faulty says that the server is at fault.
	faulty bool
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus lets the status package see the status.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.code, e.text) }

// HTTPStatus is the status of an HTTP answer.
func (e *Error) HTTPStatus() int { return e.http }

// Cause is what happened, for the operator; nil where the error's text says all.
func (e *Error) Cause() error { return e.cause }

const cannot = "the server cannot be used"

// badGateway is a server that did not answer as it has to.
func badGateway(text string, cause error) *Error {
	return &Error{code: codes.Unavailable, http: http.StatusBadGateway, text: text, cause: cause, faulty: true}
}

func late(text string, cause error) *Error {
	return &Error{code: codes.DeadlineExceeded, http: http.StatusGatewayTimeout, text: text, cause: cause, faulty: true}
}

func errLateConnect(after time.Duration, cause error) error {
	return late(fmt.Sprintf("the server took no connection within %v (timeouts.connect)", after), cause)
}

func errLateHeader(after time.Duration) *Error {
	return late(fmt.Sprintf("the server did not begin to answer within %v (timeouts.response_header)", after), nil)
}

// errLateIdle names the setting that was too short: the upstream's, or the route's.
func errLateIdle(after time.Duration, setting string) *Error {
	e := late(fmt.Sprintf("nothing moved for %v (%s)", after, setting), nil)
	e.faulty = false // it may be the client that did not send, or read
	return e
}

var (
	// errTarget is the refusal of a target that cannot be sent as it stands.
	errTarget = &Error{code: codes.InvalidArgument, http: http.StatusBadRequest, text: "the path cannot be sent to a server as it is: it begins with // and has characters that must be escaped"}
	// errLoop is the refusal of a request that was here before.
	errLoop = &Error{code: codes.FailedPrecondition, http: http.StatusLoopDetected, text: "the request came through this gateway before (Via): the upstream leads back to it"}
	// errInformed is the fault of a server that does not come to its answer.
	errInformed = badGateway("the server sends informational answers without end", nil)
	// errAnswerHeader is the fault of a server whose header has no end.
	errAnswerHeader = badGateway("the header of the server's answer is too large", nil)
	// errOver ends the reading of a body that nobody wants any more.
	errOver = errors.New("httpbackend: the exchange is over")
	// errUpgrade is the fault of a server that changes to a protocol nobody asked for.
	errUpgrade = badGateway("the server changed to a protocol that the client did not ask for", nil)
)

// errStatus is the fault of a server whose answer has a status that is none.
func errStatus(status int) error {
	return badGateway(fmt.Sprintf("the server's answer has the status %03d; expected one of three digits from 200", status), nil)
}

// tooLarge is the refusal of a body.
func tooLarge(limit int64) error {
	return &Error{code: codes.ResourceExhausted, http: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body is larger than %d bytes (limits.max_body_bytes)", limit)}
}

// refusal says why a request is not sent at all.
func (e *exchange) refusal() error {
	if limit := e.MaxBody; limit > 0 && e.R.ContentLength > limit {
		return tooLarge(limit)
	}
	if lines := e.R.Header["Via"]; lines != nil && !e.detached && e.u.via.passed(lines) {
		return errLoop
	}
	return nil
}

// clientError is why a client's body cannot be read.
func clientError(err error) error {
	bad := func(text string) error {
		return &Error{code: codes.InvalidArgument, http: http.StatusBadRequest, text: text, cause: err}
	}
	var bytes *http.MaxBytesError
	switch text := err.Error(); {
	case errors.As(err, &bytes):
		return tooLarge(bytes.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{code: codes.DeadlineExceeded, http: http.StatusGatewayTimeout, text: "the body did not arrive in time", cause: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return bad("the body ended before it was complete")
	case strings.Contains(text, "Content-Length"), strings.Contains(text, "chunk"), strings.Contains(text, "trailer"), errors.Is(err, http.ErrLineTooLong):
		return bad("the body is not framed as HTTP wants: not as long as its Content-Length, or chunked wrongly")
	}
	return &Error{code: codes.Canceled, http: 499, text: "the client went away while its body was read", cause: err}
}

// clientGone is why an answer cannot be written.
func (e *exchange) clientGone(err error) error {
	if late := e.late.Load(); late != nil {
		return late
	}
	return &Error{code: codes.Canceled, http: 499, text: "the client went away while its answer was written", cause: err}
}

// explain says what an error of the Transport means.
func (e *exchange) explain(err error) error {
	if failed := e.body.err(); failed != nil {
		return failed
	}
	if late := e.late.Load(); late != nil {
		return late
	}
	// To break off the reading of the body ends the context of net/http's server, too, as if
	// the client had gone.
	if why := e.ctx.Err(); why != nil && (why != context.Canceled || !e.body.broken.Load()) {
		return status.FromContextError(why).Err()
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if _, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return err
	}
	return e.explainServer(err)
}

// explainServer says what the server did wrong.
func (e *exchange) explainServer(err error) error {
	var dialed *dialError
	var record tls.RecordHeaderError
	switch text := err.Error(); {
	case errors.As(err, &dialed):
		return badGateway(strings.Replace(upstream.Reason(dialed.error), "the backend", "the server", 1), err)
	case strings.Contains(text, "server response headers exceeded"), strings.Contains(text, "response header list larger"):
		return badGateway("the header of the server's answer is too large", err)
	case errors.As(err, &record):
		return badGateway(cannot+": TLS failed", err)
	case strings.Contains(text, "malformed"), strings.Contains(text, "invalid"), strings.Contains(text, "bad "), strings.Contains(text, "too many"), strings.Contains(text, "unsupported"):
		return badGateway("the server's answer is no HTTP", err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(text, "with Body length"):
		return badGateway("the server ended the connection before its answer was complete", err)
	}
	return badGateway("the connection to the server broke", err)
}
