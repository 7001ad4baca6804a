package websocket

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// The subprotocols, and the prefix of the one that carries a token.
const (
	subprotocolJSON  = "transom.json"
	subprotocolProto = "transom.proto"
	bearerPrefix     = "bearer."
)

// webSocketVersion is RFC 6455's.
const webSocketVersion = "13"

// opensWebSocket reports whether a request asks for a WebSocket.
func opensWebSocket(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet:
		return isWebSocket(r)
	case http.MethodConnect:
		return r.Header.Get(":protocol") == "websocket"
	}
	return false
}

// isWebSocket reports whether a GET asks for an upgrade (RFC 6455, 4.2.1).
func isWebSocket(r *http.Request) bool {
	if _, ok := r.Header["Upgrade"]; !ok {
		return false
	}
	return field.HasToken(r.Header["Connection"], "upgrade") && field.HasToken(r.Header["Upgrade"], "websocket")
}

// checkHandshake refuses what is no opening handshake (RFC 6455, 4.2.1; RFC
// 8441, 5), in the form of every other refusal.
func (s *webSocket) checkHandshake() error {
	http2 := byExtendedConnect(&s.X)
	if !http2 && (s.X.R.Method != http.MethodGet || !s.X.HTTP1()) {
		return rpcerror.New(http.StatusNotImplemented, codes.Unimplemented,
			"WebSockets are opened by GET over HTTP/1.1 and by extended CONNECT over HTTP/2; found %s by %s", rpcerror.Clip(s.X.R.Method), s.X.R.Proto)
	}
	if s.X.HTTP10() {
		return rpcerror.New(http.StatusUpgradeRequired, codes.InvalidArgument,
			"WebSockets are opened over HTTP/1.1; found %s", s.X.R.Proto)
	}
	if s.X.R.ContentLength != 0 && !http2 {
		// Who takes over the connection would first have to read the body, for as long
		// as the client pleases.
		return rpcerror.BadRequest("a GET that opens a WebSocket has no body (RFC 6455, 4.1); found %s", framing(s.X.R))
	}
	if versions := s.X.R.Header["Sec-Websocket-Version"]; len(versions) > 1 {
		return rpcerror.BadRequest("Sec-WebSocket-Version is there %d times, expected once", len(versions))
	}
	if v := field.First(s.X.R.Header, "Sec-Websocket-Version"); v != webSocketVersion {
		s.X.Header()["Sec-Websocket-Version"] = []string{webSocketVersion}
		return rpcerror.New(http.StatusUpgradeRequired, codes.InvalidArgument,
			"Sec-WebSocket-Version is %q, expected %s", rpcerror.Clip(v), webSocketVersion)
	}
	if http2 {
		return nil // its frames cannot be mistaken for another protocol's: no key
	}
	keys := s.X.R.Header["Sec-Websocket-Key"]
	if len(keys) != 1 {
		return rpcerror.BadRequest("Sec-WebSocket-Key is there %d times, expected once", len(keys))
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err != nil || len(key) != 16 {
		return rpcerror.BadRequest("Sec-WebSocket-Key is %q, expected 16 bytes in base64", rpcerror.Clip(keys[0]))
	}
	return nil
}

// framing says how long a request's body is, as its header has it.
func framing(r *http.Request) string {
	if r.ContentLength < 0 {
		return "Transfer-Encoding: chunked"
	}
	return fmt.Sprintf("Content-Length: %d", r.ContentLength)
}

// chooseSubprotocol picks the one subprotocol to echo. A browser gives up where
// it offered some and none is echoed.
func chooseSubprotocol(h http.Header) string {
	var chosen string
	for _, line := range h["Sec-Websocket-Protocol"] {
		for item := range strings.SplitSeq(line, ",") {
			item = strings.TrimSpace(item)
			switch {
			case item == subprotocolJSON || item == subprotocolProto:
				return item
			case chosen == "" || strings.HasPrefix(chosen, bearerPrefix):
				chosen = item
			}
		}
	}
	return chosen
}

// WriteHeader implements http.ResponseWriter. The library says nothing of a window, which
// the one who offered it wants to be told of.
func (h *hijacker) WriteHeader(code int) {
	if agreed := h.Header()["Sec-Websocket-Extensions"]; len(agreed) == 1 && h.window {
		h.Header()["Sec-Websocket-Extensions"] = []string{agreed[0] + "; " + serverWindow}
	}
	h.ResponseWriter.WriteHeader(code)
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := exchange.FrontOf(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = conn
	deflates := h.Header()["Sec-Websocket-Extensions"] != nil
	h.s.guard, rw = guardFrames(conn, rw, h.s.Binding.Method.Settings.MaxMessage, deflates, h.s.dropping)
	return h.s.guard, rw, nil
}
