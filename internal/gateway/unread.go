package gateway

import (
	"io"
	"net/http"
	"time"

	"github.com/transom-gateway/transom/transcoder/exchange"
)

// What a client is still sending when it is refused gets so much time, and over HTTP/2
// may have so many bytes.
const (
	unreadTime = time.Second
	// endingTime is unreadTime for a gateway whose calls end: it has little left.
	endingTime  = 200 * time.Millisecond
	unreadBytes = 64 << 10
)

// boundRest gives what a client of HTTP/1.1 is still sending when it is answered so
// much time. net/http reads it before it writes the answer, so that a client that sends
// first and reads then gets to see it, and closes the connection where it does not
// come (Semantics 311).
func (g *Gateway) boundRest(w http.ResponseWriter, r *http.Request) {
	x := exchange.Exchange{W: exchange.FrontOf(w), R: r}
	if x.HTTP1() && r.ContentLength != 0 && r.Body != http.NoBody {
		give := unreadTime
		if g.ending.Err() != nil {
			give = endingTime
		}
		_ = x.SetReadDeadline(time.Now().Add(give)) // it fails for recorders only
	}
}

// readRest reads what a refused client is still sending. net/http would reset
// the stream behind the answer, and though that is no error (RFC 9113, 8.1), curl
// 7 for one then forgets the answer. A body that says no length, or a long one, is
// left alone: its sender may not end before it has its answer.
func readRest(w http.ResponseWriter, r *http.Request) {
	x := exchange.Exchange{W: exchange.FrontOf(w), R: r}
	if !x.Multiplexed() || r.ContentLength <= 0 || r.ContentLength > unreadBytes {
		return
	}
	if x.SetReadDeadline(time.Now().Add(unreadTime)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, unreadBytes) // whatever comes, it is not for us
	}
}
