package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

const tlsListeners = `[{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { certificate: cert.pem, key: key.pem, client_ca: ca.pem } }]`

// withTLS writes a configuration with a TLS listener beside its files.
func withTLS(t *testing.T, dir, listeners string) {
	t.Helper()
	write(t, filepath.Join(dir, "p.proto"), goodProto)
	write(t, filepath.Join(dir, "transom.yaml"), "listeners: "+listeners+"\nadmin: { address: \"127.0.0.1:0\" }\nschemas: [{ directory: . }]\n"+
		"upstreams: { s: { grpc: { target: \"localhost:1\" } } }\n")
}

// body fetches a page of the admin listener.
func body(t *testing.T, url string) string {
	t.Helper()
	return answerTo(t, http.MethodGet, url)
}

// answerTo is the body of the answer to a request without one.
func answerTo(t *testing.T, method, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestNotReloaded: what has changed and is not in effect is told of, and the last good
// one serves on (Semantics 322).
func TestNotReloaded(t *testing.T) {
	dir := t.TempDir()
	first, firstKey := keytest.Certificate(t, "first.example")
	changes := 0
	put := func(name, text string) {
		t.Helper()
		changes++
		path := filepath.Join(dir, name)
		write(t, path, text)
		at := time.Now().Add(time.Duration(changes) * time.Minute) // clocks of file systems may be coarse
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	put("cert.pem", first)
	put("key.pem", firstKey)
	put("ca.pem", first)
	withTLS(t, dir, tlsListeners)
	in := input{config: filepath.Join(dir, "transom.yaml")}
	var at net.Addr
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, func(running *server.Server) {
			at = running.Addresses()[1]
			started(running)
		})
	})
	told := func(setting, why string) {
		t.Helper()
		poll.Until(t, setting+" to be told of", func() bool {
			return strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded: "+setting+": "+why)
		})
		if !strings.Contains(body(t, r.admin+"/metrics"), `transom_not_reloaded{setting="`+setting+`"} 1`) {
			t.Errorf("no metric for %s", setting)
		}
		if log := r.log.String(); !strings.Contains(log, "WARN") || !strings.Contains(log, "not reloaded: "+why) {
			t.Errorf("no line in the log for %s: %s", setting, log)
		}
	}
	if text := body(t, r.admin+"/readyz?verbose"); strings.Contains(text, "not reloaded") {
		t.Error(text)
	}
	second, secondKey := keytest.Certificate(t, "second.example")
	put("key.pem", secondKey) // which does not belong to the certificate
	told("listeners[1].tls", "certificate "+filepath.Join(dir, "cert.pem"))
	pair, err := tls.X509KeyPair([]byte(first), []byte(firstKey))
	if err != nil {
		t.Fatal(err)
	}
	config := trusting(t, first, "first.example")
	config.Certificates = []tls.Certificate{pair}
	if _, err := hello(t, config, at, true); err != nil {
		t.Errorf("while the files do not fit: %v", err)
	}
	put("cert.pem", second)
	poll.Until(t, "the renewed certificate to be in effect", func() bool {
		return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded") && !strings.Contains(body(t, r.admin+"/metrics"), "transom_not_reloaded{")
	})
	config = trusting(t, second, "second.example")
	config.Certificates = []tls.Certificate{pair}
	if _, err := hello(t, config, at, true); err != nil {
		t.Errorf("after the files fit: %v", err)
	}
	put("ca.pem", "x")
	told("listeners[1].tls.client_ca", "client_ca: ca.pem holds no PEM certificate; what was there before stays in service")
	if _, err := hello(t, config, at, true); err != nil {
		t.Errorf("while the authorities cannot be read: %v", err)
	}
	put("ca.pem", second)
	poll.Until(t, "the other authority to be in effect", func() bool {
		return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded")
	})
	if response, err := hello(t, config, at, true); err == nil {
		t.Errorf("a client of the authority before: %s", response.Status)
	}
	if pair, err = tls.X509KeyPair([]byte(second), []byte(secondKey)); err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	if _, err := hello(t, config, at, true); err != nil {
		t.Errorf("a client of the other authority: %v", err)
	}
	withTLS(t, dir, `[{ address: "127.0.0.1:0" }, { address: "127.0.0.2:0" }]`)
	told("listeners[1]", "it is another one in the configuration now")
}

// TestKeysNotReloaded: an issuer whose keys cannot be fetched any more is told of until
// they can be again (Semantics 322).
func TestKeysNotReloaded(t *testing.T) {
	var broken atomic.Bool
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	}))
	t.Cleanup(issuer.Close)
	dir := t.TempDir()
	withTLS(t, dir, `[{ address: "127.0.0.1:0" }]`)
	path := filepath.Join(dir, "transom.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(config)+"defaults: { auth: { jwt: {} } }\nauth: { jwt: [{ issuer: them, audience: a, refresh: 1s, jwks_url: \""+issuer.URL+"\" }] }\n")
	in := input{config: path}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	const line = "not reloaded: keys of them: the keys of a token issuer cannot be read; the last good ones stay in use: the server answers 502"
	poll.Until(t, "the keys to be there", func() bool {
		return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded")
	})
	broken.Store(true)
	poll.Until(t, "the failure to be told of", func() bool { return strings.Contains(body(t, r.admin+"/readyz?verbose"), line) })
	if !strings.Contains(body(t, r.admin+"/metrics"), `transom_not_reloaded{setting="keys of them"} 1`) {
		t.Error("no metric tells of the keys")
	}
	broken.Store(false)
	poll.Until(t, "the keys to be read again", func() bool {
		return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded") && !strings.Contains(body(t, r.admin+"/metrics"), "transom_not_reloaded{")
	})
}

// TestKeysNeverRead: of keys that could not be read since the start it is not said that
// they were not read again, and not that they are in effect again once they are there
// (Semantics 322).
func TestKeysNeverRead(t *testing.T) {
	var mended atomic.Bool
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !mended.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	}))
	t.Cleanup(issuer.Close)
	dir := t.TempDir()
	withTLS(t, dir, `[{ address: "127.0.0.1:0" }]`)
	path := filepath.Join(dir, "transom.yaml")
	add(t, path, "defaults: { auth: { jwt: {} } }\nauth: { jwt: [{ issuer: them, audience: a, refresh: 1s, jwks_url: \""+issuer.URL+"\" }] }\n")
	in := input{config: path}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	told := regexp.MustCompile(`(?m)^never read: keys of them: the keys of a token issuer cannot be read since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ; ` +
		`there are none yet, so its tokens cannot be checked and are refused: the server answers 502 Bad Gateway, expected 200$`)
	poll.Until(t, "the failure to be told of", func() bool { return told.MatchString(body(t, r.admin+"/readyz?verbose")) })
	mended.Store(true)
	poll.Until(t, "the keys to be read", func() bool { return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "keys of them") })
	if log := r.log.String(); strings.Contains(log, "not reloaded") || !strings.Contains(log, "never read: the keys of a token issuer") ||
		!strings.Contains(log, `"in effect now","setting":"keys of them"`) {
		t.Errorf("the log: %s", log)
	}
}

// add adds to what a file holds.
func add(t *testing.T, path, text string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(before)+text)
}

// TestCheckReadsCertificates: check finds what serve would, and what its clients would
// (Semantics 322).
func TestCheckReadsCertificates(t *testing.T) {
	cert, key := keytest.Certificate(t, "first.example")
	_, other := keytest.Certificate(t, "second.example")
	old, oldKey := keytest.CertificateUntil(t, "first.example", time.Now().Add(-time.Minute))
	for name, test := range map[string]struct{ cert, key, ca, want string }{
		"good":     {cert, key, cert, ""},
		"garbage":  {"x", key, cert, "failed to find any PEM data"},
		"no match": {cert, other, cert, "private key does not match"},
		"CA":       {cert, key, "x", "holds no PEM certificate"},
		"expired":  {old, oldKey, cert, "it expired on 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"cert.pem": test.cert, "key.pem": test.key, "ca.pem": test.ca})
			withTLS(t, dir, tlsListeners)
			config := filepath.Join(dir, "transom.yaml")
			code, out, told := command(t, "check", "--config", config)
			if test.want == "" {
				if code != 0 {
					t.Errorf("%d %s%s", code, out, told)
				}
				return
			}
			if code != exitProblem || !strings.Contains(told, config+":1:") || !strings.Contains(told, test.want) {
				t.Errorf("%d %s", code, told)
			}
		})
	}
}

// TestUpstreamFilesNotReloaded: an upstream's certificate and authorities that cannot be
// used any more are told of, and connections are made with those before; later ones are
// in effect without a restart (Semantics 322).
func TestUpstreamFilesNotReloaded(t *testing.T) {
	dir := t.TempDir()
	changes := 0
	put := func(name, text string) {
		t.Helper()
		changes++
		path := filepath.Join(dir, name)
		write(t, path, text)
		at := time.Now().Add(time.Duration(changes) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := keytest.Certificate(t, "gateway.example")
	put("cert.pem", cert)
	put("key.pem", key)
	put("ca.pem", cert)
	withTLS(t, dir, `[{ address: "127.0.0.1:0" }]`)
	path := filepath.Join(dir, "transom.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(config), `"localhost:1"`, `"localhost:1", tls: { ca: ca.pem, certificate: cert.pem, key: key.pem }`, 1))
	in := input{config: path}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	told := func(why string) {
		t.Helper()
		poll.Until(t, why, func() bool {
			return strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded: upstreams.s.grpc.tls: "+why)
		})
		if !strings.Contains(body(t, r.admin+"/metrics"), `transom_not_reloaded{setting="upstreams.s.grpc.tls"} 1`) {
			t.Error("no metric tells of it")
		}
	}
	put("ca.pem", "x")
	told("ca: " + filepath.Join(dir, "ca.pem") + " holds no PEM certificate")
	put("ca.pem", cert)
	poll.Until(t, "the authorities to be in effect", func() bool {
		return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded")
	})
	old, oldKey := keytest.CertificateUntil(t, "gateway.example", time.Now().Add(-time.Minute))
	put("cert.pem", old)
	put("key.pem", oldKey)
	told("certificate " + filepath.Join(dir, "cert.pem") + ": it expired on ")
}

// TestCheckReadsUpstreamsAndSockets: check finds a certificate for an upstream that no
// server takes, and a socket that cannot be made (Semantics 322).
func TestCheckReadsUpstreamsAndSockets(t *testing.T) {
	good, key := keytest.Certificate(t, "gateway.example")
	old, oldKey := keytest.CertificateUntil(t, "gateway.example", time.Now().Add(-time.Minute))
	dir := folder(t, map[string]string{"good.pem": good, "key.pem": key, "old.pem": old, "oldkey.pem": oldKey})
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	refused := ""
	if os.Geteuid() != 0 { // root may write everywhere
		refused = "no socket can be made in the folder " + closed + ": permission denied"
	}
	for name, test := range map[string]struct{ listener, tls, want string }{
		"all is well":      {"unix:" + filepath.Join(dir, "s"), "{ certificate: good.pem, key: key.pem, ca: good.pem }", ""},
		"expired":          {"127.0.0.1:0", "{ certificate: old.pem, key: oldkey.pem }", "old.pem: it expired on 2"},
		"no folder":        {"unix:" + filepath.Join(dir, "none", "s"), "{}", "there is no folder " + filepath.Join(dir, "none")},
		"a file":           {"unix:" + filepath.Join(dir, "good.pem", "s"), "{}", "good.pem is a file, expected a folder"},
		"no right":         {"unix:" + filepath.Join(closed, "s"), "{}", refused},
		"a long name":      {"unix:" + filepath.Join(dir, strings.Repeat("x", 120)), "{}", "bytes, a socket's may have 107"},
		"something else":   {"unix:" + filepath.Join(dir, "good.pem"), "{}", "there is something else than a socket already"},
		"a folder instead": {"unix:" + closed, "{}", "there is something else than a socket already"},
	} {
		t.Run(name, func(t *testing.T) {
			withTLS(t, dir, `[{ address: "`+test.listener+`" }]`)
			path := filepath.Join(dir, "transom.yaml")
			config, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, strings.Replace(string(config), `"localhost:1"`, `"localhost:1", tls: `+test.tls, 1))
			code, out, told := command(t, "check", "--config", path)
			if test.want == "" && code != 0 || test.want != "" && (code != exitProblem || !strings.Contains(told, path+":") || !strings.Contains(told, test.want)) {
				t.Errorf("%d %s%s, want %q", code, out, told, test.want)
			}
		})
	}
}
