package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
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

// noting notes the first bytes of packets that come.
type noting struct {
	net.PacketConn
	mu    sync.Mutex
	first []byte
}

func (n *noting) ReadFrom(p []byte) (int, net.Addr, error) {
	length, from, err := n.PacketConn.ReadFrom(p)
	if length > 0 {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.first = append(n.first, p[0])
	}
	return length, from, err
}

// TestRetry: Traffic 190: a client that nobody knows is served at once, and above the bound once it has shown by a Retry (RFC 9000,
// 17.2.5) that it is at its address.
func TestRetry(t *testing.T) {
	l, _, url := servedPackets(t, t.Context(), func(http.ResponseWriter, *http.Request) {})
	for _, most := range []int{1, 0} {
		l.newcomers.mu.Lock()
		l.newcomers.most, l.newcomers.count = most, 0
		l.newcomers.mu.Unlock()
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		to, err := net.ResolveUDPAddr("udp", strings.TrimPrefix(url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		heard := &noting{PacketConn: udp}
		from := &quic.Transport{Conn: heard}
		c, err := from.Dial(t.Context(), to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}, nil) //nolint:gosec // whose it is does not matter here
		if err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWithError(0, "") // it was all
		if err := errors.Join(from.Close(), udp.Close()); err != nil {
			t.Error(err)
		}
		heard.mu.Lock()
		retry := heard.first[0]&0xf0 == 0xf0
		heard.mu.Unlock()
		if want := most == 0; retry != want {
			t.Errorf("of %d: a Retry comes first: %v", most, retry)
		}
	}
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
