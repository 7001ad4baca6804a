package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// outcomeUnknown is the answer to a key of which nobody knows whether its call was made.
const outcomeUnknown = "OUTCOME_UNKNOWN"

// soakClients are clients of each protocol.
type soakClients struct{ http1, http2 *http.Client }

func (c *soakClients) init(t *testing.T) {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	one, two := &http.Transport{MaxIdleConnsPerHost: 64}, &http.Transport{Protocols: protocols}
	t.Cleanup(one.CloseIdleConnections)
	t.Cleanup(two.CloseIdleConnections)
	c.http1, c.http2 = &http.Client{Transport: one}, &http.Client{Transport: two}
}

// soakAnswer is what became of one try.
type soakAnswer struct {
	receipt  string // or outcomeUnknown; "" where one has to try again
	replayed bool
	wrong    string // an answer that there must not be
}

// soakProtocols are the ways to the one method.
var soakProtocols = []struct {
	path, contentType, body string
	http2                   bool
	header                  [2]string
}{
	{"/v1/pay", "application/json", `{"name":"a"}`, false, [2]string{}},
	{"/v1/pay", "application/json", `{ "name": "a" }`, true, [2]string{}},
	{"/soak.v1.Till/Pay", "application/json", `{"name":"a"}`, false, [2]string{"Connect-Protocol-Version", "1"}},
	{"/soak.v1.Till/Pay", "application/grpc", "\x00\x00\x00\x00\x03\x0a\x01a", true, [2]string{"Te", "trailers"}},
}

// pay makes a call under a key, by a protocol that chance chooses.
func (c *soakClients) pay(t *testing.T, url, key string, r *rand.Rand) soakAnswer {
	way := &soakProtocols[r.IntN(len(soakProtocols))]
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+way.path, strings.NewReader(way.body))
	if err != nil {
		return soakAnswer{wrong: err.Error()}
	}
	client := c.http1
	if way.http2 {
		client = c.http2
	}
	request.Header = http.Header{"Content-Type": {way.contentType}, "Idempotency-Key": {key}}
	if way.header[0] != "" {
		request.Header.Set(way.header[0], way.header[1])
	}
	answer, err := client.Do(request)
	if err != nil {
		return soakAnswer{}
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return soakAnswer{}
	}
	replayed := answer.Header.Get("Idempotent-Replayed") == "true"
	if way.contentType == "application/grpc" {
		return readGRPC(answer, string(text), replayed)
	}
	return readJSON(answer, string(text), replayed)
}

// readJSON reads an answer by REST or Connect.
func readJSON(answer *http.Response, text string, replayed bool) soakAnswer {
	var receipt struct{ ID string }
	switch {
	case strings.Contains(text, outcomeUnknown) || strings.Contains(text, "nobody knows"):
		return soakAnswer{receipt: outcomeUnknown, replayed: replayed}
	case answer.StatusCode == http.StatusConflict || answer.StatusCode == http.StatusServiceUnavailable:
		return soakAnswer{}
	case answer.StatusCode != http.StatusOK || json.Unmarshal([]byte(text), &receipt) != nil || receipt.ID == "":
		return soakAnswer{wrong: fmt.Sprint(answer.StatusCode, " ", text)}
	}
	return soakAnswer{receipt: receipt.ID, replayed: replayed}
}

// readGRPC reads an answer by gRPC.
func readGRPC(answer *http.Response, text string, replayed bool) soakAnswer {
	told, message := answer.Trailer.Get("Grpc-Status"), answer.Trailer.Get("Grpc-Message")
	if told == "" {
		told, message = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	switch {
	case strings.Contains(message, "nobody knows"):
		return soakAnswer{receipt: outcomeUnknown, replayed: replayed}
	case told == "10" || told == "14":
		return soakAnswer{}
	case told != "0" || len(text) < 8:
		return soakAnswer{wrong: fmt.Sprintf("%d, status %q: %s; %q", answer.StatusCode, told, message, text)}
	}
	return soakAnswer{receipt: text[7:], replayed: replayed}
}

// cut begins a call under a key and leaves it at some point.
func (c *soakClients) cut(t *testing.T, url, key string, r *rand.Rand) {
	switch r.IntN(3) {
	case 0:
		cutConnection(t, url, key, r)
	case 1: // a stream that is cancelled, or a connection that is closed, at any time
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(3000))*time.Microsecond)
		defer cancel()
		c.send(ctx, url, key, strings.NewReader(`{"name":"a"}`), r)
	case 2: // half a body
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		body, half := io.Pipe()
		go func() {
			_, _ = io.WriteString(half, `{"name":`) // it is read, or the request has ended
			cancel()
			_ = half.CloseWithError(context.Canceled) // HTTP/1.1 waits for its body
		}()
		c.send(ctx, url, key, body, r)
		_ = body.Close()
	}
}

// send makes a call whose answer nobody wants.
func (c *soakClients) send(ctx context.Context, url, key string, body io.Reader, r *rand.Rand) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/pay", body)
	if err != nil {
		return
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}}
	client := c.http2
	if r.IntN(2) == 0 {
		client = c.http1
	}
	if answer, err := client.Do(request); err == nil {
		_ = answer.Body.Close() // nobody reads it
	}
}

// cutConnection makes a call by HTTP/1.1 and resets its connection: before all was sent, behind
// that, or within the answer.
func cutConnection(t *testing.T, url, key string, r *rand.Rand) {
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return // its gateway is dead
	}
	defer func() { _ = conn.Close() }()
	head := "POST /v1/pay HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\nIdempotency-Key: " + key + "\r\n\r\n{\"name\":\"a\"}"
	sent := len(head)
	if r.IntN(3) == 0 {
		sent -= 1 + r.IntN(20)
	}
	if _, err := io.WriteString(conn, head[:sent]); err != nil {
		return
	}
	if sent == len(head) && r.IntN(2) == 0 {
		_, _ = conn.Read(make([]byte, 1)) // it may be closed already
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST
	}
}
