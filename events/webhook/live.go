package webhook

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Ask asks a server whether it is there, by OPTIONS, which changes nothing (Events 151). No event is sent.
func Ask(ctx context.Context, name string, settings *transomv1.WebhookSink, env events.Env, in events.Inquiry) {
	s, err := Open(name, settings, env)
	if err == nil {
		defer func() { _ = s.Close() }()
		err = s.ask(ctx, func(text string) { in.Found(in.At, true, fmt.Sprintf("sink %s: %s", name, text)) })
	}
	if err != nil {
		in.Found(in.At, false, fmt.Sprintf("sink %s: %v", name, err))
	}
}

func (s *Sink) ask(ctx context.Context, warn func(string)) error {
	d := &delivery{sink: s}
	if err := d.prepare(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodOptions, s.settings.Url, nil)
	if err != nil {
		return fmt.Errorf("%s: no request can be made", s.host) // the error would tell the URL
	}
	request.Header = d.headers
	response, err := s.client.Do(request)
	if err != nil {
		return s.unanswered(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	}
	_ = response.Body.Close()
	return s.judge(response, warn)
}

// judge says what follows from the answer. Servers need not know OPTIONS.
func (s *Sink) judge(response *http.Response, warn func(string)) error {
	switch status := response.StatusCode; {
	case status == http.StatusGone:
		return fmt.Errorf("%s: found status 410: the server wants no more events", s.host)
	case status >= 300 && status < 400:
		return &statusError{host: s.host, status: status}
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status >= 500 && status != http.StatusNotImplemented:
		warn(fmt.Sprintf("%s: found status %d in answer to OPTIONS: events may be refused, too", s.host, status))
	case !allows(response.Header.Values("Allow")):
		warn(fmt.Sprintf("%s: it allows %.200q, and events are sent by POST", s.host, strings.Join(response.Header.Values("Allow"), ", ")))
	}
	return nil
}

// allows reports whether a field Allow has POST; one that is not there says nothing.
func allows(fields []string) bool {
	for _, field := range fields {
		for method := range strings.SplitSeq(field, ",") {
			if strings.TrimSpace(method) == http.MethodPost {
				return true
			}
		}
	}
	return len(fields) == 0
}
