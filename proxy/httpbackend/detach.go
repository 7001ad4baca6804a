package httpbackend

import (
	"context"
	"net/http"
)

// Way is where the requests of a client go: an upstream, and what stands before it.
type Way interface {
	// Forward carries the client's request to a server and its answer back, as
	// Upstream.Forward does; it may have been detached.
	Forward(ctx context.Context, x *Exchange) Result
	// Detach makes of a request without a body one that may outlive the client's, as
	// Upstream.Detach does.
	Detach(x *Exchange) *Exchange
}

var _ Way = (*Upstream)(nil)

// Detach makes of an exchange without a body, still without a place for its answer, one that
// shares nothing with the client's that changes: its header is what the client's would be now,
// without the conditions that the client has. It is nil where the request would be refused.
// Once W is set it is for Forward, of this upstream or another one.
func (u *Upstream) Detach(x *Exchange) *Exchange {
	e := &exchange{Exchange: x, u: u}
	if e.refusal() != nil {
		return nil
	}
	r := &http.Request{
		Method: x.R.Method, URL: x.R.URL, Host: x.R.Host, RemoteAddr: x.R.RemoteAddr,
		Proto: x.R.Proto, ProtoMajor: x.R.ProtoMajor, ProtoMinor: x.R.ProtoMinor,
		Header: e.endToEnd(), Body: http.NoBody,
	}
	for _, name := range [...]string{"If-None-Match", "If-Modified-Since"} {
		delete(r.Header, name)
	}
	for name, values := range r.Header {
		r.Header[name] = values[:len(values):len(values)]
	}
	own := *x
	own.W, own.R, own.Header, own.Answer, own.detached = nil, r, nil, nil, true
	own.Upgrades, own.MaxBody = nil, 0
	return &own
}
