package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/transom-gateway/transom/internal/server/security"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	// unvalidated is how many handshakes a second may begin from addresses that nobody has
	// confirmed. Those above it are asked to prove their address first (Retry; RFC 9000,
	// section 8.1.2).
	unvalidated = 500
	// controlStreams are the streams of one direction that a client may open: HTTP/3 has
	// one for control and two for QPACK, and others must be ignored (RFC 9114, section 6.2).
	controlStreams = 16
	// Of a request's body, and of those of all requests of a connection, this much may wait to
	// be read.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

// quicListener takes the connections of HTTP/3 at the UDP port of a listener. It is a
// net.Listener as far as it can be closed and has an address.
type quicListener struct {
	udp       *net.UDPConn
	transport *quic.Transport
	tls       *tls.Config
	config    *quic.Config
	// released is closed when no other process reads the socket; nil where none does.
	released <-chan struct{}
	// newcomers are the handshakes from addresses that nobody has confirmed.
	newcomers *perSecond
	// serving: packets are read.
	serving atomic.Bool
	// shaking is how many connections have begun a handshake and are not accepted yet.
	shaking atomic.Int64

	mu       sync.Mutex
	listener accepter // nil until packets are read
	closed   chan struct{}
}

// listenQUIC opens the UDP port of a listener's TCP address. Its packets are read when the
// process before this one reads them no more.
func (o *Options) listenQUIC(l *listener, fleet *security.Fleet, c *transomv1.Listener, front *frontOptions) (*quicListener, error) {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("http3: found the address %s, expected one of TCP: HTTP/3 is served at the UDP port of the same number", l.Addr())
	}
	udp, err := o.Sockets.ListenPacket(forPackets, c.GetAddress(), &net.UDPAddr{IP: tcp.IP, Port: tcp.Port, Zone: tcp.Zone}, socketOptions(c))
	if err != nil {
		return nil, fmt.Errorf("http3: %w", advised(err))
	}
	// Told here, where an operator reads it.
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	warnOfBuffers(udp, o.Telemetry.Log)
	newcomers := &perSecond{most: unvalidated}
	opened := &quicListener{
		udp: udp, tls: http3.ConfigureTLSConfig(l.packets), released: o.Released, closed: make(chan struct{}), newcomers: newcomers,
		transport: &quic.Transport{Conn: udp, VerifySourceAddress: func(net.Addr) bool { return !newcomers.allow(time.Now()) }},
		config: &quic.Config{
			HandshakeIdleTimeout:       handshakeOf(c),
			MaxIdleTimeout:             front.idle,
			MaxIncomingStreams:         int64(front.maxStreams),
			MaxIncomingUniStreams:      controlStreams,
			MaxStreamReceiveWindow:     streamWindow,
			MaxConnectionReceiveWindow: connectionWindow,
			Allow0RTT:                  c.GetTls().GetEarlyData(),
		},
	}
	opened.transport.ConnContext = opened.greet
	if err := share(opened.transport, fleet); err != nil {
		return nil, fmt.Errorf("http3: %w", errors.Join(err, udp.Close()))
	}
	if o.Released != nil {
		return opened, nil
	}
	if _, err := opened.begin(); err != nil {
		return nil, fmt.Errorf("http3: %w", errors.Join(err, udp.Close()))
	}
	return opened, nil
}

// begin reads packets. The listener is nil where it was closed before.
func (l *quicListener) begin() (accepter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return nil, nil //nolint:nilnil // it is no error
	default:
	}
	if l.listener != nil {
		return l.listener, nil
	}
	listener, err := l.accept()
	if err != nil {
		return nil, err
	}
	l.listener = listener
	l.serving.Store(true)
	return listener, nil
}

// await waits until no other process reads the socket, and begins to.
func (l *quicListener) await() (accepter, error) {
	if l.released != nil {
		select {
		case <-l.released:
		case <-l.closed:
		}
	}
	return l.begin()
}

// share has what clients keep of this process, tokens that prove their address and those of
// stateless resets, be good for all that share a secret. Without one, tokens are good for this process
// alone, and there are no resets: one from a process that has begun anew has no key for them.
func share(t *quic.Transport, fleet *security.Fleet) error {
	if !fleet.Shared() {
		return nil
	}
	reset, token, err := fleet.QUIC()
	if err != nil {
		return err
	}
	t.StatelessResetKey, t.TokenGeneratorKey = (*quic.StatelessResetKey)(&reset), (*quic.TokenGeneratorKey)(&token)
	return nil
}

// Accept implements net.Listener. Connections of QUIC are none of net.Conn.
func (l *quicListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Addr implements net.Listener.
func (l *quicListener) Addr() net.Addr { return l.udp.LocalAddr() }

// Close implements net.Listener: no connection is accepted any more; the others go on.
func (l *quicListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	if l.listener == nil {
		return nil
	}
	return l.listener.Close()
}

// greet is quic.Transport.ConnContext.
func (l *quicListener) greet(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
	l.shaking.Add(1)
	gone := context.AfterFunc(ctx, func() { l.shaking.Add(-1) }) // without being accepted
	ctx = context.WithValue(ctx, acceptedKey{}, func() {
		if gone() {
			l.shaking.Add(-1)
		}
	})
	if l.config.Allow0RTT {
		return withProof(ctx, client)
	}
	return ctx, nil
}

// acceptedKey is the key of what is called when a connection has been accepted.
type acceptedKey struct{}

// accepted notes that a connection is.
func accepted(c *quic.Conn) {
	if done, ok := c.Context().Value(acceptedKey{}).(func()); ok {
		done()
	}
}

// lastHandshakes is how long a listener that is about to close waits for handshakes under way.
const lastHandshakes = time.Second

// leave closes the listener once no handshake is under way: quic-go refuses their clients, which may have sent a request by then.
func (l *quicListener) leave() {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(lastHandshakes); l.shaking.Load() > 0 && time.Now().Before(until); {
		<-look.C
	}
	_ = l.Close() // it is only closed once more by the front
}

// end closes the socket.
func (l *quicListener) end() error {
	err := l.Close()
	if l.listener != nil {
		err = errors.Join(err, l.transport.Close())
	}
	return ignoreClosed(errors.Join(err, ignoreClosed(l.udp.Close())))
}

// perSecond counts up to a bound, anew each second.
type perSecond struct {
	mu     sync.Mutex
	most   int
	second int64
	count  int
}

// allow reports whether there may be one more.
func (p *perSecond) allow(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := now.Unix(); s != p.second {
		p.second, p.count = s, 0
	}
	p.count++
	return p.count <= p.most
}

// wantedBuffer is what the kernel should keep of packets that are not read yet.
const wantedBuffer = 7 << 20

// warnOfBuffers makes the socket's buffers as large as the kernel lets it, and tells where that
// is too little: packets are lost then when many arrive at once.
func warnOfBuffers(udp *net.UDPConn, log *slog.Logger) {
	if udp.SetReadBuffer(wantedBuffer) != nil || udp.SetWriteBuffer(wantedBuffer) != nil {
		return // quic-go tries, too
	}
	if got, ok := readBuffer(udp); ok && got < wantedBuffer {
		log.Warn(fmt.Sprintf("the kernel keeps at most %d KiB of packets for HTTP/3, and should keep %d KiB: sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d",
			got>>10, wantedBuffer>>10, wantedBuffer, wantedBuffer), "address", udp.LocalAddr().String())
	}
}
