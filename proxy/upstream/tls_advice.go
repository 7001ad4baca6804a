package upstream

import (
	"fmt"
	"strings"
)

// tlsAdvice says what to set where one side seems to speak TLS and the other does not;
// "" for all else. An error's text is all there is to tell by: crypto/tls says that a
// record is none, and the HTTP/2 reader takes a TLS alert for a huge frame.
func tlsAdvice(err error) string {
	if err == nil {
		return ""
	}
	switch text := err.Error(); {
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return "the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls"
	case strings.Contains(text, "error reading server preface: http2: frame too large"),
		strings.Contains(text, "error reading server preface: http2: failed reading the frame payload"):
		return "the server seems to speak TLS: set tls in the upstream, or --upstream-tls"
	case strings.Contains(text, "error reading server preface: EOF"):
		return "the server ended the connection before it said anything; it may speak TLS: set tls in the upstream, or --upstream-tls"
	}
	return ""
}

// withTLSAdvice adds the advice to an error.
func withTLSAdvice(err error) error {
	if advice := tlsAdvice(err); advice != "" {
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
	return tlsAdvice(c.why())
}
