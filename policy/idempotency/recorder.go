package idempotency

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// writeTime is how long the client may take to read an answer that is complete, and one
// second more for each 64 KiB.
const writeTime = 30 * time.Second

// answer is one by HTTP.
type answer struct {
	status        int
	head, trailer http.Header
	body          []byte
}

// write writes it to the client of an exchange, whose header has the answer's fields
// already.
func (a *answer) write(x *httpbackend.Exchange) error {
	h := x.W.Header()
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		a.body = nil // it has none, whatever the store says
	case len(a.trailer) == 0:
		delete(h, "Transfer-Encoding")
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	case x.R.ProtoMajor == 1:
		h["Transfer-Encoding"] = []string{"chunked"} // or net/http would leave the trailer out
	}
	control := http.NewResponseController(x.W)
	if control.SetWriteDeadline(time.Now().Add(writeTime+time.Duration(len(a.body)>>16)*time.Second)) == nil {
		defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // it was set before
	}
	x.W.WriteHeader(a.status)
	if len(a.body) > 0 {
		if _, err := x.W.Write(a.body); err != nil {
			return policy.WithHTTPStatus(status.Error(codes.Canceled, "the client went away while its answer was written"), 499)
		}
	}
	for name, values := range a.trailer {
		h[http.TrailerPrefix+name] = values
	}
	return nil
}

// recorder is where the server's answer to a first request is written. What can be kept is
// written to the client when it is complete: whether the client reads it, and how fast, does
// not matter to the key then. A larger one, and a stream of events, pass as they come.
type recorder struct {
	x     *httpbackend.Exchange // its W is the recorder
	w     http.ResponseWriter   // the client's
	limit int
	// passing is called when the answer begins to pass as it comes.
	passing func()

	h      http.Header // what Forward sees as the client's
	kept   http.Header // the server's own, of the final answer
	server string
	answer
	passes bool
	gone   bool // a write to the client failed
}

// newRecorder takes the place of an exchange's client.
func newRecorder(x *httpbackend.Exchange, limit int, passing func()) *recorder {
	r := &recorder{x: x, w: x.W, limit: limit, passing: passing, h: http.Header{}}
	change := x.Answer
	x.W = r
	x.Answer = func(status int, server string, h http.Header) {
		r.kept, r.server = crossingHTTP(h), server
		// As if the answer had been added to what the gateway says already.
		for name, values := range r.w.Header() {
			if h[name] == nil || name == "X-Request-Id" {
				h[name] = values
			}
		}
		if change != nil {
			change(status, server, h)
		}
	}
	return r
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.h }

// WriteHeader implements http.ResponseWriter. Informational answers are left out: they are
// of one request.
func (r *recorder) WriteHeader(status int) {
	if status < http.StatusOK || r.status != 0 {
		return
	}
	r.status, r.head = status, maps.Clone(r.h)
	if kind, _, _ := strings.Cut(r.h.Get("Content-Type"), ";"); strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
		r.pass()
	}
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if !r.passes {
		if len(r.body)+len(p) <= r.limit {
			r.body = append(r.body, p...)
			return len(p), nil
		}
		r.pass()
		if _, err := r.w.Write(r.body); err != nil {
			r.gone = true
			return 0, err
		}
		r.body = nil
	}
	n, err := r.w.Write(p)
	r.gone = r.gone || err != nil
	return n, err
}

// FlushError implements what http.ResponseController looks for.
func (r *recorder) FlushError() error {
	if !r.passes {
		return nil
	}
	return http.NewResponseController(r.w).Flush()
}

// SetWriteDeadline is the like.
func (r *recorder) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(r.w).SetWriteDeadline(t)
}

// pass has the answer written to the client as it comes, from its header on.
func (r *recorder) pass() {
	r.passes = true
	r.passing()
	r.writeHead()
	r.h = r.w.Header() // for the trailer
	r.w.WriteHeader(r.status)
}

// writeHead has the client's header be that of the answer.
func (r *recorder) writeHead() {
	h := r.w.Header()
	clear(h)
	maps.Copy(h, r.head)
}

// deferred reports whether nothing was written to the client.
func (r *recorder) deferred() bool { return !r.passes }

// deliver writes an answer that is complete to the client.
func (r *recorder) deliver(result *httpbackend.Result) {
	r.x.W = r.w
	if result.Err != nil || r.passes || r.status == 0 {
		return
	}
	r.trailer = r.trailers()
	r.writeHead()
	if err := r.write(r.x); err != nil {
		result.Err, result.Aborted = err, true
	}
}

// trailers are the fields that came behind the body.
func (r *recorder) trailers() http.Header {
	var more http.Header
	for name, values := range r.h {
		before, had := r.head[name]
		if had && len(before) == len(values) && (len(values) == 0 || &before[0] == &values[0]) {
			continue
		}
		if more == nil {
			more = http.Header{}
		}
		more[strings.TrimPrefix(name, http.TrailerPrefix)] = values
	}
	return more
}

// crossingHTTP is the header that is kept: not what is of one request or one connection.
func crossingHTTP(h http.Header) http.Header {
	kept := make(http.Header, len(h))
	for name, values := range h {
		lower := strings.ToLower(name)
		if len(values) == 0 || name == "Content-Length" || field.HopByHop(name) || lower != "retry-after" && ofOneCall(lower) {
			continue
		}
		kept[name] = slices.Clone(values)
	}
	return kept
}
