package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// relay passes the packets of one client on to a server, which may change, as a load balancer does.
type relay struct {
	front, back *net.UDPConn
	client      atomic.Pointer[net.UDPAddr]
	server      atomic.Pointer[net.UDPAddr]
	running     sync.WaitGroup

	mu       sync.Mutex
	released chan struct{} // what the server sends waits for it; nil: for nothing
	keeps    bool          // what the client sends goes no further
	datagram [][]byte      // that were kept
}

// hold has what the server sends wait until release.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.released = make(chan struct{})
}

func (r *relay) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released != nil {
		close(r.released)
		r.released = nil
	}
}

// keep has what the client sends be kept, and nothing of it go on to the server.
func (r *relay) keep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keeps = true
}

// kept is what was.
func (r *relay) kept() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.datagram)
}

// toServer reports whether a datagram of the client goes on.
func (r *relay) toServer(packet []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keeps {
		r.datagram = append(r.datagram, bytes.Clone(packet))
	}
	return !r.keeps
}

// toClient waits until what the server sends may go on.
func (r *relay) toClient([]byte) bool {
	r.mu.Lock()
	released := r.released
	r.mu.Unlock()
	if released != nil {
		<-released
	}
	return true
}

// newRelay relays to an address until the test ends.
func newRelay(t *testing.T, address string) *relay {
	t.Helper()
	r := new(relay)
	var err [2]error
	r.front, err[0] = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	r.back, err[1] = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err := errors.Join(err[:]...); err != nil {
		t.Fatal(err)
	}
	r.lead(t, address)
	pass := func(from, to *net.UDPConn, seen, target *atomic.Pointer[net.UDPAddr], passes func([]byte) bool) {
		packet := make([]byte, 65536)
		for {
			n, at, err := from.ReadFromUDP(packet)
			if err != nil {
				return
			}
			if seen != nil {
				seen.Store(at)
			}
			if passes(packet[:n]) && target.Load() != nil {
				_, _ = to.WriteToUDP(packet[:n], target.Load()) // UDP may lose packets
			}
		}
	}
	r.running.Go(func() { pass(r.front, r.back, &r.client, &r.server, r.toServer) })
	r.running.Go(func() { pass(r.back, r.front, nil, &r.client, r.toClient) })
	t.Cleanup(func() {
		r.release()
		_, _ = r.front.Close(), r.back.Close()
		r.running.Wait()
	})
	return r
}

// lead has packets go to another server from now on.
func (r *relay) lead(t *testing.T, address string) {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	r.server.Store(at)
}

// TestHTTP3ReachesAnotherReplica: Traffic 186 and 191: a client whose packets reach another replica than its
// connection is with learns at once that it is gone, by a stateless reset of the key that they share.
func TestHTTP3ReachesAnotherReplica(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	first, _, trust := startHTTP3(t, gatewaytest.Options{Config: "fleet_secret: file:" + secret + "\n"}, nil)
	second, _, _ := startHTTP3(t, gatewaytest.Options{Config: "fleet_secret: file:" + secret + "\n"}, nil)
	r := newRelay(t, first.Addr)
	config := trust.Clone()
	config.NextProtos = []string{http3.NextProtoH3}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := quic.DialAddr(ctx, r.front.LocalAddr().String(), config, &quic.Config{KeepAlivePeriod: 20 * time.Millisecond, MaxIdleTimeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	if _, err := c.AcceptUniStream(ctx); err != nil { // the first has it: the handshake is over at both ends
		t.Fatal(err)
	}
	r.lead(t, second.Addr)
	stream, err := c.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Write(make([]byte, 1000)) // it is refused, or lost
	select {
	case <-c.Context().Done():
	case <-ctx.Done():
		t.Fatal("the connection hangs")
	}
	var reset *quic.StatelessResetError
	if err := context.Cause(c.Context()); !errors.As(err, &reset) {
		t.Errorf("the connection ended by %v", err)
	}
}
