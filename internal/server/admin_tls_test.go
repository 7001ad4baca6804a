package server_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// adminOverTLS starts a server whose admin listener asks for certificates that ops has
// signed, and whose audit log is audit.
func adminOverTLS(t *testing.T, folder string, trusted ...string) (o server.Options, address, audit string) {
	t.Helper()
	own, key := keytest.Certificate(t, "localhost")
	audit = filepath.Join(folder, "audit.jsonl")
	for name, content := range map[string]string{"own.pem": own, "own.key": key, "ca.pem": strings.Join(trusted, "")} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o = options(t, `listeners: [{ address: "127.0.0.1:0" }]
upstreams: { books: { grpc: { target: "127.0.0.1:1" } } }
admin:
  address: "127.0.0.1:0"
  tls: { certificate: "`+filepath.Join(folder, "own.pem")+`", key: "`+filepath.Join(folder, "own.key")+`", client_ca: "`+filepath.Join(folder, "ca.pem")+`" }
  audit: { file: "`+audit+`" }
`, io.Discard)
	const proto = `syntax = "proto3"; package p; message M {} service S { rpc Get(M) returns (M); }`
	if err := os.WriteFile(filepath.Join(filepath.Dir(o.File.Path), "p.proto"), []byte(proto), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Gateway.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := server.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { _ = s.Close() })
	return o, s.Admin().String(), audit
}

// tlsClient has a certificate, or none where cert is empty, and trusts the server's.
func tlsClient(t *testing.T, folder, cert, key string) *http.Client {
	t.Helper()
	own, err := os.ReadFile(filepath.Join(folder, "own.pem"))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	config.RootCAs.AppendCertsFromPEM(own)
	if cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		// Whatever authorities the server names: one that it does not know is sent, too.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// TestAdminCertificates: Surface 231, 232 and 267: who has a certificate of
// admin.tls.client_ca operates, and the audit log names it; without one, probes and
// scrapers are served and nobody else; a page of another origin changes nothing, whatever
// certificate its browser has.
func TestAdminCertificates(t *testing.T) {
	folder := t.TempDir()
	ops, opsKey := keytest.Certificate(t, "ops")
	stranger, strangerKey := keytest.Certificate(t, "stranger")
	o, address, audit := adminOverTLS(t, folder, ops)
	with, without := tlsClient(t, folder, ops, opsKey), tlsClient(t, folder, "", "")
	const out = "/upstreams/books/endpoint?address=127.0.0.1:1&state=out"
	for _, test := range []struct {
		name, method, path string
		client             *http.Client
		header             []string
		want               int // 0: no connection
	}{
		{"a probe", "GET", "/readyz", without, nil, 200},
		{"a scraper", "GET", "/metrics", without, nil, 200},
		{"no certificate", "GET", "/upstreams", without, nil, 401},
		{"no certificate", "POST", out, without, nil, 401},
		{"a token that nobody has", "POST", out, without, []string{"Authorization", "Bearer "}, 401},
		{"a certificate", "GET", "/upstreams", with, nil, 200},
		{"a certificate", "POST", out, with, nil, 200},
		{"a certificate", "POST", "/reload", with, nil, 200},
		{"a certificate", "POST", "/log/level?level=ERROR", with, nil, 200},
		{"a page of another origin", "POST", out, with, []string{"Origin", "https://evil.example"}, 403},
		{"a page of another origin, by a new browser", "POST", "/reload", with, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403},
		{"the listener's own page", "POST", "/reload", with, []string{"Origin", "https://" + address, "Sec-Fetch-Site", "same-origin"}, 200},
		{"a certificate of somebody else", "GET", "/readyz", tlsClient(t, folder, stranger, strangerKey), nil, 0},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, "https://"+address+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(test.header); i += 2 {
			r.Header.Set(test.header[i], test.header[i+1])
		}
		response, err := test.client.Do(r)
		if err != nil {
			if test.want != 0 {
				t.Errorf("%s: %s %s: %v, want %d", test.name, test.method, test.path, err, test.want)
			}
			continue
		}
		said, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s: %s %s: %d %s, want %d", test.name, test.method, test.path, response.StatusCode, said, test.want)
		}
	}
	plain, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(plain); err == nil {
		_ = response.Body.Close()
		if response.StatusCode == 200 {
			t.Error("it answers in cleartext")
		}
	}
	if level := o.Telemetry.Level().String(); level != "ERROR" {
		t.Errorf("it logs at level %s", level)
	}
	wantAudit(t, audit, o.File.Path)
}

// wantAudit looks at the lines that the requests above leave.
func wantAudit(t *testing.T, audit, config string) {
	t.Helper()
	lines, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	var got []string
	for line := range strings.Lines(string(lines)) {
		var e admin.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.Join([]string{e.Event, e.Who}, ": "))
		hash := ""
		if e.Event == "reload" {
			hash = hex.EncodeToString(sum[:])
		}
		if e.ConfigBefore != hash || e.ConfigAfter != hash {
			t.Errorf("%s: the configuration was %q and is %q, want %q", e.Event, e.ConfigBefore, e.ConfigAfter, hash)
		}
	}
	want := []string{
		"auth_failed: ", "auth_failed: ", "auth_failed: ", "endpoint: certificate CN=ops", "reload: certificate CN=ops",
		"log_level: certificate CN=ops", "reload: certificate CN=ops",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the audit log has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestAdminAuthoritiesChange: Surface 231: the authorities of the admin listener are read
// anew, and a certificate of those before is none any more.
func TestAdminAuthoritiesChange(t *testing.T) {
	folder := t.TempDir()
	before, beforeKey := keytest.Certificate(t, "before")
	after, afterKey := keytest.Certificate(t, "after")
	_, address, _ := adminOverTLS(t, folder, before)
	ask := func(cert, key string) int {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+address+"/upstreams", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := tlsClient(t, folder, cert, key).Do(r)
		if err != nil {
			return 0
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	if first, second := ask(before, beforeKey), ask(after, afterKey); first != 200 || second != 0 {
		t.Fatalf("before: %d and %d", first, second)
	}
	if err := os.WriteFile(filepath.Join(folder, "ca.pem"), []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the other authorities to be used", func() bool { return ask(after, afterKey) == 200 })
	if got := ask(before, beforeKey); got != 0 {
		t.Errorf("after: a certificate of those before: %d", got)
	}
}
