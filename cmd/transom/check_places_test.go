package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/keytest"
)

// TestPlacesOfFiles: a file of TLS that cannot be used is named at the place where it is written
// (Semantics 322).
func TestPlacesOfFiles(t *testing.T) {
	cert, key := keytest.Certificate(t, "books.test")
	dir := folder(t, map[string]string{"protos/w.proto": warnedProto, "text.pem": "text\n", "cert.pem": cert, "key.pem": key})
	for name, test := range map[string]struct{ config, want string }{
		"a CA":                  {"upstreams: { a: { grpc: { target: \"localhost:1\", tls: { ca: text.pem } } } }\n", ":2:61: upstreams.a: ca: "},
		"a CA of plain HTTP":    {"upstreams: { a: { http: { servers: [\"localhost:1\"], tls: { ca: text.pem } } } }\n", ":2:64: upstreams.a: ca: "},
		"a client's pair":       {"upstreams: { a: { grpc: { target: \"localhost:1\", tls: { certificate: text.pem, key: key.pem } } } }\n", ":2:70: upstreams.a: certificate "},
		"a listener's":          {"listeners: [{ address: \":1\", tls: { certificate: text.pem, key: key.pem } }]\n", ":2:50: certificate "},
		"a listener's key":      {"listeners: [{ address: \":1\", tls: { certificate: cert.pem, key: text.pem } }]\n", ":2:65: certificate "},
		"a listener's client's": {"listeners: [{ address: \":1\", tls: { certificate: cert.pem, key: key.pem, client_ca: text.pem } }]\n", ":2:85: client_ca: "},
	} {
		t.Run(name, func(t *testing.T) {
			config := filepath.Join(dir, "transom.yaml")
			write(t, config, "schemas: [{ directory: protos }]\n"+test.config)
			code, _, told := command(t, "check", "--config", config)
			if code != exitProblem || !strings.Contains(told, "transom.yaml"+test.want) || strings.Contains(told, "plain HTTP alone") && !strings.Contains(test.config, "http") {
				t.Errorf("%d %s\nwant %s", code, told, test.want)
			}
		})
	}
}
