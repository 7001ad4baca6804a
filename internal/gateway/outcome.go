package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
)

// errDraining is the cause of streams that end because the gateway does.
var errDraining = errors.New("the gateway is shutting down")

// ShuttingDown is the error of a stream that ends with the gateway; a WebSocket
// closes with 1012 for it.
type ShuttingDown struct{}

// Error implements error.
func (ShuttingDown) Error() string { return errDraining.Error() }

// GRPCStatus is UNAVAILABLE.
func (ShuttingDown) GRPCStatus() *status.Status {
	return status.New(codes.Unavailable, errDraining.Error())
}

// WebSocketClose is "service restart" of the WebSocket close code registry.
func (ShuttingDown) WebSocketClose() int { return 1012 }

// RetryAfter asks an EventSource to come back soon, and the clients of one gateway not
// all at once with those of the next.
func (ShuttingDown) RetryAfter() time.Duration { return time.Second }

// refusedMessage is a policy's no to one of the client's messages; a WebSocket
// closes with 1008 for it.
type refusedMessage struct{ error }

// Unwrap gives the policy's error, which may know its HTTP status.
func (e refusedMessage) Unwrap() error { return e.error }

// GRPCStatus is the policy's.
func (e refusedMessage) GRPCStatus() *status.Status { return status.Convert(e.error) }

// WebSocketClose is "policy violation" of the WebSocket close code registry.
func (refusedMessage) WebSocketClose() int { return 1008 }

// ended puts the gateway's own reason in place of the cancellation it caused.
func (g *Gateway) ended(ctx context.Context, err error) error {
	if err == nil || status.Code(err) != codes.Canceled {
		return err
	}
	switch cause := context.Cause(ctx); cause {
	case errDraining:
		return ShuttingDown{}
	case policy.ErrExpired:
		return cause
	default:
		// What the edge knows better: the client broke the protocol's rules.
		if st, ok := status.FromError(cause); ok && st.Code() != codes.OK && st.Code() != codes.Canceled {
			return cause
		}
	}
	return err
}

// answered is the status of an answer that is about to end with err; 0 where that is not known.
func (c *call) answered(err error) int {
	if a := c.request.Answer; a != nil {
		return a.Status(err)
	}
	return 0
}

// record fills in how the call ended.
func (c *call) record(err error, httpStatus int, r *proxy.Result) {
	c.outcome = policy.Outcome{
		HTTPStatus:       httpStatus,
		RequestMessages:  r.RequestMessages,
		ResponseMessages: r.ResponseMessages,
		RequestBytes:     r.RequestBytes,
		ResponseBytes:    r.ResponseBytes,
	}
	c.outcome.Attempts, c.outcome.Hedged, c.outcome.RetryDenied = r.Tries.Attempts, r.Tries.Hedged, r.Tries.Denied
	c.outcome.Endpoint = r.Tries.Endpoint
	c.outcome.RequestBody, c.outcome.ResponseBody = c.size.sizes()
	if err != nil && httpStatus != http.StatusNotModified { // which a handler's error is where it says so (Traffic 122)
		st := status.Convert(err)
		c.outcome.Code, c.outcome.Message = st.Code(), st.Message()
		c.outcome.Own = !proxy.FromBackend(err)
		if c.outcome.Own && c.outcome.Message == context.Canceled.Error() {
			c.outcome.Message = clientGone
		}
		c.outcome.Cause = causeOf(err, httpStatus)
	}
}

// causeOf is what happened, for the operator, where a server is at fault.
func causeOf(err error, httpStatus int) string {
	var told interface{ Cause() error }
	if httpStatus < http.StatusInternalServerError && httpStatus != proxy.Aborted || !errors.As(err, &told) || told.Cause() == nil {
		return ""
	}
	return told.Cause().Error()
}

// clientGone is what the log says of a call that ended because its client went away, or
// ended its stream: nobody else is told.
const clientGone = "the client went away"

// askToWait tells the client when to come again, as the backend asked: gRPC's by the
// trailer, others by the header (Traffic 72).
func (c *call) askToWait(wait time.Duration, header http.Header, r *proxy.Result) {
	seconds := strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
	if !c.match.protocol.RPC {
		header["Retry-After"] = []string{seconds}
		return
	}
	trailer := r.Trailer.Copy()
	if trailer == nil {
		trailer = metadata.MD{}
	}
	trailer["retry-after"] = []string{seconds}
	r.Trailer = trailer
}

// notFound, and its like, refuse requests that no route takes.
func httpError(httpStatus int, code codes.Code, message string) error {
	return policy.WithHTTPStatus(status.Error(code, message), httpStatus)
}

var errBadEscape = httpError(http.StatusBadRequest, codes.InvalidArgument,
	"the path holds a % that is not followed by two hexadecimal digits")
