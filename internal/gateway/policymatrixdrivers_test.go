package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// dial connects a gRPC client to the gateway.
func dial(t testing.TB, g *gatewaytest.Gateway) *grpc.ClientConn {
	t.Helper()
	conn := grpctest.Dial(t, g.Addr)
	return conn
}

// doorCall is one call of the policy matrix.
type doorCall struct {
	g       *gatewaytest.Gateway
	service string
	query   string // without "?"
	// headers are name, value pairs, subprotocols those of a WebSocket.
	headers, subprotocols []string
	// texts are the client's words; of a method that takes one, the first.
	texts []string
	// hold: the client does not end its side.
	hold bool
}

// doorAnswer is what the client saw, whatever its protocol.
type doorAnswer struct {
	status  int // HTTP
	header  http.Header
	code    codes.Code
	message string
	// fields are those of a BadRequest.
	fields []string
	words  []string
	// midway: the refusal came behind the header of a good answer.
	midway bool
	closed websocket.StatusCode
}

// doorDriver speaks one protocol, and complains where an answer has not the
// protocol's own form.
type doorDriver struct {
	name, method string
	call         func(t *testing.T, c *doorCall) *doorAnswer
	// json: an error's HTTP status says its code.
	json bool
	// browser: pages use the protocol by themselves.
	browser bool
}

// several reports whether the client may send more than one word.
func (d *doorDriver) several() bool { return d.method == "Talk" }

// streams reports whether either side is a stream.
func (d *doorDriver) streams() bool { return d.method != "Ask" }

func (d *doorDriver) webSocket() bool { return strings.HasPrefix(d.name, "WebSocket") }

func doorDrivers() []*doorDriver {
	all := []*doorDriver{
		{name: "REST", method: "Ask", call: doorREST("POST", "/ask", "application/json", false), json: true, browser: true},
		{name: "NDJSON", method: "Watch", call: doorREST("GET", "/watch", "application/x-ndjson", false), json: true, browser: true},
		{name: "JSON array", method: "Watch", call: doorREST("GET", "/watch", "application/json", false), json: true, browser: true},
		{name: "SSE", method: "Watch", call: doorREST("GET", "/watch", "text/event-stream", false), json: true, browser: true},
		{name: "NDJSON both ways", method: "Talk", call: doorREST("POST", "/talk", "application/x-ndjson", true), json: true},
		{name: "WebSocket text", method: "Talk", call: doorWebSocket("/talk", websocket.MessageText), json: true},
		{name: "WebSocket binary", method: "Talk", call: doorWebSocket("/talk", websocket.MessageBinary), json: true},
		{name: "WebSocket of a server stream", method: "Watch", call: doorWebSocket("/watch", websocket.MessageText), json: true},
	}
	for _, method := range []string{"Ask", "Watch", "Talk"} {
		all = append(all, &doorDriver{name: "gRPC " + method, method: method, call: doorEnvelopes(method, "application/grpc", "application/grpc")},
			&doorDriver{name: "Connect proto " + method, method: method, call: doorConnect(method, "proto"), json: method == "Ask", browser: true},
			&doorDriver{name: "Connect JSON " + method, method: method, call: doorConnect(method, "json"), json: method == "Ask", browser: true})
		if method != "Talk" {
			all = append(all,
				&doorDriver{name: "gRPC-Web " + method, method: method, browser: true,
					call: doorEnvelopes(method, "application/grpc-web+proto", "application/grpc-web")},
				&doorDriver{name: "gRPC-Web-text " + method, method: method, browser: true,
					call: doorEnvelopes(method, "application/grpc-web-text", "application/grpc-web-text")})
		}
	}
	return append(all, &doorDriver{name: "Connect GET", method: "Ask", call: doorConnectGet, json: true, browser: true})
}

// exchange sends a request. The body stays open where the call is held.
func (c *doorCall) exchange(t *testing.T, client *http.Client, method, path, contentType string, body []byte) *http.Response {
	t.Helper()
	if c.query != "" {
		sign := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
		path += sign + c.query
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	var reader io.Reader
	if method != http.MethodGet {
		reader = bytes.NewReader(body)
	}
	if c.hold && reader != nil {
		out, in := io.Pipe()
		go func() { _, _ = in.Write(body) }() // the pipe ends with the call
		t.Cleanup(func() { _ = in.Close() })
		reader = out
	}
	r, err := http.NewRequestWithContext(ctx, method, c.g.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if reader != nil {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(c.headers); i += 2 {
		r.Header[textproto.CanonicalMIMEHeaderKey(c.headers[i])] = append(r.Header[textproto.CanonicalMIMEHeaderKey(c.headers[i])], c.headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// doorREST speaks JSON by the annotations' routes.
func doorREST(method, path, accept string, duplex bool) func(*testing.T, *doorCall) *doorAnswer {
	return func(t *testing.T, c *doorCall) *doorAnswer {
		client, own, words := c.g.Client, *c, ""
		if duplex {
			client = c.g.HTTP2
		} else {
			own.hold = false // the method takes one message
		}
		for _, text := range c.texts {
			words += fmt.Sprintf("{\"text\": %q}\n", text)
		}
		if method == "GET" {
			own.query = strings.TrimSuffix("text="+url.QueryEscape(c.texts[0])+"&"+c.query, "&")
		}
		own.headers = append([]string{"Accept", accept}, c.headers...)
		response := own.exchange(t, client, method, "/"+c.service+path, "application/json", []byte(words))
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Errorf("reading the answer: %v", err)
		}
		a := &doorAnswer{status: response.StatusCode, header: response.Header}
		if response.StatusCode != http.StatusOK {
			a.refusedJSON(t, body)
			return a
		}
		a.readREST(t, accept, body)
		return a
	}
}

// readREST reads a good answer, up to an error in it.
func (a *doorAnswer) readREST(t *testing.T, accept string, body []byte) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != accept {
		t.Errorf("Content-Type is %q, want %q", got, accept)
	}
	var pieces []string
	switch accept {
	case "application/x-ndjson":
		pieces = jsonLines(t, string(body))
	case "text/event-stream":
		for _, e := range events(string(body)) {
			switch e.kind {
			case "":
				pieces = append(pieces, e.data)
			case "error":
				pieces = append(pieces, `{"error":`+e.data+`}`)
			}
		}
	default:
		var list []json.RawMessage
		if json.Unmarshal(body, &list) != nil {
			list = []json.RawMessage{body}
		}
		for _, word := range list {
			pieces = append(pieces, string(word))
		}
	}
	for _, piece := range pieces {
		a.readJSON(t, []byte(piece))
	}
}

// readJSON reads a word, or {"error": Status} in its place.
func (a *doorAnswer) readJSON(t *testing.T, text []byte) {
	t.Helper()
	var message struct {
		Text  string
		Error json.RawMessage
	}
	if err := json.Unmarshal(text, &message); err != nil {
		t.Errorf("no message: %q: %v", text, err)
	}
	if message.Error == nil {
		a.words = append(a.words, message.Text)
		return
	}
	a.midway = true
	a.readStatus(t, message.Error)
}

// refusedJSON reads the refusal of a protocol whose HTTP status speaks.
func (a *doorAnswer) refusedJSON(t *testing.T, body []byte) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("a refusal of type %q, want application/json", got)
	}
	a.readStatus(t, body)
	if a.code == codes.OK || strings.Contains(strings.ToLower(string(body)), "127.0.0.1") {
		t.Errorf("Semantics 26: a refusal that says %s", body)
	}
}

// readStatus reads google.rpc.Status as JSON.
func (a *doorAnswer) readStatus(t *testing.T, text []byte) {
	t.Helper()
	var s struct {
		Code    uint32 // codes.Code takes none above 16
		Message string
		Details []struct {
			Type            string `json:"@type"`
			FieldViolations []struct{ Field string }
		}
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Code == 0 {
		t.Errorf("no google.rpc.Status: %q: %v", text, err)
	}
	a.code, a.message = codes.Code(s.Code), s.Message
	for _, d := range s.Details {
		if !strings.HasPrefix(d.Type, "type.googleapis.com/google.rpc.") {
			t.Errorf("a detail of type %q", d.Type)
		}
		for _, v := range d.FieldViolations {
			a.fields = append(a.fields, v.Field)
		}
	}
}

// doorWebSocket speaks frames of one kind.
func doorWebSocket(path string, kind websocket.MessageType) func(*testing.T, *doorCall) *doorAnswer {
	return func(t *testing.T, c *doorCall) *doorAnswer {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		o := &websocket.DialOptions{HTTPHeader: http.Header{}, Subprotocols: c.subprotocols}
		for i := 0; i < len(c.headers); i += 2 {
			o.HTTPHeader[textproto.CanonicalMIMEHeaderKey(c.headers[i])] = append(o.HTTPHeader[textproto.CanonicalMIMEHeaderKey(c.headers[i])], c.headers[i+1])
		}
		query, texts := c.query, c.texts
		if path == "/watch" { // its message is bound by the path and the query alone
			query, texts = "text="+url.QueryEscape(c.texts[0])+"&"+c.query, nil
		}
		conn, response, err := websocket.Dial(ctx, c.g.URL+"/"+c.service+path+"?"+query, o)
		if response == nil {
			t.Fatal(err)
		}
		a := &doorAnswer{status: response.StatusCode, header: response.Header}
		if err != nil {
			body, _ := io.ReadAll(response.Body) // coder/websocket keeps the first 1024 bytes
			a.refusedJSON(t, body)
			return a
		}
		defer func() { _ = conn.CloseNow() }()
		for _, text := range texts {
			data := []byte(fmt.Sprintf(`{"text": %q}`, text))
			if kind == websocket.MessageBinary {
				data = wordWire(text)
			}
			if conn.Write(ctx, kind, data) != nil {
				break // Read has the reason
			}
		}
		if !c.hold {
			_ = conn.Write(ctx, websocket.MessageText, nil) // as above
		}
		for {
			got, data, err := conn.Read(ctx)
			if err != nil {
				a.closed = websocket.CloseStatus(err)
				return a
			}
			switch {
			case got == websocket.MessageText:
				a.readJSON(t, data)
			case kind == websocket.MessageBinary:
				a.words = append(a.words, wordText(data))
			default:
				t.Errorf("a binary frame: %q", data)
			}
		}
	}
}

// tableStatus is what a refusal's HTTP status must be; 413 and 431 say more
// than the table does.
func tableStatus(code codes.Code, status int) bool {
	return rpcerror.HTTPStatus(code) == status ||
		code == codes.ResourceExhausted && (status == http.StatusRequestEntityTooLarge || status == http.StatusRequestHeaderFieldsTooLarge)
}
