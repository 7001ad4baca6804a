package gateway_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// earlySite is a plain HTTP server that notes what is said of early data.
type earlySite struct {
	mu   sync.Mutex
	said []string // of each request, its path and Early-Data
}

func (s *earlySite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	early := strings.Join(r.Header.Values("Early-Data"), ",")
	s.mu.Lock()
	s.said = append(s.said, r.URL.Path+" "+early)
	s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/cautious") && early != "" {
		w.WriteHeader(http.StatusTooEarly)
		return
	}
	_, _ = io.WriteString(w, "done") // the gateway may have gone
}

// heard is what was said so far.
func (s *earlySite) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// startEarly starts a gateway that takes early data, in front of a site.
func startEarly(t *testing.T) (*gatewaytest.Gateway, *earlySite, *tls.Config) {
	t.Helper()
	site := new(earlySite)
	server := httptest.NewServer(site)
	t.Cleanup(server.Close)
	g, _, trust := startHTTP3(t, gatewaytest.Options{
		Upstreams: "site: { http: { servers: [\"" + server.Listener.Addr().String() + "\"] } }",
		Config: "routes:\n  - { match: { path_prefix: /limited }, upstream: site, policy: { rate_limit: [{ key: PRINCIPAL, requests: 9, per: 1s }] } }\n" +
			"  - { match: { path_prefix: /site }, upstream: site }\n",
	}, func(l *transomv1.Listener) {
		l.Tls.EarlyData = true
		l.HandshakeTimeout = durationpb.New(3 * time.Second)
	})
	return g, site, trust
}

// returning is a client that has been there before: it has a session and a proof of its address.
type returning struct {
	relay  *relay
	tls    *tls.Config
	quic   *quic.Config
	stored *storedSessions
	proofs *storedProofs
}

// storedSessions and storedProofs tell when something came.
type storedSessions struct {
	tls.ClientSessionCache
	came chan struct{}
}

func (s *storedSessions) Put(key string, session *tls.ClientSessionState) {
	s.ClientSessionCache.Put(key, session)
	if session != nil {
		s.came <- struct{}{}
	}
}

type storedProofs struct {
	quic.TokenStore
	came chan struct{}
}

func (s *storedProofs) Put(key string, token *quic.ClientToken) {
	s.TokenStore.Put(key, token)
	s.came <- struct{}{}
}

// newReturning has a client come for the first time.
func newReturning(t *testing.T, g *gatewaytest.Gateway, trust *tls.Config) *returning {
	t.Helper()
	c := &returning{
		relay: newRelay(t, g.Addr), tls: trust.Clone(), quic: new(quic.Config),
		stored: &storedSessions{tls.NewLRUClientSessionCache(1), make(chan struct{}, 100)},
		proofs: &storedProofs{quic.NewLRUTokenStore(1, 10), make(chan struct{}, 100)},
	}
	c.tls.ClientSessionCache, c.quic.TokenStore = c.stored, c.proofs
	transport := c.transport(t)
	if got := c.get(t, transport, http.MethodGet, g.URL+"/v1/shelves/1"); got != http.StatusOK {
		t.Fatalf("the first request: %d", got)
	}
	<-c.stored.came
	<-c.proofs.came
	_ = transport.Close() // it may have ended
	return c
}

// transport makes a connection by the relay.
func (c *returning) transport(t *testing.T) *http3.Transport {
	t.Helper()
	transport := &http3.Transport{TLSClientConfig: c.tls, QUICConfig: c.quic, Dial: func(ctx context.Context, _ string, config *tls.Config, q *quic.Config) (*quic.Conn, error) {
		return quic.DialAddrEarly(ctx, c.relay.front.LocalAddr().String(), config, q)
	}}
	t.Cleanup(func() { _ = transport.Close() }) // it may have ended
	return transport
}

// get makes a request and returns the status of its answer, 0 for none.
func (*returning) get(t *testing.T, transport *http3.Transport, method, url string, headers ...string) int {
	r, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Error(err)
		return 0
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }() // it is read
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

// TestEarlyData: Traffic 189: GET and HEAD for what has no side effects run before the handshake is over,
// and servers are told so; others wait, and a server that does not want it is asked again afterwards.
//
// Without the race detector, which finds the client's own race of streams that it opens early (quic-go#4303).
//
//transom:norace
func TestEarlyData(t *testing.T) {
	g, site, trust := startEarly(t)
	t.Run("runs early", func(t *testing.T) {
		c := newReturning(t, g, trust)
		c.relay.hold()
		transport := c.transport(t)
		answers := make(chan int, 3)
		for path, headers := range map[string][]string{"/site/safe": nil, "/site/keyed": {"Idempotency-Key", "k"}, "/limited": nil} {
			go func() { answers <- c.get(t, transport, http3.MethodGet0RTT, g.URL+path, headers...) }()
		}
		poll.Until(t, "the request to run before the handshake is over", func() bool { return slices.Contains(site.heard(), "/site/safe 1") })
		poll.Until(t, "the others to wait", func() bool { all, _ := g.InFlight(); return all >= 2 })
		if got := site.heard(); len(got) != 1 {
			t.Errorf("the site got %q, want one request", got)
		}
		c.relay.release()
		for range 3 {
			if got := <-answers; got != http.StatusOK {
				t.Errorf("the answer is %d", got)
			}
		}
		if got := site.heard(); !slices.Contains(got, "/site/keyed ") || !slices.Contains(got, "/limited ") || len(got) != 3 {
			t.Errorf("the site got %q", got)
		}
	})
	t.Run("an RPC", func(t *testing.T) {
		c := newReturning(t, g, trust)
		transport := c.transport(t)
		if got := c.get(t, transport, http3.MethodGet0RTT, g.URL+"/v1/shelves/1"); got != http.StatusOK {
			t.Errorf("%d", got)
		}
	})
	t.Run("too early for the server", func(t *testing.T) {
		c := newReturning(t, g, trust)
		c.relay.hold()
		transport := c.transport(t)
		answer := make(chan int, 1)
		go func() { answer <- c.get(t, transport, http3.MethodGet0RTT, g.URL+"/site/cautious") }()
		poll.Until(t, "the first attempt", func() bool { return slices.Contains(site.heard(), "/site/cautious 1") })
		c.relay.release()
		if got := <-answer; got != http.StatusOK || !slices.Contains(site.heard(), "/site/cautious ") {
			t.Errorf("%d, and the site got %q", got, site.heard())
		}
	})
	t.Run("an address that nothing proves", func(t *testing.T) {
		c := newReturning(t, g, trust)
		c.quic.TokenStore = nil
		config := c.tls.Clone()
		config.NextProtos = []string{http3.NextProtoH3}
		conn, err := quic.DialAddrEarly(t.Context(), g.Addr, config, c.quic)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.CloseWithError(0, "") }()
		<-conn.HandshakeComplete()
		if state := conn.ConnectionState(); state.Used0RTT || !state.TLS.DidResume {
			t.Errorf("early data was taken: %v, and the session resumed: %v", state.Used0RTT, state.TLS.DidResume)
		}
	})
}

// TestEarlyDataOfOthers: Traffic 189: what somebody in front took early is refused by 425 where it may have side
// effects, in the client's form, and passes otherwise.
func TestEarlyDataOfOthers(t *testing.T) {
	g, _, _ := startEarly(t)
	for _, c := range []struct {
		method, path string
		headers      []string
		want         int
	}{
		{"GET", "/v1/shelves/1", nil, 200},
		{"POST", "/v1/shelves", nil, 425},
		{"GET", "/site/a", nil, 200},
		{"POST", "/site/a", nil, 425},
		{"GET", "/site/cautious", nil, 425},
		{"GET", "/site/a", []string{"Idempotency-Key", "k"}, 425},
		{"GET", "/limited", nil, 425},
	} {
		body := ""
		if c.method == "POST" {
			body = `{"theme":"x"}`
		}
		if a := g.Do(t, c.method, c.path, body, append(c.headers, "Early-Data", "1", "Content-Type", "application/json")...); a.Status != c.want {
			t.Errorf("%s %s %q: %d %s, want %d", c.method, c.path, c.headers, a.Status, a.Body, c.want)
		}
	}
}

// TestReplay: Traffic 189: what a client sent before the handshake was over is run once, however often somebody
// sends it again.
//
// Without the race detector, as TestEarlyData.
//
//transom:norace
func TestReplay(t *testing.T) {
	g, site, trust := startEarly(t)
	c := newReturning(t, g, trust)
	c.relay.keep()
	ctx, leave := context.WithCancel(t.Context())
	transport := c.transport(t)
	answer := make(chan struct{})
	go func() {
		defer close(answer)
		r, err := http.NewRequestWithContext(ctx, http3.MethodGet0RTT, g.URL+"/site/stolen", http.NoBody)
		if err != nil {
			t.Error(err)
			return
		}
		if response, err := transport.RoundTrip(r); err == nil {
			t.Errorf("the client got %s, though nothing of it has arrived", response.Status)
			_ = response.Body.Close()
		}
	}()
	thief := dialUDP(t, g.Addr)
	var flight [][]byte // before the client ends its connection, which would end that of a copy, too
	poll.Until(t, "the stolen request to run", func() bool {
		flight = c.relay.kept()
		thief.send(flight)
		return slices.Contains(site.heard(), "/site/stolen 1")
	})
	leave()
	<-answer
	for range 2 {
		again := dialUDP(t, g.Addr)
		poll.Until(t, "the gateway to answer what is sent again", func() bool {
			again.send(flight)
			return again.hears()
		})
	}
	later := newReturning(t, g, trust)
	if got := later.get(t, later.transport(t), http3.MethodGet0RTT, g.URL+"/site/later"); got != http.StatusOK {
		t.Errorf("another client's: %d", got)
	}
	if got := site.heard(); len(got) != 2 || got[0] != "/site/stolen 1" || !strings.HasPrefix(got[1], "/site/later ") {
		t.Errorf("the site got %q, want each request once", got)
	}
}

// thief sends datagrams that are somebody else's.
type thief struct{ *net.UDPConn }

func dialUDP(t *testing.T, address string) thief {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialUDP("udp", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // nothing waits in it
	return thief{c}
}

func (c thief) send(datagrams [][]byte) {
	for _, d := range datagrams {
		_, _ = c.Write(d) // UDP may lose packets
	}
}

// hears reports whether a handshake has been answered: that takes 1200 bytes (RFC 9000, section 14.1), and what is said
// of a connection that has ended less.
func (c thief) hears() bool {
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return false
	}
	n, err := c.Read(make([]byte, 2000))
	return err == nil && n >= 1200
}
