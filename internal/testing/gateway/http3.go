package gatewaytest

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// ServeTLS has a gateway serve TLS and HTTP/3, for Options.Listener. It returns what clients need
// to know of its certificate.
func ServeTLS(t testing.TB) (listener func(*transomv1.Listener), trust *tls.Config) {
	t.Helper()
	folder := t.TempDir()
	certificate, key := keytest.Certificate(t, "localhost")
	write(t, filepath.Join(folder, "own.pem"), certificate)
	write(t, filepath.Join(folder, "own.key"), key)
	if err := os.Chmod(filepath.Join(folder, "own.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	trust = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	trust.RootCAs.AppendCertsFromPEM([]byte(certificate))
	return func(l *transomv1.Listener) {
		l.Tls = &transomv1.ServerTls{Certificate: filepath.Join(folder, "own.pem"), Key: filepath.Join(folder, "own.key")}
		l.Http3 = true
	}, trust
}

// ByHTTP3 has g.URL and g.Client be of HTTP/3, and returns its transport.
func (g *Gateway) ByHTTP3(t testing.TB, trust *tls.Config) *http3.Transport {
	t.Helper()
	transport := &http3.Transport{TLSClientConfig: trust.Clone()}
	t.Cleanup(func() { _ = transport.Close() }) // the gateway may have ended before
	g.URL = strings.Replace(g.URL, "http:", "https:", 1)
	g.Client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return transport
}
