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
	var without []string
	if rfc9111.NotModified(x.R, status, header) {
		status, without = http.StatusNotModified, rfc9111.Unsaid
	}
	x.WriteAnswer(status, server, header, without)
	return status, status != http.StatusNotModified && x.R.Method != http.MethodHead
}

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
		if q.writeBody(a) != nil {
			out.Err, out.Aborted = errGone, true
		}
	}
	return out
}
