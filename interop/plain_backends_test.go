package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// nodeServer is a small application of Node.
const nodeServer = `
const http = require('http'), crypto = require('crypto');
const server = http.createServer((q, r) => {
  switch (q.url) {
  case '/hints': r.writeEarlyHints({ link: '</a.css>; rel=preload; as=style' }); return r.end('hinted');
  case '/cached':
    r.setHeader('etag', '"v1"');
    if (q.headers['if-none-match'] === '"v1"') { r.statusCode = 304; return r.end(); }
    return r.end('cached');
  case '/trailer': r.writeHead(200, { trailer: 'x-trailer' }); r.write('body'); r.addTrailers({ 'x-trailer': 'yes' }); return r.end();
  case '/large': r.setHeader('content-length', 1 << 20); return r.end(q.method === 'HEAD' ? undefined : Buffer.alloc(1 << 20, 'x'));
  }
  q.pipe(r);
});
server.on('upgrade', (q, c) => {
  const accept = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  c.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  let kept = Buffer.alloc(0);
  c.on('error', () => {});
  c.on('data', (d) => {
    kept = Buffer.concat([kept, d]);
    while (kept.length >= 6 && kept.length >= 6 + (kept[1] & 127)) { // small frames of clients
      const n = kept[1] & 127, text = Buffer.from(kept.subarray(6, 6 + n));
      for (let i = 0; i < n; i++) text[i] ^= kept[2 + i % 4];
      c.write(Buffer.concat([Buffer.from([kept[0], n]), text]));
      kept = kept.subarray(6 + n);
    }
  });
});
server.listen(+process.argv[3], process.argv[2]);
`

// start runs a server until the end of the test, and waits until it listens.
func start(t *testing.T, address, install, program string, args ...string) {
	t.Helper()
	found, err := exec.LookPath(program)
	if err != nil {
		found = "/usr/sbin/" + program // Debian's, where only root's PATH leads
	}
	command := exec.CommandContext(t.Context(), found, args...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stderr = t.Output()
	if err := command.Start(); err != nil {
		t.Fatalf("this test needs %s: install Debian's package %s: %v", program, install, err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // it says that it was stopped
	listens(t, program, address)
}

func listens(t *testing.T, program, address string) {
	t.Helper()
	poll.Until(t, program+" to listen", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// plainBackends starts real servers, and a gateway with a route to each by its name.
func plainBackends(t *testing.T) *gatewaytest.Gateway {
	t.Helper()
	dir, files := t.TempDir(), t.TempDir()
	put(t, filepath.Join(files, "large"), strings.Repeat("x", 1<<20))
	for path, mode := range map[string]os.FileMode{filepath.Join(files, "large"): 0o644, files: 0o755, filepath.Dir(files): 0o755} {
		if err := os.Chmod(path, mode); err != nil { // nginx, started by root, reads as nobody
			t.Fatal(err)
		}
	}
	node, nginx, haproxy, h2c, h2 := loopback.Address(t), loopback.Address(t), loopback.Address(t), loopback.Address(t), loopback.Address(t)
	host, port, _ := net.SplitHostPort(node)
	start(t, node, "nodejs", "node", put(t, filepath.Join(dir, "server.js"), nodeServer), host, port)
	runNginx(t, t.TempDir(), fmt.Sprintf("server { listen %s; client_max_body_size 0; location = /large { root %s; } "+
		"location / { proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Host $host; proxy_pass http://%s; } }", nginx, files, node))
	listens(t, "nginx", nginx)
	start(t, haproxy, "haproxy", "haproxy", "-db", "-q", "-f", put(t, filepath.Join(dir, "haproxy.cfg"), fmt.Sprintf(
		"defaults\n\tmode http\n\ttimeout connect 10s\n\ttimeout client 1m\n\ttimeout server 1m\n\ttimeout tunnel 1m\nfrontend f\n\tbind %s\n\tdefault_backend b\nbackend b\n\tserver n %s\n", haproxy, node)))
	cert, key := keytest.Certificate(t, "nghttpd.example")
	put(t, filepath.Join(dir, "cert.pem"), cert)
	put(t, filepath.Join(dir, "key.pem"), key)
	host, port, _ = net.SplitHostPort(h2c)
	start(t, h2c, "nghttp2-server", "nghttpd", "-a", host, "-d", files, "--echo-upload", "--trailer=x-trailer: yes", "--no-tls", port)
	host, port, _ = net.SplitHostPort(h2)
	start(t, h2, "nghttp2-server", "nghttpd", "-a", host, "-d", files, "--echo-upload", "--trailer=x-trailer: yes", port, filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem"))
	var upstreams, routes []string
	for name, of := range map[string]string{
		"node": fmt.Sprintf("servers: [%q]", node), "nginx": fmt.Sprintf("servers: [%q]", nginx), "haproxy": fmt.Sprintf("servers: [%q]", haproxy),
		"h2c": fmt.Sprintf("servers: [%q], protocol: H2C", h2c),
		"h2":  fmt.Sprintf("servers: [%q], tls: { ca: %q, server_name: nghttpd.example }", h2, filepath.Join(dir, "cert.pem")),
	} {
		upstreams = append(upstreams, fmt.Sprintf("%s: { http: { %s } }", name, of))
		routes = append(routes, fmt.Sprintf("  - { match: { path_prefix: /%[1]s }, upstream: %[1]s, rewrite: { strip_prefix: /%[1]s } }\n", name))
	}
	return gatewaytest.Start(t, gatewaytest.Options{Upstreams: strings.Join(upstreams, ", "), Config: "routes:\n" + strings.Join(routes, "")})
}

// TestPlainBackends carries requests through routes to nginx, HAProxy, nghttpd and Node.
func TestPlainBackends(t *testing.T) {
	g := plainBackends(t)
	for _, name := range []string{"node", "nginx", "haproxy", "h2c", "h2"} {
		for by, client := range map[string]*http.Client{"HTTP/1.1": g.Client, "HTTP/2": g.HTTP2} {
			t.Run(name+" by "+by, func(t *testing.T) { plainExchanges(t, client, g.URL+"/"+name, name) })
		}
		t.Run(name+" by curl", func(t *testing.T) { plainByCurl(t, g.URL+"/"+name) })
	}
	for _, name := range []string{"node", "haproxy"} {
		t.Run(name+": WebSocket", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, _, err := websocket.Dial(ctx, g.URL+"/"+name+"/chat", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.CloseNow() }()
			for n := range 20 {
				want := strconv.Itoa(n)
				if err := c.Write(ctx, websocket.MessageText, []byte(want)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := c.Read(ctx); err != nil || string(got) != want {
					t.Fatalf("%q, %v", got, err)
				}
			}
		})
	}
}

// exchanged sends a request and reads the answer to its end.
func exchanged(t *testing.T, client *http.Client, method, url string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return response, text
}

func plainExchanges(t *testing.T, client *http.Client, url, name string) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	r, text := exchanged(t, client, "GET", url+"/large", nil)
	if r.StatusCode != 200 || len(text) != 1<<20 || bytes.Count(text, []byte("x")) != 1<<20 {
		t.Errorf("GET: %s, %d bytes", r.Status, len(text))
	}
	if r, text := exchanged(t, client, "HEAD", url+"/large", nil); r.StatusCode != 200 || r.ContentLength != 1<<20 || len(text) > 0 {
		t.Errorf("HEAD: %s, length %d, %d bytes", r.Status, r.ContentLength, len(text))
	}
	for framing, body := range map[string]io.Reader{"a length": bytes.NewReader(large), "chunks": io.MultiReader(bytes.NewReader(large))} {
		r, text := exchanged(t, client, "POST", url+"/echo", body)
		if r.StatusCode != 200 || sha256.Sum256(text) != sha256.Sum256(large) {
			t.Errorf("POST with %s: %s, %d bytes", framing, r.Status, len(text))
		}
	}
	etag, since := r.Header.Get("Etag"), r.Header.Get("Last-Modified")
	switch {
	case etag != "":
		r, text = exchanged(t, client, "GET", url+"/large", nil, "If-None-Match", etag)
	case since != "":
		r, text = exchanged(t, client, "GET", url+"/large", nil, "If-Modified-Since", since)
	default:
		r, text = exchanged(t, client, "GET", url+"/cached", nil, "If-None-Match", `"v1"`)
	}
	if r.StatusCode != 304 || len(text) > 0 {
		t.Errorf("%s with %d bytes, want 304", r.Status, len(text))
	}
	if name == "nginx" {
		return // it passes neither trailers nor 103
	}
	path := "/trailer"
	if strings.HasPrefix(name, "h2") {
		path = "/large"
	}
	// nghttpd says the length, and nothing of the trailer: HTTP/1.1 has none there.
	if r, _ := exchanged(t, client, "GET", url+path, nil, "Te", "trailers"); (path == "/trailer" || r.ProtoMajor == 2) && r.Trailer.Get("X-Trailer") != "yes" {
		t.Errorf("the trailer is %v", r.Trailer)
	}
	if !strings.HasPrefix(name, "h2") {
		wantHints(t, client, url+"/hints")
	}
}

// wantHints asks for an answer that 103 precedes.
func wantHints(t *testing.T, client *http.Client, url string) {
	t.Helper()
	var hints atomic.Int64
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		if code == http.StatusEarlyHints && strings.Contains(header.Get("Link"), "a.css") {
			hints.Add(1)
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(text) != "hinted" || hints.Load() != 1 {
		t.Errorf("%q with %d hints, %v", text, hints.Load(), err)
	}
}

func plainByCurl(t *testing.T, url string) {
	large := strings.Repeat("0123456789abcdef", 1<<17) // curl says Expect from 1 MB on
	for _, mode := range []string{"--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"} {
		for name, test := range map[string]struct {
			args []string
			in   string
			want string
		}{
			"GET":             {[]string{"-o", os.DevNull, "-w", "%{http_code} %{size_download}", url + "/large"}, "", "200 1048576"},
			"HEAD":            {[]string{"-I", "-o", os.DevNull, "-w", "%{http_code}", url + "/large"}, "", "200"},
			"POST of stdin":   {[]string{"-X", "POST", "-T", "-", url + "/echo"}, large, large},
			"POST":            {[]string{"--data-binary", "@-", url + "/echo"}, large, large},
			"with an Expect":  {[]string{"-H", "Expect: 100-continue", "--data-binary", "@-", url + "/echo"}, "small", "small"},
			"without Expect":  {[]string{"-H", "Expect:", "--data-binary", "@-", url + "/echo"}, large, large},
			"an empty upload": {[]string{"-X", "POST", "-T", "-", "-w", "%{http_code}", url + "/echo"}, "", "200"},
		} {
			if mode == "--http1.0" && name != "GET" && name != "HEAD" && name != "POST" {
				continue // it has no chunks and no 100
			}
			command := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-m", "60", mode}, test.args...)...)
			command.Stdin = strings.NewReader(test.in)
			out, err := command.Output()
			if err != nil || string(out) != test.want {
				t.Errorf("%s %s: %d bytes, %.100q, %v", mode, name, len(out), out, err)
			}
		}
	}
}
