package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// settleBody finds out whether a request of HTTP/3 that tells no length has a body, as HTTP/2 knows from
// END_STREAM in the request's head: QUIC's end of the stream may come after it. Only methods are looked
// at whose requests have none, as a rule; others may be streams, whose first byte waits for an answer. It
// reports false where the request is over: what was wrong was answered, or its client has gone.
func (f *http3Front) settleBody(w *http3Writer, r *http.Request) bool {
	if r.ContentLength >= 0 || r.Body == http.NoBody {
		return true
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
	default:
		return true
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(f.o.header)) // streams of QUIC have deadlines
	_, err := io.ReadFull(r.Body, w.first[:])
	switch {
	case err == nil:
		_ = control.SetReadDeadline(time.Time{}) // as above
		r.Body = &begun{r.Body, w.first[:]}
	case err == io.EOF:
		r.Body, r.ContentLength = http.NoBody, 0
	case errors.Is(err, os.ErrDeadlineExceeded):
		http.Error(w, "the request did not end in time", http.StatusRequestTimeout)
		return false
	default:
		return false
	}
	return true
}

// begun is a body of which first was read already.
type begun struct {
	io.ReadCloser
	first []byte
}

// Read implements io.Reader.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) == 0 {
		return b.ReadCloser.Read(p)
	}
	n := copy(p, b.first)
	b.first = b.first[n:]
	return n, nil
}
