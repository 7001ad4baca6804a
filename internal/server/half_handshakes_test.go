package server

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// firstFlight is what a client of TLS sends first.
func firstFlight(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS13}).Handshake()
	}()
	flight := make([]byte, 16<<10)
	n, err := far.Read(flight)
	if err != nil {
		t.Fatal(err)
	}
	return flight[:n]
}

// TestHalfHandshakes: Traffic 199: hundreds of clients that begin a handshake and go no further, or send it byte by
// byte, keep nobody else from theirs, and are gone when its time is over.
func TestHalfHandshakes(t *testing.T) {
	certificate, key := certificateFiles(t)
	l := testServer(t, &transomv1.Listener{
		Address: "127.0.0.1:0", HandshakeTimeout: durationpb.New(2 * time.Second), Tls: &transomv1.ServerTls{Certificate: certificate, Key: key},
	}, io.Discard)
	flight := firstFlight(t)
	const many = 300
	for i := range many {
		c := dial(t, l.Addr())
		switch i % 3 {
		case 0: // nothing
		case 1:
			_, _ = c.Write(flight[:1+i%len(flight)]) // it may be refused already
		case 2:
			_, _ = c.Write(flight) // the gateway waits for the end
		}
	}
	secure := tls.Client(dial(t, l.Addr()), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec // whose it is does not matter here
	if _, err := io.WriteString(secure, getAndClose); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(secure); err != nil || len(answer) == 0 {
		t.Errorf("%q, %v", answer, err)
	}
	poll.Until(t, "the others to be gone", func() bool { return l.connections.open.Load() == 0 })
}

// TestUnconfirmedAddresses: Traffic 190: above 500 handshakes in a second, QUIC asks whoever has not proven its address
// to do so, and no longer.
func TestUnconfirmedAddresses(t *testing.T) {
	now, p := time.Unix(100, 0), &perSecond{most: unvalidated}
	for i := range 3 * unvalidated {
		if got, want := p.allow(now), i < unvalidated; got != want {
			t.Fatalf("handshake %d: %v, want %v", i+1, got, want)
		}
	}
	if now = now.Add(time.Second); !p.allow(now) {
		t.Error("the next second's is not allowed")
	}
}
