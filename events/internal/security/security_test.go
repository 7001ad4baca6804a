package security

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// folder has files of the test's own.
type folder struct {
	testing.TB
	path string
}

func (f folder) resolve(name string) string { return filepath.Join(f.path, name) }

func (f folder) write(name, text string) {
	f.Helper()
	// As a secret's volume is replaced: at once.
	if err := os.WriteFile(f.resolve(name+".new"), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(f.resolve(name+".new"), f.resolve(name)); err != nil {
		f.Fatal(err)
	}
}

// shake has a client and a server of these configurations shake hands.
func shake(t *testing.T, client, server *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		_ = conn.Close()
	}
	other := <-done
	_ = l.Close()
	if err == nil {
		err = other
	}
	return err
}

// TestFilesAreReadAgain holds Events 153: files that change are in effect for the next handshake; broken ones change nothing.
func TestFilesAreReadAgain(t *testing.T) {
	f := folder{t, t.TempDir()}
	serverCert, serverKey := keytest.Certificate(t, "broker.example")
	otherCert, _ := keytest.Certificate(t, "other.example")
	clientCert, clientKey := keytest.Certificate(t, "transom.example")
	f.write("ca.pem", otherCert)
	f.write("cert.pem", clientCert)
	f.write("key.pem", clientKey)
	s, err := New(&transomv1.SinkTls{Ca: "ca.pem", Cert: "cert.pem", Key: "key.pem", ServerName: "broker.example"}, f.resolve)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(serverCert), []byte(serverKey))
	if err != nil {
		t.Fatal(err)
	}
	var seen string
	server := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
		VerifyConnection: func(s tls.ConnectionState) error {
			seen = s.PeerCertificates[0].Subject.CommonName
			return nil
		}}
	if err := shake(t, s.Config(), server); err == nil {
		t.Error("another authority's broker was trusted")
	}
	f.write("ca.pem", otherCert+serverCert)
	if err := shake(t, s.Config(), server); err != nil || seen != "transom.example" {
		t.Errorf("got %v, and the client's certificate of %q", err, seen)
	}
	kept := s.Config() // of a client that connects again by itself
	renewed, renewedKey := keytest.Certificate(t, "renewed.example")
	f.write("key.pem", renewedKey+"\n")
	f.write("cert.pem", renewed+"\n")
	if err := shake(t, kept, server); err != nil || seen != "renewed.example" {
		t.Errorf("got %v, and the client's certificate of %q", err, seen)
	}
	f.write("ca.pem", "nothing that is left")
	if err := shake(t, s.Config(), server); err != nil {
		t.Errorf("a broken file took the trust from the broker: %v", err)
	}
	if why := s.NotReloaded(); !strings.HasPrefix(why, "tls.ca: "+f.resolve("ca.pem")+" holds no PEM certificate") {
		t.Errorf("got %q", why)
	}
}

func TestFilesThatAreMissing(t *testing.T) {
	f := folder{t, t.TempDir()}
	cert, _ := keytest.Certificate(t, "a.example")
	f.write("cert.pem", cert)
	for want, sink := range map[string]*transomv1.SinkTls{
		"tls.ca: ": {Ca: "ca.pem"},
		"tls: cert and key go together; only one is set": {Cert: "cert.pem"},
		"tls: certificate ": {Cert: "cert.pem", Key: "key.pem"},
	} {
		if _, err := New(sink, f.resolve); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	s, err := New(nil, f.resolve)
	if err != nil || s.Config().RootCAs != nil || s.NotReloaded() != "" {
		t.Errorf("got %v, %v", s, err)
	}
}
