package httpcache

import (
	"net/http"
	"time"

	"github.com/transom-gateway/transom/policy/cache/internal/rfc9111"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// writeHead writes the head of an answer to one client, as 304 where the client has it
// already. It returns the status that was written, and whether the body is to follow. The
// header's slices are shared.
func writeHead(x *httpbackend.Exchange, status int, server string, header http.Header) (wrote int, bodily bool) {
	h := x.W.Header()
	own := h["X-Request-Id"] // the one of the gateway's log
	for name, values := range header {
		h[name] = values
	}
	if own != nil {
		h["X-Request-Id"] = own
	}
	if rfc9111.NotModified(x.R, status, header) {
		status = http.StatusNotModified
		for _, name := range unsaid {
			delete(h, name)
		}
	}
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // or net/http would guess
	}
	if x.Answer != nil {
		x.Answer(status, server, h)
	}
	x.W.WriteHeader(status)
	return status, status != http.StatusNotModified && x.R.Method != http.MethodHead
}

// unsaid are the fields of an answer that its 304 does not have (RFC 9110 15.4.5).
var unsaid = [...]string{"Content-Length", "Transfer-Encoding", "Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Trailer"}

// give answers with what is kept.
func (q *request) give(result string, a *answer, now time.Time) httpbackend.Result {
	q.tell(result, a, now)
	h := q.x.W.Header()
	h["Age"] = rfc9111.AgeLine(a.AgeAt(now))
	if a.length != nil {
		h["Content-Length"] = a.length
	}
	status, bodily := writeHead(q.x, a.Status, a.Server, a.Header)
	out := httpbackend.Result{Status: status}
	if bodily && len(a.body) > 0 {
		if _, err := q.x.W.Write(a.body); err != nil {
			out.Err, out.Aborted = errGone, true
		}
	}
	return out
}
