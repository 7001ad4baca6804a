// Package webhook sends events to an HTTP server, by POST, signed as Standard Webhooks says.
// Events of a key go one after another, those of different keys at once.
//
//	sink, err := webhook.Open("hook", config.Webhook, env)
//	sink.Send(ctx, batch, errs)
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/internal/security"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const (
	defaultTimeout     = 15 * time.Second
	defaultConcurrency = 8
	// maxAnswerHead bounds the header of an answer, and maxAnswer what is read of its body.
	maxAnswerHead = 64 << 10
	maxAnswer     = 64 << 10
)

// Sink is an HTTP server that takes events.
type Sink struct {
	settings *transomv1.WebhookSink
	env      events.Env
	log      *slog.Logger
	host     string // for errors: the URL may hold a secret
	timeout  time.Duration
	lanes    int
	tls      *security.Security
	client   *http.Client
	now      func() time.Time
	trimmed  atomic.Uint64

	// troubles has the events that were sent in vain, by their ids. Send alone looks at it.
	troubles map[string]trouble

	mu       sync.Mutex
	disabled error     // after an answer with 410
	until    time.Time // as Retry-After said
}

var _ events.Sink = (*Sink)(nil)

// Open makes a sink. It does not wait for the server, which need not be there.
func Open(name string, settings *transomv1.WebhookSink, env events.Env) (*Sink, error) {
	target, err := url.Parse(settings.Url)
	if err != nil {
		return nil, errors.New("url: found none that can be read") // the error would tell it
	}
	allow, err := ranges(settings.Allow)
	if err != nil {
		return nil, fmt.Errorf("allow: %w", err)
	}
	s := &Sink{settings: settings, env: env, log: env.Log.With("sink", name), host: target.Host, timeout: defaultTimeout, lanes: defaultConcurrency,
		now: time.Now, troubles: map[string]trouble{}}
	if settings.Timeout != nil {
		s.timeout = settings.Timeout.AsDuration()
	}
	if settings.Concurrency > 0 {
		s.lanes = int(settings.Concurrency)
	}
	if s.tls, err = security.New(settings.Tls, env.Resolve); err != nil {
		return nil, err
	}
	s.client = &http.Client{
		Transport: s.transport(allow),
		// The events are for one server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// transport connects where it may. It takes no proxy: that would connect elsewhere.
func (s *Sink) transport(allow []netip.Prefix) *http.Transport {
	dialer := &net.Dialer{Control: control(allow)}
	return &http.Transport{
		DialContext: dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&tls.Dialer{NetDialer: dialer, Config: s.tls.Config()}).DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost:    s.lanes,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswerHead,
		DisableCompression:     true, // answers are not read
	}
}

// Close ends the connections.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Trimmed is how many events went without some of their attributes, as headers are bounded.
func (s *Sink) Trimmed() uint64 { return s.trimmed.Load() }

// NotReloaded says why the files of TLS are not in effect as they are now; "" where all is
// well.
func (s *Sink) NotReloaded() string { return s.tls.NotReloaded() }

// disable notes that the server wants no more events, ever.
func (s *Sink) disable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disabled == nil {
		s.disabled = fmt.Errorf("%w: %s answered 410 Gone: it wants no more events, until the gateway starts, or the settings of the sink change", events.ErrRejected, s.host)
		s.log.Error("a webhook is gone: its events are rejected until the gateway starts, or the settings of the sink change", "host", s.host)
	}
	return s.disabled
}

// gone is the error of all events after an answer with 410; nil before.
func (s *Sink) gone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disabled
}

// holdOff makes the next events wait.
func (s *Sink) holdOff(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.until) {
		s.until = until
	}
}

// wait waits as long as the server asked for.
func (s *Sink) wait(ctx context.Context) error {
	s.mu.Lock()
	left := s.until.Sub(s.now())
	s.mu.Unlock()
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s asked for a pause: %w", s.host, context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}
