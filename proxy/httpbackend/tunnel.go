package httpbackend

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it, and nothing rests on it
	"encoding/base64"
	"io"
	"net/http"
	"time"
)

// isTunnel reports whether the request opens a WebSocket over HTTP/2 or HTTP/3 (RFC 8441,
// 9220). Upstream it becomes what it is over HTTP/1.1.
func (e *exchange) isTunnel() bool {
	if e.R.Method != http.MethodConnect || e.R.ProtoMajor < 2 {
		return false
	}
	protocol := e.R.Header[":protocol"]
	return len(protocol) == 1 && protocol[0] == websocket
}

// askWebSocket adds to a request what HTTP/2 has no need of.
func (e *exchange) askWebSocket(h http.Header) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // it never fails
	e.key = base64.StdEncoding.EncodeToString(nonce[:])
	h["Sec-Websocket-Key"] = []string{e.key}
}

// accepted reports whether the server has read the request to open a WebSocket.
func (e *exchange) accepted(response *http.Response) bool {
	accept := response.Header["Sec-Websocket-Accept"]
	return len(accept) == 1 && accept[0] == acceptOf(e.key)
}

// acceptOf is the answer to a key (RFC 6455, 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// takeStream opens the tunnel.
func (e *exchange) takeStream(h http.Header) (io.ReadWriteCloser, error) {
	delete(h, "Sec-Websocket-Accept")
	if e.Answer != nil {
		e.Answer(http.StatusOK, e.authority(), h)
	}
	e.W.WriteHeader(http.StatusOK)
	e.result.Status = http.StatusOK
	s := &stream{e: e, control: http.NewResponseController(e.W)}
	return s, s.control.Flush()
}

// stream is the client's end of a tunnel.
type stream struct {
	e       *exchange
	control *http.ResponseController
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) { return s.e.R.Body.Read(p) }

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.e.W.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}

// CloseWrite ends the stream, as a server of HTTP/2 ends it when its handler returns: the
// client's half is not waited for.
func (s *stream) CloseWrite() error { return s.Close() }

// Close implements io.Closer: Read fails.
func (s *stream) Close() error { return s.control.SetReadDeadline(time.Unix(1, 0)) }

// reset has Write fail, too.
func (s *stream) reset() {
	_ = s.control.SetWriteDeadline(time.Unix(1, 0)) // it is supported wherever there are tunnels
}
