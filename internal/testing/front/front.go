// Package front serves an http.Handler as the gateway's listeners do, without a gateway:
// small writes are joined, HTTP/1 heads are checked, HTTP/1.1 and HTTP/2 are spoken, in
// cleartext and by TLS. It knows no handler.
//
//	f := front.Start(t, handler)
//	response, err := f.HTTP2.Get(f.URL + "/path")
package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/http1head"
	"github.com/transom-gateway/transom/internal/server/coalesce"
)

// Front is a server on loopback.
type Front struct {
	// Addr is where it speaks in cleartext, TLSAddr where by TLS.
	Addr, TLSAddr string
	// Clients speak with it, by the name of what they speak: "HTTP/1.1", "HTTP/2" and
	// "HTTP/2 over TLS". None follows redirects nor decompresses.
	Clients map[string]*Client
	// End is the end of the requests' contexts, as when a gateway ends its calls.
	End context.CancelFunc
}

// Client is a client and the URL of the front for it, without a path.
type Client struct {
	*http.Client
	URL string
}

// Start serves until the test ends.
func Start(t testing.TB, handler http.Handler) *Front {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	f := &Front{End: end}
	unstarted := httptest.NewUnstartedServer(handler) // for its certificate alone
	unstarted.EnableHTTP2 = true
	unstarted.StartTLS()
	certificate := unstarted.TLS.Certificates[0]
	trusted := x509.NewCertPool()
	trusted.AddCert(unstarted.Certificate())
	unstarted.Close()

	plain, secure := listen(t), listen(t)
	f.Addr, f.TLSAddr = plain.Addr().String(), secure.Addr().String()
	heads := http1head.Options{MaxHead: 64 << 10, Answer: func(net.Conn, http1head.Refusal) []byte {
		return []byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	config.GetConfigForClient = coalesce.ConfigForClient(nil)
	f.serve(t, ctx, handler, http1head.Listener(plain, heads), tls.NewListener(secure, config))
	f.Clients = map[string]*Client{
		"HTTP/1.1":        newClient(t, "http://"+f.Addr, false, nil),
		"HTTP/2":          newClient(t, "http://"+f.Addr, true, nil),
		"HTTP/2 over TLS": newClient(t, "https://"+f.TLSAddr, true, &tls.Config{RootCAs: trusted, ServerName: "example.com"}),
	}
	return f
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return coalesce.Listener(l)
}

func (f *Front) serve(t testing.TB, ctx context.Context, handler http.Handler, listeners ...net.Listener) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: handler, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:                     log.New(io.Discard, "", 0),
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		DisableGeneralOptionsHandler: true,
	}
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- server.Serve(l) }()
	}
	t.Cleanup(func() {
		f.End()
		_ = server.Close() // it only says that listeners were closed
		for range listeners {
			<-served //nolint:errcheck // it says that it was closed
		}
	})
}

func newClient(t testing.TB, url string, http2 bool, config *tls.Config) *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2 && config != nil)
	protocols.SetUnencryptedHTTP2(http2 && config == nil)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true, TLSClientConfig: config, ExpectContinueTimeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{
		Client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		URL: url,
	}
}
