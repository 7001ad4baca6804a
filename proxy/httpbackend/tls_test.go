package httpbackend_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/proxy/httpbackend"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// pair makes a certificate that signs itself, for a name, and its PEM.
func pair(t testing.TB, name string) (own tls.Certificate, cert, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	if own, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return own, cert, key
}

// save writes a file of the test in one step.
func save(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// secured is a server by TLS that tells what it saw of a connection.
func secured(t testing.TB, own tls.Certificate, http2 bool, clients *x509.CertPool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := ""
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		w.Header().Set("X-Saw", strings.Join([]string{r.Proto, r.TLS.ServerName, r.Host, who}, " "))
		if r.Header.Get("X-Upgrade") == "" {
			_, _ = io.Copy(w, r.Body)
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestTLS: the name that is asked for and checked is the server's, or the one that is set,
// and never the client's Host (Traffic 142); the protocol is the one that is set, or what
// the server chooses, and upgrades are asked for by HTTP/1.1 (Traffic 152).
func TestTLS(t *testing.T) {
	own, cert, _ := pair(t, "shop.test")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	save(t, ca, cert)
	both, one := secured(t, own, true, nil), secured(t, own, false, nil)
	for name, test := range map[string]struct {
		address   string
		protocol  httpbackend.Protocol
		tls       upstream.TLS
		authority string
		headers   []string
		want      string // beginning of what the server saw, or of the error
	}{
		"what both speak":        {both, httpbackend.Unspecified, upstream.TLS{CA: ca, ServerName: "shop.test"}, "", nil, "HTTP/2.0 shop.test evil.test"},
		"HTTP/1.1 is all":        {one, httpbackend.Auto, upstream.TLS{CA: ca, ServerName: "shop.test"}, "", nil, "HTTP/1.1 shop.test evil.test"},
		"HTTP/1.1 is wanted":     {both, httpbackend.H1, upstream.TLS{CA: ca, ServerName: "shop.test"}, "", nil, "HTTP/1.1 shop.test evil.test"},
		"HTTP/2 is wanted":       {both, httpbackend.H2, upstream.TLS{CA: ca, ServerName: "shop.test"}, "", nil, "HTTP/2.0 shop.test evil.test"},
		"HTTP/2 is not there":    {one, httpbackend.H2, upstream.TLS{CA: ca, ServerName: "shop.test"}, "", nil, "the server "},
		"an upgrade":             {both, httpbackend.Auto, upstream.TLS{CA: ca, ServerName: "shop.test"}, "", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, "HTTP/1.1 shop.test evil.test"},
		"the server's own name":  {both, httpbackend.Auto, upstream.TLS{CA: ca}, "shop.test:443", nil, "HTTP/2.0 shop.test evil.test"},
		"another name":           {both, httpbackend.Auto, upstream.TLS{CA: ca}, "other.test:443", nil, "the server cannot be reached: its certificate is not accepted"},
		"the client's is no use": {both, httpbackend.Auto, upstream.TLS{CA: ca}, "", nil, "the server cannot be reached: its certificate is not accepted"},
		"an unknown authority":   {both, httpbackend.Auto, upstream.TLS{ServerName: "shop.test"}, "", nil, "the server cannot be reached: its certificate is not accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			var o httpbackend.Options
			o.Protocol, o.Target.TLS = test.protocol, &test.tls
			g := newRig(t, test.address, o)
			if test.authority != "" {
				g.servers.server.Authority = test.authority
			}
			g.change = func(x *httpbackend.Exchange) { x.Host = "evil.test" }
			for range 2 {
				got := do(t, g.Clients["HTTP/1.1"], "GET", "/", nil, test.headers...)
				if saw := got.Header.Get("X-Saw"); !strings.HasPrefix(saw, test.want) && !(got.StatusCode == 502 && strings.HasPrefix(got.body, test.want)) {
					t.Errorf("%d %q %q, want %q", got.StatusCode, saw, got.body, test.want)
				}
			}
		})
	}
}

// TestTLSFilesAreReread: our certificate and the authorities are those of the files as
// they are when a connection is made; a file that cannot be used leaves what was there in
// service, and one that is not there at the start is an error (Traffic 158).
func TestTLSFilesAreReread(t *testing.T) {
	folder := t.TempDir()
	ca, cert, key := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	server, serverPEM, _ := pair(t, "shop.test")
	us, usPEM, usKey := pair(t, "first.test")
	again, againPEM, againKey := pair(t, "second.test")
	clients := x509.NewCertPool()
	clients.AddCert(us.Leaf)
	clients.AddCert(again.Leaf)
	save(t, ca, usPEM) // not the server's
	save(t, cert, usPEM)
	save(t, key, usKey)
	address := secured(t, server, false, clients)
	var o httpbackend.Options
	o.Target.TLS = &upstream.TLS{CA: ca, Certificate: cert, Key: key, ServerName: "shop.test"}
	g := newRig(t, address, o)
	ask := func() (string, int) {
		// An upgrade that is refused leaves no connection that could be used again.
		got := do(t, g.Clients["HTTP/1.1"], "GET", "/", nil)
		return got.Header.Get("X-Saw"), got.StatusCode
	}
	if saw, code := ask(); code != 502 {
		t.Errorf("with the wrong authority: %q, %d", saw, code)
	}
	save(t, ca, append(serverPEM, againPEM...))
	waitFor(t, "the authority to be read", func() bool {
		_, code := ask()
		return code == 200
	})
	if saw, _ := ask(); !strings.HasSuffix(saw, "first.test") {
		t.Errorf("the server saw %q", saw)
	}
	save(t, ca, []byte("rubbish"))
	waitFor(t, "the rubbish to be read", func() bool { return strings.Contains(g.upstream.NotReloaded(), "no PEM certificate") })
	_ = againKey
	if _, code := ask(); code != 200 {
		t.Errorf("with rubbish: %d", code)
	}
	o.Target.TLS = &upstream.TLS{CA: filepath.Join(folder, "none.pem")}
	if _, err := httpbackend.NewPool("x").Get(o, func(upstream.Target) (httpbackend.Servers, error) { return g.servers, nil }); err == nil {
		t.Error("an upstream without its authorities is made")
	}
}

// TestCredentials: servers know us by what is set, in place of what clients and policies
// say; a file is read again (Traffic 159).
func TestCredentials(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Saw", strings.Join(r.Header["Authorization"], "|"))
	})
	folder := t.TempDir()
	password, token := filepath.Join(folder, "password"), filepath.Join(folder, "token")
	save(t, password, []byte("gateway:s:e cret\n"))
	save(t, token, []byte("first\r\n"))
	for name, test := range map[string]struct {
		credentials httpbackend.Credentials
		want        string
	}{
		"none":               {httpbackend.Credentials{}, "Bearer policy"},
		"basic":              {httpbackend.Credentials{Basic: "gateway:s:e cret"}, "Basic Z2F0ZXdheTpzOmUgY3JldA=="},
		"bearer":             {httpbackend.Credentials{Bearer: "abc"}, "Bearer abc"},
		"basic of a file":    {httpbackend.Credentials{Basic: password, File: true}, "Basic Z2F0ZXdheTpzOmUgY3JldA=="},
		"a bearer of a file": {httpbackend.Credentials{Bearer: token, File: true}, "Bearer first"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, address, httpbackend.Options{Credentials: test.credentials})
			g.change = func(x *httpbackend.Exchange) {
				x.Header = func(h http.Header) { h["Authorization"] = []string{"Bearer policy"} }
			}
			ask := func() string {
				return do(t, g.Clients["HTTP/2"], "GET", "/", nil, "Authorization", "Bearer client").Header.Get("X-Saw")
			}
			if saw := ask(); saw != test.want {
				t.Errorf("the server saw %q, want %q", saw, test.want)
			}
			if test.credentials.Bearer != token {
				return
			}
			save(t, token, []byte("second"))
			waitFor(t, "the file to be read again", func() bool { return ask() == "Bearer second" })
			save(t, token, []byte("two words"))
			waitFor(t, "the rubbish to be told", func() bool { return strings.Contains(g.upstream.NotReloaded(), "credentials: ") })
			if saw := ask(); saw != "Bearer second" {
				t.Errorf("with rubbish in the file the server saw %q", saw)
			}
		})
	}
	for name, c := range map[string]httpbackend.Credentials{
		"no user":       {Basic: "secret"},
		"an empty user": {Basic: ":secret"},
		"a bad token":   {Bearer: "a b"},
		"a control":     {Bearer: "a\x00b"},
		"no file":       {Bearer: filepath.Join(folder, "none"), File: true},
		"both":          {Basic: "a:b", Bearer: "c"},
	} {
		if _, err := httpbackend.NewPool("x").Get(httpbackend.Options{Credentials: c}, func(upstream.Target) (httpbackend.Servers, error) { return new(one), nil }); err == nil || !strings.HasPrefix(err.Error(), "credentials: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProtocolChoice: where a server may choose the protocol it is asked for each
// connection, and HTTP/1.1 goes by connections that are used again (Traffic 152, 153).
func TestProtocolChoice(t *testing.T) {
	own, _, _ := pair(t, "shop.test")
	var protocols atomic.Pointer[[]string]
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	s.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		connections.Add(1)
		return &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: *protocols.Load()}, nil
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	g := newTLSRig(t, s.Listener.Addr().String(), httpbackend.Options{})
	for _, test := range [][2]string{{"http/1.1", "HTTP/1.1"}, {"h2", "HTTP/2.0"}, {"http/1.1", "HTTP/1.1"}} {
		protocols.Store(&[]string{test[0]})
		ask := func() string { return do(t, g.Clients["HTTP/1.1"], "POST", "/", strings.NewReader("x")).body }
		waitFor(t, test[0]+" to be spoken", func() bool { return ask() == test[1] }) // an old connection may not be known to have gone
		before := connections.Load()
		for range 5 {
			if got := ask(); got != test[1] {
				t.Errorf("%s is chosen: %q", test[0], got)
			}
		}
		if n := connections.Load() - before; n > 0 {
			t.Errorf("%s is chosen: %d more connections", test[0], n)
		}
		s.CloseClientConnections()
	}
}
