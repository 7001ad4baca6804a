package observe

import (
	"log/slog"
	"math"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
)

// Bounds of what a client says of itself, in bytes: a line of the log must not
// grow as a request does.
const (
	maxLoggedPath  = 2048
	maxLoggedAgent = 256
)

// log writes the call's line. The query is left out whole, for it may hold
// tokens; what would break a line is quoted.
func (c *call) log(took time.Duration, o *policy.Outcome) {
	level := lineLevel(o)
	if !c.route.access.enabled(level) {
		return
	}
	r := c.request
	var buf [28]slog.Attr
	attrs := append(buf[:0],
		slog.String("request_id", r.RequestID),
		slog.String("client_ip", clientIP(r)),
		slog.String("method", problem.Clip(r.HTTP.Method, maxLoggedAgent)),
		slog.String("path", c.route.path(r)),
		slog.String("protocol", r.Protocol),
		slog.String("http_version", httpVersion(r.HTTP)),
		slog.String("code", codeName(o.Code)),
		slog.Int("status", o.HTTPStatus),
		slog.Float64("duration_ms", math.Round(float64(took)/1e3)/1e3),
		slog.Int64("request_bytes", o.RequestBytes),
		slog.Int64("response_bytes", o.ResponseBytes),
		slog.Int64("request_body_bytes", o.RequestBody),
		slog.Int64("response_body_bytes", o.ResponseBody),
		slog.Int("request_messages", o.RequestMessages),
		slog.Int("response_messages", o.ResponseMessages),
	)
	if id := c.traceID(); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	if r.Identity != nil {
		attrs = append(attrs, slog.String("principal", problem.Clip(r.Identity.Principal, maxLoggedAgent)))
	}
	if r.RefusedBy != "" {
		attrs = append(attrs, slog.String("refused_by", r.RefusedBy))
	}
	if o.Own && o.Message != "" {
		attrs = append(attrs, slog.String("reason", problem.Clip(o.Message, maxLoggedAgent)))
	}
	if o.Cause != "" {
		attrs = append(attrs, slog.String("cause", problem.Clip(o.Cause, maxLoggedAgent)))
	}
	attrs = appendWay(attrs, r, o)
	if r.Operator != "" {
		attrs = append(attrs, slog.String("x_transom_console", problem.Clip(r.Operator, maxLoggedAgent)))
	}
	if agent := r.HTTP.Header["User-Agent"]; len(agent) > 0 {
		attrs = append(attrs, slog.String("user_agent", problem.Clip(agent[0], maxLoggedAgent)))
	}
	c.route.access.write(c.start.Add(took), level, attrs)
}

// appendWay adds where the call went, and how often.
func appendWay(attrs []slog.Attr, r *policy.Request, o *policy.Outcome) []slog.Attr {
	if o.Endpoint != "" {
		attrs = append(attrs, slog.String("endpoint", o.Endpoint))
	}
	if r.Branch != "" {
		attrs = append(attrs, slog.String("branch", r.Branch))
	}
	if r.BranchMeant != "" {
		attrs = append(attrs, slog.String("branch_not_ready", r.BranchMeant))
	}
	if r.Replayed {
		attrs = append(attrs, slog.Bool("replayed", true))
	}
	if r.KeyPassed {
		attrs = append(attrs, slog.Bool("key_passed", true))
	}
	if r.Cache.Result != "" {
		attrs = append(attrs, slog.String("cache", r.Cache.Result))
	}
	if o.Attempts > 1 {
		attrs = append(attrs, slog.Int("attempts", o.Attempts))
	}
	if o.Hedged > 0 {
		attrs = append(attrs, slog.Int("hedged", o.Hedged))
	}
	if o.RetryDenied != "" {
		attrs = append(attrs, slog.String("retry_denied", o.RetryDenied))
	}
	return attrs
}

// httpVersion is the version of HTTP that a request came by.
func httpVersion(r *http.Request) string {
	switch {
	case r.ProtoMajor == 3:
		return "3"
	case r.ProtoMajor == 2:
		return "2"
	case r.ProtoMinor == 0:
		return "1.0"
	}
	return "1.1"
}

// clientIP is empty for a client that has none, as on a unix socket.
func clientIP(r *policy.Request) string {
	if !r.ClientIP.IsValid() {
		return ""
	}
	return r.ClientIP.String()
}

// traceID is the trace that the call belongs to, "" for none.
func (c *call) traceID() string {
	if c.span != nil {
		return c.span.SpanContext().TraceID().String()
	}
	return TraceID(c.request.HTTP.Header)
}

// lineLevel lets "level: WARN" leave only the calls that the gateway or the
// backend failed.
func lineLevel(o *policy.Outcome) slog.Level {
	refused := o.HTTPStatus >= 400 && o.HTTPStatus < 500
	if serverFault(o.Code) && !refused {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// serverFault tells the codes that are not the client's doing.
func serverFault(code codes.Code) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return code > codes.Unauthenticated
}

// codeName spells codes as gRPC does, and those above 16 as numbers.
func codeName(code codes.Code) string {
	if code < numCodes-1 {
		return codeNames[code]
	}
	return code.String() // "Code(5002)"
}
