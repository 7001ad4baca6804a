// Package nats sends events to NATS JetStream. An event is sent when its stream has
// acknowledged it; events of a key go one after another, those of different keys at once.
//
//	sink, err := nats.Open("nats", config.Nats, env)
//	sink.Send(ctx, batch, errs)
package nats

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/internal/security"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	connectTimeout = 5 * time.Second
	// ackTimeout bounds the wait for an acknowledgement.
	ackTimeout = 5 * time.Second
	// lanes is how many messages wait for their acknowledgements at once.
	lanes = 128
)

// Sink is a NATS server, or a cluster. It connects when there is something to send.
type Sink struct {
	settings *transomv1.NatsSink
	env      events.Env
	log      *slog.Logger
	hosts    string // for errors: the URL may hold a password
	mode     cloudevents.Mode
	tls      *security.Security // nil where the URL says
	subject  string

	conn    *nats.Conn // nil while there is none
	stream  jetstream.JetStream
	trimmed atomic.Uint64
	lost    atomic.Bool           // no stream took an event
	refusal atomic.Pointer[error] // what a server has said of itself
	down    atomic.Pointer[error] // why the connection did not come back
}

var _ events.Sink = (*Sink)(nil)

// Open makes a sink. It does not wait for servers, and none need be there.
func Open(name string, settings *transomv1.NatsSink, env events.Env) (*Sink, error) {
	s := &Sink{settings: settings, env: env, log: env.Log.With("sink", name), hosts: hosts(settings.Url), subject: settings.Subject}
	if s.subject == "" {
		s.subject = DefaultSubject
	}
	if settings.Mode == transomv1.EventMode_STRUCTURED {
		s.mode = cloudevents.Structured
	}
	if settings.Tls != nil {
		var err error
		if s.tls, err = security.New(settings.Tls, env.Resolve); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// hosts are those of URLs, without what else they hold.
func hosts(urls string) string {
	var all []string
	for text := range strings.SplitSeq(urls, ",") {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil && u.Host != "" {
			all = append(all, u.Host)
		}
	}
	return strings.Join(all, ", ")
}

// Close ends the connection.
func (s *Sink) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	return nil
}

// Trimmed is how many events went without some of their attributes, as headers are bounded.
func (s *Sink) Trimmed() uint64 { return s.trimmed.Load() }

// NotReloaded says why the files of TLS are not in effect as they are now; "" where all is
// well.
func (s *Sink) NotReloaded() string {
	if s.tls == nil {
		return ""
	}
	return s.tls.NotReloaded()
}

// connected makes the connection if there is none. Later it comes back by itself.
func (s *Sink) connected(ctx context.Context) error {
	if s.conn != nil && !s.conn.IsClosed() {
		if s.lost.Swap(false) {
			s.create(ctx)
		}
		return nil
	}
	if err := s.connectOnly(ctx); err != nil {
		return err
	}
	s.create(ctx)
	return nil
}

// connectOnly makes the connection, and creates nothing.
func (s *Sink) connectOnly(ctx context.Context) error {
	options, err := s.options()
	if err != nil {
		return err
	}
	conn, err := connect(ctx, s.settings.Url, options)
	if err != nil {
		return err
	}
	stream, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return err
	}
	s.conn, s.stream = conn, stream
	return nil
}

// connect is nats.Connect, but it does not outlast ctx.
func connect(ctx context.Context, urls string, options []nats.Option) (*nats.Conn, error) {
	var conn *nats.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err = nats.Connect(urls, options...)
	}()
	select {
	case <-done:
		return conn, err
	case <-ctx.Done():
	}
	go func() { // it ends by its own time limit
		if <-done; err == nil {
			conn.Close()
		}
	}()
	return nil, context.Cause(ctx)
}

func (s *Sink) options() ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name("transom"), nats.Timeout(connectTimeout), nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),   // what is not acknowledged is sent again by us, in order
		nats.IgnoreAuthErrorAbort(), // credentials may be replaced
		nats.SetCustomDialer(dialer{}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.refusal.Store(&err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { s.down.Store(&err) }),
	}
	if s.tls != nil {
		options = append(options, nats.Secure(s.tls.Config()))
		if s.settings.Tls.Ca != "" {
			options = append(options, func(o *nats.Options) error {
				o.RootCAsCB = func() (*x509.CertPool, error) { return s.tls.Config().RootCAs, nil }
				return nil
			})
		}
	}
	if name := s.settings.Credentials; name != "" {
		options = append(options, nats.UserCredentials(s.env.Resolve(name))) // it reads the file for each connection
	}
	if s.settings.Username != "" {
		if _, _, err := s.user(); err != nil {
			return nil, err
		}
		options = append(options, nats.UserInfoHandler(func() (string, string) {
			user, password, _ := s.user()
			return user, password
		}))
	}
	if s.settings.Token != "" {
		if _, err := s.env.Secret(s.settings.Token); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		options = append(options, nats.TokenHandler(func() string {
			token, _ := s.env.Secret(s.settings.Token)
			return token
		}))
	}
	return options, nil
}

func (s *Sink) user() (user, password string, err error) {
	if user, err = s.env.Secret(s.settings.Username); err != nil {
		return "", "", fmt.Errorf("username: %w", err)
	}
	if password, err = s.env.Secret(s.settings.Password); err != nil {
		return "", "", fmt.Errorf("password: %w", err)
	}
	return user, password, nil
}

// create creates the stream, if one is asked for and there is none. An error is said in the
// log: events wait, and it is tried again.
func (s *Sink) create(ctx context.Context) {
	name := s.settings.CreateStream
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if _, err := s.stream.Stream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		if err != nil {
			s.log.Warn("a stream cannot be looked up", "stream", name, "error", err)
			s.lost.Store(true)
		}
		return
	}
	subject := StreamSubject(s.subject)
	if _, err := s.stream.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
		s.log.Warn("a stream cannot be created", "stream", name, "subject", subject, "error", err)
		s.lost.Store(true)
		return
	}
	s.log.Info("created a stream", "stream", name, "subject", subject)
}
