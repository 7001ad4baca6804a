package gateway

import (
	"io"
	"net/http"
	"time"
)

// What a client is still sending when it is refused over HTTP/2 gets so much
// time, and may have so many bytes.
const (
	unreadTime  = time.Second
	unreadBytes = 64 << 10
)

// readRest reads what a refused client is still sending. net/http would reset
// the stream behind the answer, and though that is no error (RFC 9113, 8.1), curl
// 7 for one then forgets the answer. A body that says no length, or a long one, is
// left alone: its sender may not end before it has its answer.
func readRest(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || r.ContentLength <= 0 || r.ContentLength > unreadBytes {
		return
	}
	if http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTime)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, unreadBytes) // whatever comes, it is not for us
	}
}
