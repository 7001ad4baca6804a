package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	bookstorev1 "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// client is the address from which the tests call nginx.
const client = "127.0.0.77"

// front is nginx as docs/production.md shows it.
type front struct {
	address string
	tls     *tls.Config   // of its clients
	log     *logtext.Text // the gateway's
}

// productionNginx is the nginx block of the page, with other addresses and files.
func productionNginx(t *testing.T, upstream, listen, cert, key string) string {
	t.Helper()
	page, err := os.ReadFile("../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(page), "```nginx\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("docs/production.md has no nginx block")
	}
	for from, to := range map[string]string{
		"server 127.0.0.1:8080;": "server " + upstream + ";", "listen 443 ssl http2;": "listen " + listen + " ssl http2;",
		"/etc/nginx/cert.pem": cert, "/etc/nginx/key.pem": key,
	} {
		if !strings.Contains(block, from) {
			t.Fatalf("the nginx block lacks %q", from)
		}
		block = strings.ReplaceAll(block, from, to)
	}
	return block
}

// runNginx runs nginx with what its block http has until the end of the test.
func runNginx(t *testing.T, folder, http string) {
	t.Helper()
	config := filepath.Join(folder, "nginx.conf")
	text := fmt.Sprintf(`
daemon off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
%[2]s
}
`, folder, http)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // Debian's, where only root's PATH leads
	}
	command := exec.CommandContext(t.Context(), program, "-c", config, "-p", folder, "-e", "stderr")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // it says that it was stopped
}

// startFront starts nginx in front of a gateway that trusts it.
func startFront(t *testing.T) *front {
	t.Helper()
	f := &front{address: loopback.Address(t), log: &logtext.Text{}}
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "trusted_proxies: [127.0.0.1/32]\n", Log: f.log})
	issuer := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(issuer.Close)
	f.tls = issuer.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	f.tls.ServerName = "example.com"
	dir := t.TempDir()
	put := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuer.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	site := productionNginx(t, g.Addr, f.address, put("cert.pem", "CERTIFICATE", issuer.TLS.Certificates[0].Certificate[0]), put("key.pem", "PRIVATE KEY", key))
	runNginx(t, dir, site)
	poll.Until(t, "nginx to listen", func() bool {
		conn, err := net.Dial("tcp", f.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return f
}

// dial connects to nginx from the client's address.
func (f *front) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	return d.DialContext(ctx, "tcp", f.address)
}

// seen wants a line in the gateway's log about a call from the client's address.
func (f *front) seen(t *testing.T, path, protocol string) {
	t.Helper()
	poll.Until(t, path+" from the client in the log", func() bool {
		for line := range strings.Lines(f.log.String()) {
			if strings.Contains(line, `"path":"`+path+`"`) && strings.Contains(line, `"client_ip":"`+client+`"`) && strings.Contains(line, `"protocol":"`+protocol+`"`) {
				return true
			}
		}
		return false
	})
}

// TestNginx runs the nginx block of docs/production.md: TLS at nginx, the gateway in
// cleartext behind it, which takes the client's address from it (Semantics 309).
func TestNginx(t *testing.T) {
	f := startFront(t)
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run("REST by "+name, func(t *testing.T) { nginxREST(t, f, http2) })
	}
	t.Run("gRPC", func(t *testing.T) { nginxGRPC(t, f) })
	t.Run("WebSocket", func(t *testing.T) { nginxWebSocket(t, f) })
}

func nginxREST(t *testing.T, f *front, http2 bool) {
	transport := &http.Transport{
		TLSClientConfig: f.tls.Clone(), ForceAttemptHTTP2: http2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx) },
	}
	t.Cleanup(transport.CloseIdleConnections)
	path := fmt.Sprintf("/v1/shelves/%d", map[bool]int{false: 1, true: 2}[http2])
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "10.9.8.7") // which nginx does not believe either
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || response.ProtoAtLeast(2, 0) != http2 || !bytes.Contains(text, []byte(`"name":`)) {
		t.Errorf("%s %s %s, %v", response.Proto, response.Status, text, err)
	}
	f.seen(t, path, "rest")
}

func nginxGRPC(t *testing.T, f *front) {
	conn, err := grpc.NewClient("passthrough:///example.com:443", grpc.WithTransportCredentials(credentials.NewTLS(f.tls.Clone())),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return f.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	shelf, err := bookstorev1.NewBookstoreServiceClient(conn).GetShelf(t.Context(), &bookstorev1.GetShelfRequest{Name: "shelves/1"})
	if err != nil || shelf.GetName() != "shelves/1" {
		t.Errorf("%v, %v", shelf, err)
	}
	f.seen(t, "/bookstore.v1.BookstoreService/GetShelf", "grpc")
}

func nginxWebSocket(t *testing.T, f *front) {
	raw, err := f.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config := f.tls.Clone()
	config.NextProtos = []string{"http/1.1"}
	conn := tls.Client(raw, config)
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	const path = "/bookstore.v1.BookstoreService/ListShelves"
	_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: example.com\r\nOrigin: https://example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"+
		"\x81\x82\x00\x00\x00\x00{}") // a text frame, masked with zeros
	if err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // it is that of a connection which is a WebSocket now
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(response.Status)
	}
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(from, text); err != nil || head[0] != 0x81 || head[1] != 126 || !bytes.Contains(text, []byte(`"shelves"`)) {
		t.Errorf("%x %s, %v", head, text, err)
	}
	_ = conn.Close()
	f.seen(t, path, "websocket")
}
