package gateway_test

import (
	"bytes"
	"encoding/json"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// logLines is a log that a test reads while it is written.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// of returns the access log's line of a request.
func (l *logLines) of(id string) map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.text.Bytes()) {
		var fields map[string]any
		if json.Unmarshal(line, &fields) == nil && fields["request_id"] == id {
			return fields
		}
	}
	return nil
}

// TestAccessLogReason: every answer carries the id of its line in the log, and the line
// the gateway's own reason beside a status of its own (Semantics 321).
func TestAccessLogReason(t *testing.T) {
	log := new(logLines)
	g := gatewaytest.Start(t, gatewaytest.Options{Log: log})
	for name, test := range map[string]struct {
		method, path, body string
		status             int
		own                bool
	}{
		"an answer":           {"GET", "/v1/shelves/1", "", 200, false},
		"the backend's error": {"GET", "/v1/shelves/999", "", 404, false},
		"no route":            {"GET", "/none", "", 404, true},
		"another method":      {"DELETE", "/v1/books:search", "", 405, true},
		"a bad query":         {"GET", "/v1/books:search?none=1", "", 400, true},
		"a bad body":          {"POST", "/v1/shelves", "{", 400, true},
		"a preflight":         {"OPTIONS", "/v1/shelves", "", 204, false},
		"a service of ours":   {"POST", "/grpc.health.v1.Health/Check", "{}", 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.Do(t, test.method, test.path, test.body)
			id := a.Header.Get("X-Request-Id")
			if a.Status != test.status || id == "" {
				t.Fatalf("%d %v", a.Status, a.Header)
			}
			var line map[string]any
			poll.Until(t, "the line of the access log", func() bool { line = log.of(id); return line != nil })
			if _, own := line["reason"]; own != test.own {
				t.Errorf("%v", line)
			}
		})
	}
}
