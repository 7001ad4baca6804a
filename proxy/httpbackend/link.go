package httpbackend

import (
	"bufio"
	"math"
	"net"
	"sync"
	"syscall"
)

// link is a connection to a server of HTTP/1.1 that is ours: net/http's Transport, which
// speaks HTTP/2, takes two goroutines for each connection and hands every exchange over
// to both of them. By a link, the goroutine of the exchange writes the request and reads
// the answer itself; only a body is sent by another one.
type link struct {
	conn net.Conn // by TLS where the upstream has it
	at   *place
	in   *bufio.Reader
	out  *bufio.Writer
	raw  syscall.RawConn // nil where it cannot be looked at
	// secure: conn decrypts what it has read from the socket before.
	secure bool
	// served: it carried an exchange before. idleSince is when that was over.
	served    bool
	idleSince int64
	// left is how many bytes of a header may still be read.
	left int64
	// wrote and heard: bytes of this exchange went to the server, or came from it.
	wrote, heard bool
	// count has the system tell how many bytes are there, in there.
	count func(fd uintptr)
	there int64
	// ends: it carries no other exchange, as the request or the answer says so.
	ends bool

	mu     sync.Mutex
	x      *exchange // that it carries; changed by that exchange alone
	broken bool      // deadlines were set
}

func newLink(c net.Conn, below net.Conn, at *place) *link {
	l := &link{conn: c, at: at, secure: c != below, left: math.MaxInt64}
	l.in, l.out = bufio.NewReader(l), bufio.NewWriter(l)
	if socket, ok := below.(syscall.Conn); ok {
		l.raw, _ = socket.SyscallConn() // without it the connection is used once
	}
	return l
}

// Read implements io.Reader, for the buffer: it is called when that is empty, and may wait.
func (l *link) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errAnswerHeader
	}
	l.x.waits()
	n, err := l.conn.Read(p[:min(int64(len(p)), l.left)])
	if n > 0 {
		l.x.received()
		l.heard = true
		l.left -= int64(n)
	}
	return n, err
}

// Write implements io.Writer, for the buffer and for bodies.
func (l *link) Write(p []byte) (int, error) {
	n, err := l.conn.Write(p)
	if n > 0 {
		l.x.move()
		if !l.wrote { // by the exchange's goroutine: bodies come later
			l.wrote = true
		}
	}
	return n, err
}

// attach begins an exchange.
func (l *link) attach(e *exchange) {
	l.mu.Lock()
	l.x = e
	l.mu.Unlock()
	l.wrote, l.heard, l.ends = false, false, false
	e.link.Store(l)
}

// detach ends the exchange, and reports whether nobody has broken it off.
func (l *link) detach() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.x.link.Store(nil)
	l.x = nil
	return !l.broken
}

// interrupt has reading and writing fail, if the link carries the exchange still.
func (l *link) interrupt(e *exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.x == e {
		l.broken = true
		_ = l.conn.SetDeadline(longAgo) // it fails on a closed connection only
	}
}

// close closes the connection.
func (l *link) close() { _ = l.conn.Close() } // nothing is done with it any more

// interrupted breaks the exchange off, if a link carries it. It is called beside Forward.
func (e *exchange) interrupted() {
	if l := e.link.Load(); l != nil {
		l.interrupt(e)
	}
}
