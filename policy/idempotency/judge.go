package idempotency

import (
	"errors"
	"maps"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/transport"
)

// outcome is what the end of a call is for its key.
type outcome int

const (
	keep    outcome = iota // it is the answer
	release                // the next call under the key is made
	unknown                // see uncertain
)

// judge says what the end of a call is for its key (Traffic 89, 90).
func (p *part) judge(reply *proxy.Reply, err error, refused bool) outcome {
	if err == nil {
		return keep
	}
	var told *transport.ToldError
	if !errors.As(err, &told) {
		first := reply.Tries.Attempts <= 1
		if refused || first && (reply.Tries.Unsent || transport.Unseen(err)) {
			return release
		}
		return p.unknown()
	}
	switch told.GRPCStatus().Code() {
	case codes.Unauthenticated:
		return release
	case codes.Unavailable, codes.ResourceExhausted, codes.Aborted:
		if p.rule.GetStrict() {
			return p.unknown()
		}
		return release
	case codes.Canceled, codes.DeadlineExceeded:
		return p.unknown()
	}
	return keep
}

// unknown is the outcome where nobody knows it.
func (p *part) unknown() outcome {
	if p.rule.GetBackendHonours() {
		return release
	}
	return unknown
}

// recordOf is what is kept of the end of a call.
func (c *call) recordOf(reply *proxy.Reply, err error, o outcome) *keys.Record {
	r := &keys.Record{State: keys.Answered, Fingerprint: c.Fingerprint, Source: c.source, Received: c.received}
	if err != nil {
		r.Status = status.Convert(err).Proto()
	}
	if o == unknown {
		r.State = keys.Uncertain
		return r
	}
	r.Header, r.Trailer = crossing(reply.Header), crossing(reply.Trailer)
	r.Message = append(r.Message, reply.Message.Bytes()...)
	if r.Content() > c.limit {
		return &keys.Record{State: keys.Bodyless, Fingerprint: c.Fingerprint}
	}
	return r
}

// crossing is the metadata that is kept: not what is of one call or one connection.
func crossing(md grpcmetadata.MD) grpcmetadata.MD {
	if len(md) == 0 {
		return nil
	}
	kept := maps.Clone(md)
	maps.DeleteFunc(kept, func(name string, _ []string) bool { return ofOneCall(name) })
	return kept
}

// ofOneCall reports whether a field, by its name in lower case, is of one call.
func ofOneCall(name string) bool { return once[name] || strings.HasPrefix(name, "ratelimit") }

// once are names of metadata that are of one call (Traffic 91).
var once = map[string]bool{
	"set-cookie": true, "date": true, "x-request-id": true, "traceparent": true, "tracestate": true, "retry-after": true,
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true, "transfer-encoding": true, "upgrade": true,
	"x-ratelimit-limit": true, "x-ratelimit-remaining": true, "x-ratelimit-reset": true,
}

// judgeHTTP says what the end of a request is for its key (Traffic 89, 90).
func (p *part) judgeHTTP(result *httpbackend.Result, rec *recorder, refused bool) outcome {
	if result.Err != nil && !rec.gone || rec.status == 0 {
		if refused || result.Refused || !result.Reached {
			return release
		}
		return p.unknown()
	}
	switch rec.status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooEarly:
		return release
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if p.rule.GetStrict() {
			return p.unknown()
		}
		return release
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return p.unknown()
	case http.StatusConflict:
		if p.rule.GetBackendHonours() { // it says so while it works on the key itself
			return release
		}
	}
	return keep
}

// recordOfHTTP is what is kept of the end of a request.
func (c *call) recordOfHTTP(result *httpbackend.Result, rec *recorder, o outcome) *keys.Record {
	r := &keys.Record{State: keys.Answered, Fingerprint: c.Fingerprint, HTTPStatus: rec.status}
	if o == unknown {
		r.State = keys.Uncertain
		err := result.Err
		if err != nil {
			r.HTTPStatus = 0 // by its code, or its own
		} else {
			err = status.Errorf(codes.Unavailable, "the server answered with the status %d", rec.status)
		}
		r.Status = status.Convert(err).Proto()
		var own interface{ HTTPStatus() int }
		if errors.As(err, &own) {
			r.HTTPStatus = own.HTTPStatus()
		}
		return r
	}
	r.Header, r.Trailer, r.Server, r.Message = grpcmetadata.MD(rec.kept), grpcmetadata.MD(rec.trailers()), rec.server, rec.body
	if rec.passes || r.Content() > c.limit {
		return &keys.Record{State: keys.Bodyless, Fingerprint: c.Fingerprint}
	}
	return r
}

// tooLate is the end of a request whose time is over.
func (c *call) tooLate() error {
	return policy.WithHTTPStatus(status.Errorf(codes.DeadlineExceeded, "the server did not answer within %v", c.timeout), http.StatusGatewayTimeout)
}
