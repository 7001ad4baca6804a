package try

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/rpccode"
)

// closeOfCode is the close code of a WebSocket whose call has failed, less the gRPC code.
const closeOfCode = 4000

// socket makes the call over a WebSocket.
func (t *Trial) socket() Event {
	client := &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return t.options.Dial(ctx) },
		DisableKeepAlives: true,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	socket, response, err := websocket.Dial(t.ctx, "ws://"+t.host+t.asked.URL, &websocket.DialOptions{ //nolint:bodyclose // the library closes it, or leaves a buffer
		HTTPClient: client, HTTPHeader: t.headers, Host: t.host, Subprotocols: t.subprotocols(),
	})
	if response != nil {
		t.say(Event{Name: "head", Status: response.StatusCode, HTTP: response.Proto, Fields: fields(response.Header)})
	}
	if err != nil && response == nil {
		return failed(err)
	}
	if err != nil { // the gateway has refused the upgrade, and says why as to any other request
		return t.whole(response)
	}
	defer func() { _ = socket.CloseNow() }() // it is closed, or it has failed
	socket.SetReadLimit(maxTold)
	go t.writeFrames(socket)
	return t.frames(socket)
}

// subprotocols takes those that are asked for out of the header, where the handshake puts them.
func (t *Trial) subprotocols() []string {
	said := t.headers.Values("Sec-Websocket-Protocol")
	t.headers.Del("Sec-Websocket-Protocol")
	return said
}

// writeFrames sends messages, and behind the last one an empty frame, which says that there
// are no more.
func (t *Trial) writeFrames(socket *websocket.Conn) {
	for n := 1; ; n++ {
		m, ok := t.next()
		if !ok {
			if t.ctx.Err() == nil && (t.asked.Stream == clientStream || t.asked.Stream == bidiStream) {
				_ = socket.Write(t.ctx, websocket.MessageText, nil) // who reads sees why it fails
			}
			return
		}
		kind := websocket.MessageText
		if m.Base64 != "" {
			kind = websocket.MessageBinary
		}
		if err := socket.Write(t.ctx, kind, m.bytes()); err != nil {
			return // as above
		}
		t.say(Event{Name: "sent", Number: n, Bytes: int64(len(m.bytes()))})
	}
}

// frames tells what comes, until the WebSocket is closed.
func (t *Trial) frames(socket *websocket.Conn) (end Event) {
	for {
		_, r, err := socket.Reader(t.ctx)
		var b []byte
		var n int64
		if err == nil {
			b, n, err = readMost(r, maxShown+1)
		}
		if err != nil {
			return closed(end, err)
		}
		var last struct {
			Error json.RawMessage `json:"error"`
		}
		end = Event{}
		if json.Unmarshal(b, &last) == nil && len(last.Error) > 0 {
			end = statusJSON(last.Error)
		}
		e := Event{Name: "message", Bytes: n}
		e.content(b)
		t.say(e)
	}
}

// closed is the end of a WebSocket, with what its last message has said.
func closed(end Event, err error) Event {
	var closing websocket.CloseError
	switch {
	case errors.As(err, &closing):
		end.Close = int(closing.Code)
		switch {
		case closing.Code == websocket.StatusNormalClosure:
			end.Code = rpccode.Name(codes.OK)
		case end.Code == "" && closing.Code > closeOfCode && closing.Code <= closeOfCode+16:
			end.Code = rpccode.Name(codes.Code(closing.Code - closeOfCode)) //nolint:gosec // it is one of them
		}
		if end.Message == "" {
			end.Message = closing.Reason
		}
	case errors.Is(err, io.EOF):
		end.Failure = "the connection was closed without a close frame"
	default:
		end.Failure = err.Error()
	}
	return end
}
