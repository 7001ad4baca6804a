package upstream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/keytest"
	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// certificate makes a certificate that signs itself, for a name, and returns the
// files of it and of its key.
func certificate(t testing.TB, name string) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	cert, key := keytest.Certificate(t, name)
	folder := t.TempDir()
	write := func(file, text string) string {
		path := filepath.Join(folder, file)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile, keyFile = write("cert.pem", cert), write("key.pem", key)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return pair, certFile, keyFile
}

// startTLS starts a server that wants a client's certificate if clients is set.
func startTLS(t testing.TB, own tls.Certificate, clients *x509.CertPool) *server {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{own}}
	if clients != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, l, grpc.Creds(credentials.NewTLS(config)))
}

// TestTLS reaches servers with certificates good and bad, ours included.
func TestTLS(t *testing.T) {
	own, ownFile, _ := certificate(t, "books.test")
	us, usFile, usKey := certificate(t, "gateway.test")
	clients := x509.NewCertPool()
	clients.AddCert(us.Leaf)
	open, closed := startTLS(t, own, nil), startTLS(t, own, clients)
	const unknown = "the backend cannot be reached: its certificate is not accepted"
	for _, test := range []struct {
		name   string
		server *server
		tls    upstream.TLS
		want   string // empty: it works
	}{
		{"a certificate that we trust", open, upstream.TLS{CA: ownFile, ServerName: "books.test"}, ""},
		{"one of nobody's", open, upstream.TLS{ServerName: "books.test"}, unknown},
		{"one of another name", open, upstream.TLS{CA: ownFile}, unknown},
		{"no check", open, upstream.TLS{InsecureSkipVerify: true}, ""},
		{"ours", closed, upstream.TLS{CA: ownFile, ServerName: "books.test", Certificate: usFile, Key: usKey}, ""},
		{"ours is missing", closed, upstream.TLS{CA: ownFile, ServerName: "books.test"}, "the backend cannot be reached: TLS failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := get(t, upstream.Target{Address: test.server.address, TLS: &test.tls})
			_, _, err := ask(t, conn)
			if test.want == "" && err != nil || test.want != "" && (status.Code(err) != codes.Unavailable || status.Convert(err).Message() != test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	t.Run("large messages both ways", func(t *testing.T) {
		conn := get(t, upstream.Target{Address: open.address, TLS: &upstream.TLS{CA: ownFile, ServerName: "books.test"}})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		reply, err := testpb.NewTestServiceClient(attempt.NewClient(conn)).UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 3<<20)}, ResponseSize: 3 << 20})
		if err != nil || len(reply.GetPayload().GetBody()) != 3<<20 {
			t.Errorf("%d bytes, %v", len(reply.GetPayload().GetBody()), err)
		}
	})
}
