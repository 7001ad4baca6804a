package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// listening serves the bookstore by a configuration with these listeners, beside
// files of that folder, and returns their addresses.
func listening(t *testing.T, dir, listeners string) []net.Addr {
	t.Helper()
	write(t, filepath.Join(dir, "p.proto"), goodProto)
	write(t, filepath.Join(dir, "transom.yaml"), "listeners: "+listeners+"\nadmin: { address: \"127.0.0.1:0\" }\nschemas: [{ directory: . }]\n"+
		"upstreams: { books: { grpc: { target: \""+gatewaytest.StartBookstore(t)+"\" } } }\n")
	return served(t, filepath.Join(dir, "transom.yaml"))
}

// served serves by a configuration and returns the addresses of its listeners.
func served(t *testing.T, config string) []net.Addr {
	t.Helper()
	in := input{config: config}
	var addresses []net.Addr
	startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, func(running *server.Server) {
			addresses = running.Addresses()
			started(running)
		})
	})
	return addresses
}

// hello asks a listener for a path that has no route, with a connection of its
// own, and returns the answer's body.
func hello(t *testing.T, config *tls.Config, address net.Addr, http2 bool) (*http.Response, error) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		TLSClientConfig: config, Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
		},
	}
	defer transport.CloseIdleConnections()
	scheme := "https"
	if config == nil {
		scheme = "http"
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://first.example/nothing", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusNotFound || !strings.Contains(string(text), "no route for /nothing") {
		t.Errorf("%d %s, %v", response.StatusCode, text, err)
	}
	return response, nil
}

// trusting is a client that trusts a certificate and expects its name.
func trusting(t *testing.T, cert, name string) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(cert)) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}
}

// TestTLS: HTTP/1.1 and HTTP/2 over TLS, with a certificate that is read anew when
// its files change.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	changes := 0
	put := func(cert, key string) {
		t.Helper()
		changes++
		for name, text := range map[string]string{"cert.pem": cert, "key.pem": key} {
			path := filepath.Join(dir, name)
			write(t, path, text)
			// Clocks of file systems may be too coarse for two writes in a test.
			at := time.Now().Add(time.Duration(changes) * time.Minute)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, firstKey := keytest.Certificate(t, "first.example")
	put(first, firstKey)
	at := listening(t, dir, `[{ address: "127.0.0.1:0", tls: { certificate: cert.pem, key: key.pem } }]`)[0]
	for _, http2 := range []bool{false, true} {
		response, err := hello(t, trusting(t, first, "first.example"), at, http2)
		if err != nil {
			t.Fatal(err)
		}
		if want := 1 + map[bool]int{true: 1}[http2]; response.ProtoMajor != want {
			t.Errorf("%s, want HTTP/%d", response.Proto, want)
		}
	}
	second, secondKey := keytest.Certificate(t, "second.example")
	put(second, secondKey)
	// A handshake does not wait for the files to be read.
	poll.Until(t, "the files that have changed to be in effect", func() bool {
		_, err := hello(t, trusting(t, second, "second.example"), at, true)
		return err == nil
	})
	put("", firstKey)
	if _, err := hello(t, trusting(t, second, "second.example"), at, true); err != nil {
		t.Errorf("while the files are broken: %v", err)
	}
}

// TestClientCertificates: who has none of the authority's is not let in.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := keytest.Certificate(t, "first.example")
	mine, mineKey := keytest.Certificate(t, "client.example")
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	write(t, filepath.Join(dir, "ca.pem"), mine)
	at := listening(t, dir, `[{ address: "127.0.0.1:0", tls: { certificate: cert.pem, key: key.pem, client_ca: ca.pem } }]`)[0]
	config := trusting(t, cert, "first.example")
	if response, err := hello(t, config, at, true); err == nil {
		t.Errorf("without a certificate: %s", response.Status)
	}
	pair, err := tls.X509KeyPair([]byte(mine), []byte(mineKey))
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	if _, err := hello(t, config, at, true); err != nil {
		t.Error(err)
	}
}

// TestUnixListener: a gateway behind a proxy of the same machine needs no port. A
// socket that a killed one left is in nobody's way, one in use stays.
func TestUnixListener(t *testing.T) {
	dir, err := os.MkdirTemp("", "t") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	at := listening(t, dir, `[{ address: "unix:`+socket+`" }]`)[0]
	if _, err := hello(t, nil, at, false); err != nil {
		t.Error(err)
	}
	code, _, told := command(t, "serve", dir, "--upstream", "localhost:1", "--listen", "unix:"+socket, "--admin", "-")
	if code != exitProblem || !strings.Contains(told, "address already in use") {
		t.Errorf("a socket in use: %d %s", code, told)
	}
	if _, err := hello(t, nil, at, false); err != nil {
		t.Errorf("after another one wanted the socket: %v", err)
	}
}

// TestListenersThatCannot names all of them, each with its place.
func TestListenersThatCannot(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	cert, key := keytest.Certificate(t, "first.example")
	_, otherKey := keytest.Certificate(t, "second.example")
	dir := folder(t, map[string]string{
		"p.proto": goodProto, "cert.pem": cert, "key.pem": key, "other.pem": otherKey, "empty.pem": "",
		"transom.yaml": `listeners:
  - address: "` + taken.Addr().String() + `"
  - { address: "127.0.0.1:0", tls: { certificate: cert.pem, key: other.pem } }
  - { address: "127.0.0.1:0", tls: { certificate: cert.pem, key: key.pem, client_ca: empty.pem } }
schemas: [{ directory: . }]
upstreams: { books: { grpc: { target: "localhost:1" } } }
`,
	})
	config := filepath.Join(dir, "transom.yaml")
	code, _, told := command(t, "serve", "--config", config, "--admin", "-")
	if code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		config + ":2:5: listen tcp " + taken.Addr().String() + ": bind: address already in use: another program listens there; end it, or choose another address\n",
		config + ":3:66: certificate " + filepath.Join(dir, "cert.pem") + " and key " + filepath.Join(dir, "other.pem") + ": tls: private key does not match public key\n",
		config + ":4:86: client_ca: empty.pem holds no PEM certificate\n",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in\n%s", want, told)
		}
	}
}
