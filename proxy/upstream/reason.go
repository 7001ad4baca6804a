package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/net/http2"

	"github.com/transom-gateway/transom/proxy/transport"
	"github.com/transom-gateway/transom/proxy/upstream/addressfile"
)

// Reason says in plain words why a backend cannot be reached. Addresses must not
// reach a client (Semantics 26).
func Reason(err error) string {
	const cannot = "the backend cannot be reached"
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var network net.Error
	var name *net.DNSError
	var alert *net.OpError // crypto/tls reports alerts so, by their sender
	var frame http2.ConnectionError
	switch {
	case errors.Is(err, errClosed), errors.Is(err, errNoneUsable), errors.Is(err, transport.ErrFlood):
		return err.Error()
	case errors.Is(err, addressfile.ErrEmpty):
		return cannot + ": the list of its addresses is empty"
	case errors.Is(err, errNoAddress):
		return cannot + ": its name has no address"
	case errors.As(err, &name):
		if name.IsNotFound {
			return cannot + ": its name is not known"
		}
		return cannot + ": its name cannot be resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return cannot + ": no answer in time"
	case errors.As(err, &record), errors.As(err, &alert) && (alert.Op == "remote error" || alert.Op == "local error"):
		return cannot + ": TLS failed"
	case errors.Is(err, errBroke), errors.Is(err, transport.ErrPreface) && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		return cannot + ": the connection was ended before the backend said anything"
	case errors.Is(err, errNotHTTP2), errors.As(err, &frame), errors.Is(err, http2.ErrFrameTooLarge), errors.Is(err, transport.ErrPreface):
		return "the backend does not speak HTTP/2"
	case errors.Is(err, syscall.ECONNREFUSED):
		return cannot + ": connection refused"
	case errors.Is(err, fs.ErrNotExist) && errors.As(err, &alert) && alert.Op == "dial":
		return cannot + ": its socket does not exist"
	case errors.Is(err, fs.ErrNotExist): // a list, or what a pod of Kubernetes has
		return cannot + ": its addresses are not known"
	case errors.As(err, &certificate):
		return cannot + ": its certificate is not accepted"
	}
	return cannot
}
