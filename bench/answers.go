package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/transom-gateway/transom/bench/load"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// answer is all of a peer's answer.
type answer struct {
	header  http.Header
	trailer http.Header
	body    []byte
}

// form returns what must be equal between the peers, or why the answer is none.
type form func(answer) (any, error)

// compare asks every contender once and fails where an answer is not equal to
// the subject's.
func (t timed) compare(ctx context.Context, f *fleet) error {
	var want any
	for i, c := range t.contenders {
		p, err := f.peer(c.peer)
		if err != nil {
			return err
		}
		a, err := ask(ctx, p.base, t.requestOf(c), t.http2)
		if err != nil {
			return fmt.Errorf("%s: %w", c.label, err)
		}
		got, err := t.form(a)
		if err != nil {
			return fmt.Errorf("%s: %w", c.label, err)
		}
		if i == 0 {
			want = got
		} else if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("the answers differ\n%s: %.2000v\n%s: %.2000v", t.contenders[0].label, want, c.label, got)
		}
	}
	return nil
}

// ask sends one request. A status other than 200 is an error.
func ask(ctx context.Context, base string, r load.Request, http2 bool) (a answer, err error) {
	transport := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, r.Method, base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return answer{}, err
	}
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	if response.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s %s: %s\n%.1000s", request.Method, request.URL, response.Status, body)
	}
	return answer{header: response.Header, trailer: response.Trailer, body: body}, nil
}

// jsonForm is the JSON value of the body.
func jsonForm(a answer) (any, error) {
	if t := a.header.Get("Content-Type"); !strings.HasPrefix(t, "application/json") {
		return nil, fmt.Errorf("the content type is %q, expected application/json", t)
	}
	var value any
	if err := json.Unmarshal(a.body, &value); err != nil {
		return nil, fmt.Errorf("the answer is no JSON: %w\n%.1000s", err, a.body)
	}
	return value, nil
}

// streamForm is the list of the messages, out of the envelope that
// grpc-gateway puts each into.
func streamForm(a answer) (any, error) {
	var messages []any
	for line := range bytes.Lines(a.body) {
		var value any
		if err := json.Unmarshal(line, &value); err != nil {
			return nil, fmt.Errorf("message %d is no JSON: %w\n%.1000s", len(messages)+1, err, line)
		}
		if envelope, ok := value.(map[string]any); ok && len(envelope) == 1 && envelope["result"] != nil {
			value = envelope["result"]
		}
		messages = append(messages, value)
	}
	if len(messages) != ticks {
		return nil, fmt.Errorf("got %d messages, expected %d", len(messages), ticks)
	}
	return messages, nil
}

// grpcForm is the bytes of the answer, which must be a successful one.
func grpcForm(a answer) (any, error) {
	status := a.trailer.Get("Grpc-Status")
	if status == "" {
		status = a.header.Get("Grpc-Status")
	}
	if status != "0" {
		return nil, fmt.Errorf("grpc-status is %q, expected 0: %s", status, a.trailer.Get("Grpc-Message"))
	}
	return a.body, nil
}

// bytesForm is an answer byte by byte.
func bytesForm(a answer) (any, error) { return string(a.body), nil }
