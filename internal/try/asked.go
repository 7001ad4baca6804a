package try

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/span"
)

// The protocols that a call is made by.
const (
	REST      = "rest"
	Connect   = "connect"
	GRPCWeb   = "grpc-web"
	SSE       = "sse"
	WebSocket = "websocket"
)

var protocols = []string{REST, Connect, GRPCWeb, SSE, WebSocket}

// The shapes of methods.
const (
	unary        = "unary"
	clientStream = "client_streaming"
	serverStream = "server_streaming"
	bidiStream   = "bidi_streaming"
)

// Asked is a call that somebody asks for.
type Asked struct {
	Protocol string `json:"protocol"`
	// Method is that of HTTP, for rest and sse. URL is a path with its query, of connect and grpc-web
	// that of the RPC.
	Method string `json:"method,omitempty"`
	URL    string `json:"url"`
	// Stream is the shape of the method; "" for unary.
	Stream string `json:"stream,omitempty"`
	// Headers are lines of "name: value".
	Headers []string `json:"headers,omitempty"`
	// Timeout is how long the gateway may take, such as "3s"; "" for as long as it likes.
	Timeout string `json:"timeout,omitempty"`
	// Messages are sent first. Open reports whether more may come.
	Messages []Message `json:"messages,omitempty"`
	Open     bool      `json:"open,omitempty"`
}

// Message is what a client sends: text, or bytes where there are some.
type Message struct {
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
}

// bytes are those of the message, which has been checked.
func (m Message) bytes() []byte {
	if m.Base64 == "" {
		return []byte(m.Text)
	}
	b, _ := base64.StdEncoding.DecodeString(m.Base64) // check has
	return b
}

func (m Message) check() error {
	if len(m.Text) > maxMessage || base64.StdEncoding.DecodedLen(len(m.Base64)) > maxMessage {
		return fmt.Errorf("found a message of more than %d MiB, expected less: call the gateway itself with it", maxMessage>>20)
	}
	if m.Text != "" && m.Base64 != "" {
		return errors.New("found a message with text and base64, expected one of them")
	}
	if _, err := base64.StdEncoding.DecodeString(m.Base64); err != nil {
		return fmt.Errorf("base64: %w", err)
	}
	return nil
}

// check says what is wrong with what is asked for, and puts defaults in.
func (a *Asked) check() error {
	if !slices.Contains(protocols, a.Protocol) {
		return fmt.Errorf("protocol: found %q, expected one of %q", a.Protocol, protocols)
	}
	if a.Stream == "" {
		a.Stream = unary
	}
	if shapes := []string{unary, clientStream, serverStream, bidiStream}; !slices.Contains(shapes, a.Stream) {
		return fmt.Errorf("stream: found %q, expected one of %q", a.Stream, shapes)
	}
	if !strings.HasPrefix(a.URL, "/") || strings.ContainsAny(a.URL, "# ") {
		return fmt.Errorf("url: found %q, expected a path that begins with a slash and has no # and no spaces, which are written %%23 and %%20", a.URL)
	}
	if _, err := url.ParseRequestURI(a.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	switch a.Protocol {
	case Connect, GRPCWeb:
		a.Method = http.MethodPost
	case WebSocket:
		a.Method = http.MethodGet
	}
	if a.Method = strings.ToUpper(a.Method); !httpguts.ValidHeaderFieldName(a.Method) || a.Method == http.MethodConnect {
		return fmt.Errorf("method: found %q, expected one of HTTP such as GET", a.Method)
	}
	return a.checkMessages()
}

func (a *Asked) checkMessages() error {
	if len(a.Messages) > maxWaiting {
		return fmt.Errorf("found %d messages, expected %d at most; send further ones when these are sent", len(a.Messages), maxWaiting)
	}
	if !a.clientStreams() && (len(a.Messages) > 1 || a.Open) {
		return fmt.Errorf("found several messages, expected one at most: the method takes no stream")
	}
	for i, m := range a.Messages {
		if err := m.check(); err != nil {
			return fmt.Errorf("messages[%d]: %w", i, err)
		}
	}
	if _, err := a.timeout(); err != nil {
		return fmt.Errorf("timeout: %w", err)
	}
	return nil
}

// clientStreams reports whether several messages may be sent. Over a WebSocket the gateway
// says itself what is too much.
func (a *Asked) clientStreams() bool {
	return a.Stream == clientStream || a.Stream == bidiStream || a.Protocol == WebSocket
}

func (a *Asked) serverStreams() bool { return a.Stream == serverStream || a.Stream == bidiStream }

func (a *Asked) timeout() (time.Duration, error) {
	if a.Timeout == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(a.Timeout)
	if err == nil && (d < time.Millisecond || d > MaxTime) {
		err = fmt.Errorf("found %q, expected from 1ms to %v", a.Timeout, span.Text(MaxTime))
	}
	return d, err
}

// own are headers that the protocol or the connection sets.
var own = []string{"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions", "Sec-Websocket-Accept", "Connect-Protocol-Version"}

// header makes the header of the request.
func (a *Asked) header() (h http.Header, host string, err error) {
	h = http.Header{}
	size := 0
	for _, line := range a.Headers {
		name, value, ok := strings.Cut(line, ":")
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || !httpguts.ValidHeaderFieldName(name):
			return nil, "", fmt.Errorf("headers: found %.80q, expected a line of 'name: value'", line)
		case !httpguts.ValidHeaderFieldValue(value):
			return nil, "", fmt.Errorf("headers: found characters in the value of %s that a header cannot have", name)
		case slices.Contains(own, name):
			return nil, "", fmt.Errorf("headers: found %s, which the protocol sets itself: leave it out", name)
		case name == "Host":
			host = value
			continue
		}
		h.Add(name, value)
		size += len(line)
	}
	if len(a.Headers) > maxFields || size > maxFieldBytes {
		return nil, "", fmt.Errorf("headers: found %d with %d bytes, expected %d with %d bytes at most", len(a.Headers), size, maxFields, maxFieldBytes)
	}
	a.byProtocol(h)
	return h, host, nil
}

// byProtocol adds what makes the request one of its protocol.
func (a *Asked) byProtocol(h http.Header) {
	contentType, timeout := "application/json", "X-Request-Timeout"
	streams := a.Stream != unary
	switch a.Protocol {
	case Connect:
		timeout = "Connect-Timeout-Ms"
		h.Set("Connect-Protocol-Version", "1")
		if streams {
			contentType = "application/connect+json"
		}
	case GRPCWeb:
		contentType, timeout = "application/grpc-web+json", "Grpc-Timeout"
		h.Set("X-Grpc-Web", "1")
	case SSE:
		setDefault(h, "Accept", "text/event-stream")
	case WebSocket:
		contentType = ""
	}
	rpc := a.Protocol == Connect || a.Protocol == GRPCWeb
	switch {
	case contentType == "" || !rpc && len(a.Messages) == 0 && !a.Open:
	case rpc:
		h.Set("Content-Type", contentType)
	default:
		setDefault(h, "Content-Type", contentType)
	}
	if d, err := a.timeout(); err == nil && d > 0 {
		h.Set(timeout, timeoutText(timeout, d))
	}
}

func setDefault(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

// timeoutText is a time as the header has it.
func timeoutText(header string, d time.Duration) string {
	ms := strconv.FormatInt(d.Milliseconds(), 10)
	switch header {
	case "Connect-Timeout-Ms":
		return ms
	case "Grpc-Timeout":
		return ms + "m"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// content puts bytes into an event, as text where they are some.
func (e *Event) content(b []byte) {
	if len(b) > maxShown {
		b, e.Cut = b[:maxShown], true
	}
	text := b
	for n := 0; e.Cut && n < utf8.UTFMax && !utf8.Valid(text) && len(text) > 0; n++ {
		text = text[:len(text)-1] // the cut may be within a character
	}
	if utf8.Valid(text) && !slices.Contains(text, 0) {
		e.Text = string(text)
		return
	}
	e.Base64 = b
}
