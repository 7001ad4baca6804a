package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestResumptionAcrossProcesses: Traffic 186: sessions are resumed by every process that has the secret, and
// by one that has begun anew, for OpenSSL, Go and by HTTP/3; the secret is in no log, listing or metric.
func TestResumptionAcrossProcesses(t *testing.T) {
	const secret = "f3b1c0ffee5ec7e7f3b1c0ffee5ec7e7"
	cert, key := keytest.Certificate(t, "localhost")
	dir := folder(t, map[string]string{
		"protos/p.proto": goodProto, "cert.pem": cert, "key.pem": key, "secret": secret + "\n",
		"transom.yaml": `listeners: [{ address: "127.0.0.1:0", http3: true, tls: { certificates: [{ certificate: cert.pem, key: key.pem }] } }]
admin: { address: "127.0.0.1:0" }
schemas: [{ directory: ./protos }]
upstreams: { books: { grpc: { target: "localhost:1" } } }
fleet_secret: file:secret
`})
	bin, config := buildTransom(t), filepath.Join(dir, "transom.yaml")
	start := func() *process { return startCommand(t, bin, "serve", "--config", config) }
	processes := []*process{start(), start(), start()}
	at := func(p *process) string { return strings.TrimPrefix(p.url, "http://") }

	trust := trusting(t, cert, "localhost")
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	byGo := func(p *process) bool {
		c, err := tls.Dial("tcp", at(p), trust)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(text, []byte("HTTP/1.1 404")) {
			t.Fatalf("%.50s %v", text, err)
		}
		return c.ConnectionState().DidResume
	}
	session := filepath.Join(dir, "session.pem")
	byOpenSSL := func(p *process, more ...string) bool {
		arguments := append([]string{"s_client", "-connect", at(p), "-servername", "localhost", "-sess_out", session, "-ign_eof"}, more...)
		command := exec.CommandContext(t.Context(), "openssl", arguments...)
		command.Stdin = strings.NewReader("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		out, err := command.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("HTTP/1.1 404")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return bytes.Contains(out, []byte("Reused, "))
	}
	over3 := trusting(t, cert, "localhost")
	over3.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	byHTTP3 := func(p *process) bool {
		transport := &http3.Transport{TLSClientConfig: over3}
		defer func() { _ = transport.Close() }()
		request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+at(p)+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.TLS.DidResume
	}

	if byGo(processes[0]) || byOpenSSL(processes[0], "-tls1_3") {
		t.Error("a first session is resumed")
	}
	// A ticket comes after the answer may have.
	poll.Until(t, "a session to be resumed over HTTP/3", func() bool { return byHTTP3(processes[0]) })
	const rounds = 4
	asked, resumed := 0, 0
	count := func(is bool) {
		if asked++; is {
			resumed++
		}
	}
	for round := range rounds {
		for _, p := range processes {
			count(byGo(p))
			count(byOpenSSL(p, "-sess_in", session, "-tls1_3"))
			poll.Until(t, "a session to be resumed by another process over HTTP/3", func() bool { return byHTTP3(p) })
		}
		if round == rounds/2 {
			processes[1].stop()
			processes[1] = start()
		}
	}
	t.Logf("%d of %d resumed", resumed, asked)
	if resumed*100 < asked*99 {
		t.Errorf("%d of %d sessions were resumed, want 99 of 100", resumed, asked)
	}

	for _, p := range processes {
		_, admin, _ := strings.Cut(p.admin, "://")
		for _, path := range []string{"/metrics", "/routes", "/readyz?verbose", "/"} {
			if _, text := get(t, "http://"+admin+path); strings.Contains(text, secret) {
				t.Errorf("%s has the secret", path)
			}
		}
		if strings.Contains(p.log.String(), secret) {
			t.Error("the log has the secret")
		}
	}
	_, admin, _ := strings.Cut(processes[0].admin, "://")
	if _, text := get(t, "http://"+admin+"/metrics"); !strings.Contains(text, `transom_certificate_expiry_seconds{name="localhost"} `) {
		t.Errorf("metrics have no expiry of the certificate:\n%s", text)
	}
	for _, arguments := range [][]string{{"explain", "GET", "/", "--config", config}, {"check", "--config", config}, {"routes", "--json", "--config", config}} {
		if _, out, told := command(t, arguments...); strings.Contains(out+told, secret) {
			t.Errorf("%v shows the secret", arguments)
		}
	}
}
