package httpbackend

import (
	"io"
	"net/http"
)

// smallPiece is less than what is worth a system call more, in bytes.
const smallPiece = 16 << 10

// passPiece passes on what of a long body is there already without reading it, where the
// operating system can move bytes from connection to connection. It waits for the client
// alone, as a write does, and reports whether it passed anything; io.EOF is the end of the
// body. Answers that something still changes, and those by TLS or HTTP/2, are read.
func (e *exchange) passPiece(response *http.Response) (bool, error) {
	i, ok := response.Body.(*incoming)
	if !ok || i.left < smallPiece || i.link == nil || i.link.secure || i.link.in.Buffered() > 0 || e.R.ProtoMajor != 1 {
		return false, nil
	}
	to, ok := e.W.(io.ReaderFrom)
	if !ok {
		return false, nil
	}
	n := min(i.link.waiting(), i.left)
	if n < smallPiece {
		return false, nil
	}
	e.move()
	e.piece = io.LimitedReader{R: i.link.conn, N: n}
	e.mu.Lock()
	e.writing.Store(true)
	passed, err := to.ReadFrom(&e.piece)
	e.writing.Store(false)
	e.wrote = true
	e.mu.Unlock()
	e.move()
	e.result.Received += passed
	// What was taken from the server and not given to the client is lost with both.
	if err == nil && passed < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return false, e.clientGone(err)
	}
	return true, i.came(passed, nil)
}
