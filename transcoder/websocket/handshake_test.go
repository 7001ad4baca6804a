package websocket

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/edge"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
)

// upgrade is a handshake, and with a body what more its header says.
func upgrade(body string) *http.Request {
	var r *http.Request
	switch body {
	case "":
		r = httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	case "chunked":
		r = httptest.NewRequest(http.MethodGet, "/", io.NopCloser(strings.NewReader("x")))
		r.ContentLength = -1
	default:
		r = httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// TestHandshakeHasNoBody: the library would read a body without a deadline when it takes
// the connection over (Semantics 38).
func TestHandshakeHasNoBody(t *testing.T) {
	for body, want := range map[string]string{
		"x":       "a GET that opens a WebSocket has no body (RFC 6455, 4.1); found Content-Length: 1",
		"chunked": "a GET that opens a WebSocket has no body (RFC 6455, 4.1); found Transfer-Encoding: chunked",
	} {
		w := httptest.NewRecorder() // which cannot be hijacked
		d := Protocol.Open(edge.Bookstore(t, "Discuss", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(w), R: upgrade(body)})
		_, err := d.Open(t.Context())
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if code := d.Finish(err, nil); code != http.StatusBadRequest || w.Code != http.StatusBadRequest {
			t.Errorf("%d %d", code, w.Code)
		}
	}
}

// TestVersionsOfHandshake: one version is asked for, by HTTP/1.1 and by HTTP/2 (Semantics 38).
func TestVersionsOfHandshake(t *testing.T) {
	for name, r := range map[string]*http.Request{"HTTP/1.1": upgrade(""), "HTTP/2": upgrade("")} {
		if name == "HTTP/2" {
			r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = http.MethodConnect, "HTTP/2.0", 2, 0
		}
		r.Header["Sec-Websocket-Version"] = []string{"13", "13"}
		d := Protocol.Open(edge.Bookstore(t, "Discuss", transcoder.Settings{}), exchange.Exchange{W: exchange.FrontOf(httptest.NewRecorder()), R: r})
		_, err := d.Open(t.Context())
		if err == nil || !strings.Contains(err.Error(), "Sec-WebSocket-Version is there 2 times, expected once") {
			t.Errorf("%s: %v", name, err)
		}
		if code := d.Finish(err, nil); code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, code)
		}
	}
}

// TestCloseOfEndingGateway: a client that does not answer the close frame holds up a
// gateway whose calls end for a moment only (Semantics 320).
func TestCloseOfEndingGateway(t *testing.T) {
	for name, before := range map[string]bool{"the close is sent before": true, "the close is sent after": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				running, end := context.WithCancel(t.Context())
				d := Protocol.Open(edge.Bookstore(t, "Discuss", transcoder.Settings{}),
					exchange.Exchange{W: exchange.FrontOf(&pipeWriter{httptest.NewRecorder(), server}), R: upgrade("").WithContext(running)})
				if _, err := d.Open(context.WithoutCancel(running)); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, client) }() // and never a close frame
				start, want := time.Now(), endingWait
				if before {
					time.AfterFunc(time.Second, end)
					want += time.Second
				} else {
					end()
				}
				d.Finish(nil, metadata.MD{})
				if took := time.Since(start); took != want { // of the bubble's clock
					t.Errorf("it took %s, want %s", took, want)
				}
				end()
				_ = client.Close()
			})
		})
	}
}
