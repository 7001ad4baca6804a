package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/transom-gateway/transom/events/internal/security"
)

const (
	// dialTimeout bounds a connection with its handshake of TLS.
	dialTimeout = 5 * time.Second
	// answerTimeout bounds the wait for an answer: longer than brokers wait for each other.
	answerTimeout = produceTimeout + 5*time.Second
)

// link is the connections to a cluster. After a failure it is given up as a whole, and
// another begins with the addresses of the configuration, names resolved anew and secrets
// read again.
type link struct {
	client sarama.Client
	dialer *dialer
}

// connected is the link, made if there is none, by asking for that topic.
func (s *Sink) connected(ctx context.Context, topic string) (*link, error) {
	if s.link != nil {
		return s.link, nil
	}
	l, err := s.connect(ctx, topic)
	if err != nil {
		return nil, err
	}
	s.link = l
	s.create(ctx, s.link, s.env.Topics)
	return s.link, nil
}

// disconnect ends the connections.
func (s *Sink) disconnect() {
	if s.link == nil {
		return
	}
	s.link.close()
	s.link = nil
}

// disconnectFrom ends the connections of a link, if it is that of the sink.
func (s *Sink) disconnectFrom(l *link) {
	if s.link == l {
		s.disconnect()
	}
}

// cut breaks what is under way.
func (l *link) cut() { l.dialer.cut() }

// close ends them.
func (l *link) close() {
	l.cut() // so that nothing waits for an answer
	_ = l.client.Close()
}

// stale has the leaders of a topic looked up again. The next round says if that fails.
func (l *link) stale(topic string) { _ = l.client.RefreshMetadata(topic) }

// partitions is how many a topic has.
func (s *Sink) partitions(ctx context.Context, l *link, topic string) (int32, error) {
	all, err := l.client.Partitions(topic)
	if errors.Is(err, sarama.ErrUnknownTopicOrPartition) && s.settings.CreateTopics != nil {
		s.missing(topic)
		s.create(ctx, l, []string{topic})
		_ = l.client.RefreshMetadata(topic)
		all, err = l.client.Partitions(topic)
	}
	switch {
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		return 0, fmt.Errorf("topic %s: %w", topic, errNoTopic)
	case err == nil && len(all) == 0:
		err = sarama.ErrLeaderNotAvailable
	case judge(err) == away:
		s.disconnectFrom(l)
	}
	return int32(len(all)), err //nolint:gosec // brokers count them so
}

// dialer makes the connections of a client, and can break them all.
type dialer struct {
	tls *security.Security
	// open ends with cut.
	open  context.Context
	close context.CancelFunc

	mu    sync.Mutex
	conns map[net.Conn]bool
	last  error // of the connection that failed last
}

func newDialer(s *security.Security) *dialer {
	d := &dialer{tls: s, conns: map[net.Conn]bool{}}
	d.open, d.close = context.WithCancel(context.Background())
	return d
}

var errCut = errors.New("the connection was given up")

// Dial implements proxy.Dialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.dial(network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.open.Err() != nil {
		_ = conn.Close()
		err = errCut
	}
	if d.last = err; err != nil {
		return nil, err
	}
	kept := &conned{Conn: conn, dialer: d}
	d.conns[kept] = true
	return kept, nil
}

func (d *dialer) dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.open, dialTimeout)
	defer cancel()
	plain := &net.Dialer{}
	if d.tls == nil {
		return plain.DialContext(ctx, network, address)
	}
	return (&tls.Dialer{NetDialer: plain, Config: d.tls.Config()}).DialContext(ctx, network, address)
}

// cut closes all connections, and allows no others.
func (d *dialer) cut() {
	d.close()
	d.mu.Lock()
	conns := make([]net.Conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	for _, c := range slices.Backward(conns) {
		_ = c.Close()
	}
}

// why is the error of a client, with that of the connection which failed last: clients say
// no more than that no broker is there.
func (d *dialer) why(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil || errors.Is(err, d.last) {
		return err
	}
	return fmt.Errorf("%w (%w)", err, d.last)
}

// conned is a connection that its dialer knows of.
type conned struct {
	net.Conn
	dialer *dialer
}

func (c *conned) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
