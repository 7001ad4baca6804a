package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/events/cloudevents"
	"github.com/transom-gateway/transom/events/internal/aside"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// prepare reads what requests are signed with, and what else they carry.
func (d *delivery) prepare() error {
	for i, secret := range d.sink.settings.Secrets {
		text, err := d.sink.env.Secret(secret)
		if err != nil {
			return fmt.Errorf("secrets[%d]: %w", i, err)
		}
		key, err := Key(text)
		if err != nil {
			return fmt.Errorf("secrets[%d]: %w", i, err)
		}
		d.secrets = append(d.secrets, key)
	}
	d.headers = http.Header{"User-Agent": {"Transom"}}
	for name, value := range d.sink.settings.Headers {
		text, err := d.sink.env.Secret(value)
		if err != nil {
			return fmt.Errorf("headers.%s: %w", name, err)
		}
		d.headers.Set(name, text)
	}
	return nil
}

// message is what a request with these events holds.
func (d *delivery) message(part []int) (cloudevents.Message, error) {
	if d.sink.settings.Mode == transomv1.EventMode_BATCH {
		return cloudevents.Message{
			Headers: []cloudevents.Header{{Name: "Content-Type", Value: cloudevents.BatchType}}, Body: cloudevents.Batch(d.events(part)),
		}, nil
	}
	mode := cloudevents.Binary
	if d.sink.settings.Mode == transomv1.EventMode_STRUCTURED {
		mode = cloudevents.Structured
	}
	return cloudevents.HTTP(d.batch[part[0]], mode)
}

func (d *delivery) events(part []int) []*events.Event {
	all := make([]*events.Event, len(part))
	for k, i := range part {
		all[k] = d.batch[i]
	}
	return all
}

// post makes one request.
func (d *delivery) post(ctx context.Context, id string, part []int) error {
	s := d.sink
	if err := s.gone(); err != nil {
		return err
	}
	m, err := d.message(part)
	if err != nil {
		return fmt.Errorf("%w: %w", events.ErrRejected, err)
	}
	if m.Trimmed {
		s.trimmed.Add(1)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.settings.Url, bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("%s: no request can be made", s.host) // the error would tell the URL
	}
	request.Header = d.headers.Clone()
	for _, h := range m.Headers {
		request.Header.Set(h.Name, h.Value)
	}
	at := s.now()
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	request.Header.Set("Webhook-Signature", sign(d.secrets, id, at, m.Body))
	response, err := s.client.Do(request)
	if err != nil {
		return s.unanswered(err)
	}
	// What the server says does not matter, but the connection serves again when it is read. That of
	// another protocol has no end that the request's context would bring.
	if response.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	}
	_ = response.Body.Close()
	return d.answered(response)
}

// unanswered is the error of a request without an answer. It does not tell the URL.
func (s *Sink) unanswered(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %v: %w", s.host, s.timeout, err)
	}
	return fmt.Errorf("%s: %w", s.host, aside.Brief(err, maxError))
}

// maxError is the longest text of an error. It may quote what the server has sent.
const maxError = 300

// statusError is the error of an answer that is no success.
type statusError struct {
	host   string
	status int
	until  time.Time // when more may come, as the server says
}

func (e *statusError) Error() string {
	if e.status >= 300 && e.status < 400 {
		return fmt.Sprintf("%s: found status %d, expected 2xx; redirects are not followed: set the URL that it leads to", e.host, e.status)
	}
	text := fmt.Sprintf("%s: found status %d, expected 2xx", e.host, e.status)
	if !e.until.IsZero() {
		text += "; it asked for a pause until " + e.until.UTC().Format(time.RFC3339)
	}
	return text
}

// ofLoad reports whether the server has too much to do, which is due to no event.
func (e *statusError) ofLoad() bool {
	return e.status == http.StatusTooManyRequests || !e.until.IsZero()
}

// ofContent reports whether the status may be due to what the request holds.
func (e *statusError) ofContent() bool {
	switch e.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusRequestHeaderFieldsTooLarge:
		return true
	}
	return false
}

// maxHoldOff is the longest pause that a server is granted.
const maxHoldOff = patience

// answered does what follows from an answer.
func (d *delivery) answered(response *http.Response) error {
	s, status := d.sink, response.StatusCode
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusGone:
		return s.disable()
	}
	refused := &statusError{host: s.host, status: status}
	var err error = refused
	pause, said := retryAfter(response.Header.Get("Retry-After"), s.now())
	if said {
		refused.until = s.now().Add(min(pause, maxHoldOff))
		s.holdOff(refused.until)
	}
	if said || status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		d.stop.CompareAndSwap(nil, &err)
	}
	return err
}

// retryAfter is what a field Retry-After says.
func retryAfter(value string, now time.Time) (pause time.Duration, said bool) {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true //nolint:gosec // 31 bits
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
