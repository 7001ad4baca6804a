package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/poll"
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
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
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
	first, firstKey := keyPair(t, "first.example")
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
	r := startServing(t, func(ctx context.Context, s streams, started func(*server)) error {
		return serve(ctx, in.load, s, func(server *server) {
			at = server.listeners[1].Addr()
			started(server)
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
	second, secondKey := keyPair(t, "second.example")
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
	put("ca.pem", second)
	told("listeners[1].tls.client_ca", "client_ca: ")
	withTLS(t, dir, `[{ address: "127.0.0.1:0" }, { address: "127.0.0.2:0" }]`)
	told("listeners[1]", "it is another one in the configuration now")
}

// TestCheckReadsCertificates: check finds what serve would, and what its clients would
// (Semantics 322).
func TestCheckReadsCertificates(t *testing.T) {
	cert, key := keyPair(t, "first.example")
	_, other := keyPair(t, "second.example")
	old, oldKey := keyPairUntil(t, "first.example", time.Now().Add(-time.Minute))
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
