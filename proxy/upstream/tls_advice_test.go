package upstream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// TestTLSAdvice asks servers in the wrong way, as gRPC does.
func TestTLSAdvice(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, test := range []struct {
		name, address string
		with          credentials.TransportCredentials
		want          string
	}{
		{"cleartext to a TLS server", secure.Listener.Addr().String(), insecure.NewCredentials(), "speak TLS: set tls in the upstream, or --upstream-tls"},
		{"TLS to a cleartext server", plain.Listener.Addr().String(), credentials.NewTLS(nil), "seems not to speak TLS: remove tls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := grpc.NewClient(test.address, grpc.WithTransportCredentials(test.with))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			err = conn.Invoke(t.Context(), "/a.B/C", nil, nil)
			if _, streamErr := conn.NewStream(t.Context(), &grpc.StreamDesc{}, "/a.B/C"); streamErr != nil {
				err = streamErr
			}
			if err := withTLSAdvice(err); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if other := errors.New("connection refused"); !errors.Is(withTLSAdvice(other), other) || withTLSAdvice(other).Error() != other.Error() {
		t.Error("another failure is changed")
	}
}
