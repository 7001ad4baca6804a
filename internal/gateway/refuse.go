package gateway

import (
	"net/http"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/protocols"
)

// Refuse answers a request whose head was bad, as any other that no route takes: in
// the form of its protocol, counted and logged. r is what could be read of it. w must
// keep to httpStatus, where the protocol of itself would say 200.
func (g *Gateway) Refuse(w http.ResponseWriter, r *http.Request, httpStatus int, message string) {
	snapshot := g.acquire()
	if snapshot == nil {
		g.answerWithout(w, r, httpStatus, message)
		return
	}
	defer snapshot.release()
	c, ok := calls.Get().(*call)
	if !ok {
		return // the pool holds nothing else
	}
	defer c.recycle()
	c.begin(snapshot, w, r)
	c.match.protocol = protocols.Table.OfHeader(r.Header)
	c.request.Route = snapshot.near(r, nil)
	_ = c.observe() // observers refuse nothing
	err := httpError(httpStatus, refusalCode(httpStatus), message)
	snapshot.errors.Write(c.w, r, c.match.protocol, err)
	c.record(err, httpStatus, &proxy.Result{})
	snapshot.unmatched.Done(&c.request, &c.outcome)
}

// observe begins to record a request that no route takes.
func (c *call) observe() (refused error) {
	q := &c.request
	q.HTTP, q.ResponseHeader, q.Protocol = c.r, c.w.Header(), c.match.protocol.String()
	c.findOrigin()
	c.identify()
	_, refused = c.snapshot.unmatched.Admit(c.r.Context(), q)
	return refused
}

// answerWithout refuses a request in the form of its protocol while there is no
// snapshot yet.
func (g *Gateway) answerWithout(w http.ResponseWriter, r *http.Request, httpStatus int, message string) {
	w.Header()["X-Request-Id"] = []string{observe.RequestID(r.Header)}
	code := refusalCode(httpStatus)
	if httpStatus == http.StatusServiceUnavailable {
		code = codes.Unavailable
	}
	g.errors.Write(w, r, protocols.Table.OfHeader(r.Header), httpError(httpStatus, code, message))
}

// refusalCode is the code of a bad head.
func refusalCode(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusRequestHeaderFieldsTooLarge:
		return codes.ResourceExhausted
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return codes.Unimplemented
	}
	return codes.InvalidArgument
}
