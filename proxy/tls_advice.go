package proxy

import (
	"fmt"
	"strings"
)

// withTLSAdvice says what to set where one side seems to speak TLS and the other
// does not. An error's text is all there is to tell by: crypto/tls says that a
// record is none, and the HTTP/2 reader takes a TLS alert for a huge frame.
func withTLSAdvice(err error) error {
	if err == nil {
		return nil
	}
	switch text := err.Error(); {
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		return fmt.Errorf("%w: the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls", err)
	case strings.Contains(text, "error reading server preface: http2: frame too large"),
		strings.Contains(text, "error reading server preface: http2: failed reading the frame payload"):
		return fmt.Errorf("%w: the server seems to speak TLS: set tls in the upstream, or --upstream-tls", err)
	case strings.Contains(text, "error reading server preface: EOF"):
		return fmt.Errorf("%w: the server ended the connection before it said anything; it may speak TLS: set tls in the upstream, or --upstream-tls", err)
	}
	return err
}
