package events

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestNATSReplacedTLS holds Events 153 for a sink at work: the server comes back with a certificate of another
// authority, and wants another of the client. The sink has the files changed meanwhile, and sends on by itself.
func TestNATSReplacedTLS(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	issue := func() {
		t.Helper()
		cert, key := keytest.Certificate(t, "nats.test")
		clientCert, clientKey := keytest.Certificate(t, "client.test")
		for name, text := range map[string]string{"cert.pem": cert, "key.pem": key, "client.pem": clientCert, "client-key.pem": clientKey} {
			if err := os.WriteFile(path(name)+".new", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path(name)+".new", path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	issue()
	s := startNATS(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n", path("cert.pem"), path("key.pem"), path("client.pem")))
	sink := openNATS(t, &transomv1.NatsSink{Url: "nats://" + s.address, CreateStream: "EVENTS",
		Tls: &transomv1.SinkTls{Ca: path("cert.pem"), Cert: path("client.pem"), Key: path("client-key.pem"), ServerName: "nats.test"}})
	send(t, sink, event("ann", 1))
	s.kill()
	issue()
	s.start()
	send(t, sink, event("ann", 2))
	if why := sink.NotReloaded(); why != "" {
		t.Error(why)
	}
}
