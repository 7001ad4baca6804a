// Package extendedconnect has a browser open WebSockets over HTTP/2, as it does
// where a server offers extended CONNECT.
package extendedconnect

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	_ "github.com/transom-gateway/transom/internal/testing/gateway/http2xconnect" // or Chromium takes HTTP/1.1
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// script opens a WebSocket and sends frames. After so many answers it half-closes
// the call by an empty frame, or closes the socket. It tells all that happened.
//
// The empty frame must not follow another at once: Chromium keeps it back then.
const script = `(path, frames, after, how) => new Promise(resolve => {
	const told = { answers: [] };
	const socket = new WebSocket('wss://' + location.host + path, ['transom.json']);
	socket.onopen = () => {
		told.protocol = socket.protocol;
		frames.forEach(f => socket.send(f));
	};
	socket.onmessage = e => {
		told.answers.push(e.data.length);
		if (told.answers.length === after) how === 'close' ? socket.close(1000, 'enough') : socket.send('');
	};
	socket.onclose = e => resolve({ ...told, code: e.code, reason: e.reason, clean: e.wasClean });
})`

// told is what the script tells.
type told struct {
	Protocol string
	Answers  []int // their lengths
	Code     int
	Reason   string
	Clean    bool
}

// openings notes how WebSockets are asked for.
type openings struct {
	next http.Handler
	mu   sync.Mutex
	seen []string
}

func (o *openings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Sec-WebSocket-Version") != "" {
		o.mu.Lock()
		o.seen = append(o.seen, r.Proto+" "+r.Method)
		o.mu.Unlock()
	}
	o.next.ServeHTTP(w, r)
}

func (o *openings) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}

func TestChromium(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "defaults: { limits: { max_message_bytes: 100000 } }\n"})
	opened := &openings{next: g}
	server := httptest.NewUnstartedServer(opened)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	page := browser.Start(t).Open(t, server.URL+"/v1/shelves/1")

	const discuss = "/v1/discuss:stream"
	text := func(n int) string { return `{"text":"` + strings.Repeat("x", n) + `"}` }
	answer := len(`{"sequence":"1","text":"You said: "}`)
	for _, test := range []struct {
		name, path string
		frames     []string
		after      int
		how        string
		want       told
	}{
		{"the half-close", discuss, []string{text(1), text(2)}, 2, "empty", told{Answers: []int{answer + 1, answer + 2}, Code: 1000, Clean: true}},
		{"long messages", discuss, []string{text(60_000), text(90_000)}, 2, "empty", told{Answers: []int{answer + 60_000, answer + 90_000}, Code: 1000, Clean: true}},
		{"the page closes", discuss, []string{text(1)}, 1, "close", told{Answers: []int{answer + 1}, Code: 1000, Reason: "enough", Clean: true}},
		{"an error", discuss, []string{`{"failure":{"code":9,"message":"not now"}}`}, 0, "", told{Answers: []int{len(`{"error":{"code":9,"message":"not now","details":[]}}`)}, Code: 4009, Reason: "not now", Clean: true}},
		{"a frame too large", discuss, []string{text(200_000)}, 0, "", told{Answers: []int{len(`{"error":{"code":8,"message":"message 1 is larger than 100000 bytes","details":[]}}`)}, Code: 1009, Reason: "message 1 is larger than 100000 bytes", Clean: true}},
		{"no such route", "/v1/nothing", nil, 0, "", told{Answers: []int{}, Code: 1006}},
	} {
		t.Run("Semantics 38: "+test.name, func(t *testing.T) {
			got := browser.Eval[told](t, page, script, test.path, append([]string{}, test.frames...), test.after, test.how)
			if test.want.Code != 1006 {
				test.want.Protocol = "transom.json"
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			if how := opened.take(); !slices.Equal(how, []string{"HTTP/2.0 CONNECT"}) {
				t.Errorf("opened by %v", how)
			}
		})
	}
}
