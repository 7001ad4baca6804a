package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"golang.org/x/net/http2"

	"github.com/transom-gateway/transom/proxy/transport"
)

// TLSAdvice says what to set where one side seems to speak TLS and the other does not, or
// the server HTTP/1.1; "" for all else. crypto/tls says that a record is none. A server that speaks TLS ends
// a connection in cleartext, with an alert, which the HTTP/2 reader takes for a frame
// that it cannot be, or without a word.
func TLSAdvice(err error) string {
	if err == nil {
		return ""
	}
	var record tls.RecordHeaderError
	switch preface := errors.Is(err, transport.ErrPreface); {
	case strings.Contains(err.Error(), "HTTP/1.1 header"):
		return "the server speaks HTTP/1.1, and was asked for HTTP/2: is this its port for gRPC? Servers of plain HTTP are upstreams with http, and routes lead to them"
	case errors.As(err, &record), strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return "the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls"
	case preface && (errors.Is(err, http2.ErrFrameTooLarge) || errors.Is(err, io.ErrUnexpectedEOF)):
		return "the server seems to speak TLS: set tls in the upstream, or --upstream-tls"
	case preface && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "the server ended the connection before it said anything; it may speak TLS: set tls in the upstream, or --upstream-tls"
	}
	return ""
}

// errBroke is wrapped in place of transport.ErrPreface by the error of an endpoint that
// has spoken HTTP/2 before: it is going away, or begins, and no setting is wrong.
var errBroke = errors.New("the connection was ended before the server said anything")

// known is the error of an endpoint that has spoken HTTP/2 before.
func known(err error) error {
	if errors.Is(err, transport.ErrPreface) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)) {
		return fmt.Errorf("%w: %v", errBroke, err) //nolint:errorlint // it is no ErrPreface
	}
	return err
}

// withTLSAdvice adds the advice to an error.
func withTLSAdvice(err error) error {
	if advice := TLSAdvice(err); advice != "" {
		return fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

// Advice is what to set where the backend cannot be reached because one side speaks TLS
// and the other does not; "" for all else.
func (c *Conn) Advice() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reached() {
		return ""
	}
	return TLSAdvice(c.why())
}
