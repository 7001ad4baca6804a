package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBody is how much of an answer is read so that its connection can be used again, in
// bytes.
const maxBody = 64 << 10

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10

// Server is whom an HTTP asks.
type Server struct {
	// Network is "tcp" or "unix".
	Network string
	// Address returns where the server is now.
	Address func() string
	// Authority is what it is called.
	Authority string
	// TLS returns the settings of a connection that is made now; nil for cleartext.
	TLS func() *tls.Config
}

// HTTP asks one server by GET. It is used by one goroutine.
type HTTP struct {
	check  Check
	expect Statuses
	server Server

	secure *tls.Config // that client was made with
	client *http.Client
}

// NewHTTP makes one for a check whose Expect can be parsed.
func NewHTTP(c Check, s Server) *HTTP {
	expect, err := ParseExpect(c.Expect)
	if err != nil {
		expect = Statuses{{200, 299}}
	}
	return &HTTP{check: c, expect: expect, server: s}
}

// Close ends the connection.
func (h *HTTP) Close() {
	if h.client != nil {
		h.client.CloseIdleConnections()
	}
}

// Ask asks once.
func (h *HTTP) Ask(ctx context.Context) Report {
	why := h.ask(ctx)
	return Report{At: time.Now(), Well: why == "", Why: why}
}

// ask returns what is wrong.
func (h *HTTP) ask(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, h.check.Timeout)
	defer cancel()
	h.connect()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url(), nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("User-Agent", "transom")
	r.Host = h.server.Authority
	if h.check.Host != "" {
		r.Host = h.check.Host
	}
	for line := range strings.SplitSeq(h.check.Headers, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			r.Header.Add(name, value)
		}
	}
	answer, err := h.client.Do(r)
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			return fmt.Sprintf("no answer to GET %s within %s", h.check.Path, h.check.Timeout)
		}
		return h.failed(err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxBody) // what is longer costs the connection
	_ = answer.Body.Close()                           // only read
	if !h.expect.Has(answer.StatusCode) {
		return fmt.Sprintf("GET %s: found status %d, expected %s", h.check.Path, answer.StatusCode, h.check.Expect)
	}
	return ""
}

func (h *HTTP) url() string {
	scheme := "http://"
	if h.secure != nil {
		scheme = "https://"
	}
	return scheme + "server" + h.check.Path // dial knows where that is
}

// connect makes a client for the settings of TLS as they are now.
func (h *HTTP) connect() {
	var now *tls.Config
	if h.server.TLS != nil {
		now = h.server.TLS()
	}
	if h.client != nil && h.secure == now {
		return
	}
	h.Close()
	h.secure = now
	h.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     h.transport(now),
	}
}

func (h *HTTP) transport(secure *tls.Config) *http.Transport {
	t := &http.Transport{MaxConnsPerHost: 1, MaxResponseHeaderBytes: maxHeader, DialContext: h.dial, DisableCompression: true, ForceAttemptHTTP2: true}
	if secure == nil {
		return t
	}
	t.TLSClientConfig = secure.Clone()
	t.TLSClientConfig.NextProtos = nil // those of net/http
	if t.TLSClientConfig.ServerName == "" {
		t.TLSClientConfig.ServerName = h.server.Authority
		if host, _, err := net.SplitHostPort(h.server.Authority); err == nil {
			t.TLSClientConfig.ServerName = host
		}
	}
	return t
}

func (h *HTTP) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address := h.server.Address()
	if host, _, err := net.SplitHostPort(address); err == nil && h.check.Port != 0 && h.server.Network == "tcp" {
		address = net.JoinHostPort(host, strconv.Itoa(int(h.check.Port)))
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, h.server.Network, address)
	if err != nil {
		return nil, err
	}
	return &asking{Conn: conn, asked: make(chan struct{})}, nil
}

// asking is a connection that is not read from before something is written. A server
// that speaks first, as those of gRPC do, is then found to have answered wrongly: net/http
// would write a line of its own on standard error, and have no word for it.
type asking struct {
	net.Conn
	asked chan struct{} // closed by the first Write, or Close
	once  sync.Once
}

// Read implements net.Conn.
func (a *asking) Read(b []byte) (int, error) {
	<-a.asked
	return a.Conn.Read(b)
}

// Write implements net.Conn.
func (a *asking) Write(b []byte) (int, error) {
	defer a.ask()
	return a.Conn.Write(b)
}

// Close implements net.Conn.
func (a *asking) Close() error {
	defer a.ask()
	return a.Conn.Close()
}

func (a *asking) ask() { a.once.Do(func() { close(a.asked) }) }

// failed says why there was no answer, without the URL, whose host is a name of ours.
func (h *HTTP) failed(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	why := err.Error()
	if strings.Contains(why, "malformed HTTP response") {
		return fmt.Sprintf("GET %s: the server does not speak HTTP/1.1 there, perhaps gRPC: set port to that of its HTTP server", h.check.Path)
	}
	return fmt.Sprintf("GET %s: %s", h.check.Path, why)
}
