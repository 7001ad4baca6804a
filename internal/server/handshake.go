package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/stack"
)

// handshakes is a listener that does the handshakes of TLS, so that what clients of
// HTTP/1 send inside is checked before net/http reads it. Connections of HTTP/2 go on
// as they are.
type handshakes struct {
	net.Listener
	config *tls.Config
	limit  time.Duration // of one handshake
	heads  http1head.Options
	log    *log.Logger

	ready   chan net.Conn
	failed  chan error
	closing context.Context // ends when the handshakes under way must
	closed  context.CancelFunc
	start   sync.Once
	running sync.WaitGroup
}

func newHandshakes(l net.Listener, config *tls.Config, limit time.Duration, heads http1head.Options, log *log.Logger) *handshakes {
	h := &handshakes{Listener: l, config: config, limit: limit, heads: heads, log: log, ready: make(chan net.Conn), failed: make(chan error, 1)}
	h.closing, h.closed = context.WithCancel(context.Background())
	return h
}

// Accept implements net.Listener.
func (h *handshakes) Accept() (net.Conn, error) {
	h.start.Do(func() { go h.run() })
	if c, ok := <-h.ready; ok {
		return c, nil
	}
	if err, ok := <-h.failed; ok {
		return nil, err
	}
	return nil, net.ErrClosed
}

// run accepts connections until the listener is closed.
func (h *handshakes) run() {
	for {
		c, err := h.Listener.Accept()
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // as net/http does, with too many open files
				time.Sleep(acceptPause)
				continue
			}
			h.failed <- err
			break
		}
		h.running.Go(func() { h.handshake(c) })
	}
	// What was accepted is served, if its handshake is done soon.
	timer := time.AfterFunc(settle, h.closed)
	h.running.Wait()
	timer.Stop()
	h.closed()
	close(h.ready)
	close(h.failed)
}

// acceptPause is how long to wait where no connection can be accepted.
const acceptPause = 50 * time.Millisecond

func (h *handshakes) handshake(raw net.Conn) {
	stack.ForHandshake(false)
	c := tls.Server(raw, h.config)
	if err := h.shake(raw, c); err != nil {
		h.refuse(raw, err)
		return
	}
	var ready net.Conn = c
	if c.ConnectionState().NegotiatedProtocol != "h2" {
		ready = http1head.TLS(c, h.heads)
	}
	select {
	case h.ready <- ready:
	case <-h.closing.Done():
		_ = c.Close() // nobody waits for it any more
	}
}

// shake does one handshake. A deadline and what closes the connection in the end take the place of a context, which
// would cost crypto/tls a goroutine.
func (h *handshakes) shake(raw net.Conn, c *tls.Conn) error {
	_ = raw.SetDeadline(time.Now().Add(h.limit))                     // fails only on a closed connection, as the handshake does then
	stop := context.AfterFunc(h.closing, func() { _ = raw.Close() }) // it may be closed already
	err := c.HandshakeContext(context.Background())
	if !stop() && err == nil {
		err = h.closing.Err()
	}
	if err != nil {
		return err
	}
	return raw.SetDeadline(time.Time{})
}

// refuse tells a client that speaks no TLS so.
func (h *handshakes) refuse(raw net.Conn, err error) {
	h.log.Printf("TLS handshake with %s: %v", raw.RemoteAddr(), err)
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && looksLikeHTTP(plain.RecordHeader) {
		_ = raw.SetDeadline(time.Now().Add(answerTime)) // fails only on a closed connection, as the next lines do
		answer := h.heads.Answer(raw, http1head.Refusal{Fault: http1head.Fault{
			Status: http.StatusBadRequest, Message: "the request is plain HTTP; this address speaks HTTPS",
		}})
		_, _ = raw.Write(answer)
		if w, ok := raw.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, raw, maxHeaderBytes) // closing on unread bytes would reset the connection
		}
	}
	_ = raw.Close() // it is over either way
}

// answerTime is how long a client may take to read that it has to speak TLS.
const answerTime = time.Second

// looksLikeHTTP reports whether what came in place of a TLS record is a method.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}
