package transcoder

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
)

// The subprotocols, and the prefix of the one that carries a token.
const (
	subprotocolJSON  = "transom.json"
	subprotocolProto = "transom.proto"
	bearerPrefix     = "bearer."
)

const (
	// pingInterval is the pause between pings, pingTimeout the time for the pong.
	pingInterval = 30 * time.Second
	pingTimeout  = 10 * time.Second
	// closeGrace is how long a stream goes on whose client has closed the socket:
	// the backend sees the half-close and then the cancellation.
	closeGrace = time.Second
	// closeCodeBase plus the gRPC code is the close code of a failed call.
	closeCodeBase = 4000
	// maxCloseReason is what a close frame has room for, in bytes.
	maxCloseReason = 123
)

// webSocket is the edge of an RPC called over a WebSocket (SEMANTICS 38): a text
// frame is one JSON message, a binary frame one protobuf message.
type webSocket struct {
	restCall
	allowOrigin func(string) bool

	conn   *websocket.Conn
	cancel context.CancelFunc
	// frames carries what the reader read, one at a time.
	frames    chan webSocketFrame
	unblocked chan struct{}
	unblock   sync.Once
	readerEnd chan struct{}
	// reading is true while the reader waits for the client, when pongs are seen.
	reading atomic.Bool
	pinger  *time.Timer

	started  bool // the message that path and query make was returned
	frame    int  // counts the client's frames from 1
	halfDone bool
	binary   atomic.Bool // answers are binary
	fixed    bool        // by subprotocol, not by the first frame
}

type webSocketFrame struct {
	kind websocket.MessageType
	data []byte
	err  error
}

var _ proxy.Downstream = (*webSocket)(nil)

func (b *Binding) openWebSocket(x Exchange) proxy.Downstream {
	s := &webSocket{
		allowOrigin: x.AllowOrigin,
		frames:      make(chan webSocketFrame), unblocked: make(chan struct{}), readerEnd: make(chan struct{}),
	}
	s.begin(b, x)
	return s
}

// Open implements proxy.Downstream: it upgrades the connection.
func (s *webSocket) Open(ctx context.Context) (context.Context, error) {
	if err := s.checkOrigin(); err != nil {
		return ctx, err
	}
	chosen := chooseSubprotocol(s.r.Header)
	if s.BeforeHeader != nil {
		s.BeforeHeader(s.w.Header())
	}
	options := &websocket.AcceptOptions{
		InsecureSkipVerify:   true, // checked above, by the policy's list
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: minCompressed,
	}
	if chosen != "" {
		options.Subprotocols = []string{chosen}
	}
	s.fixed = chosen == subprotocolJSON || chosen == subprotocolProto
	s.binary.Store(chosen == subprotocolProto)
	conn, err := websocket.Accept(s.w, s.r, options)
	if err != nil {
		// Accept has answered the client.
		return ctx, &alreadyAnswered{NewStatusError(http.StatusBadRequest, codes.InvalidArgument, "not a WebSocket handshake: %v", err)}
	}
	conn.SetReadLimit(s.binding.Method.Settings.MaxMessage)
	s.conn = conn
	ctx, s.cancel = context.WithCancel(ctx)
	go s.read()
	s.pinger = time.AfterFunc(pingInterval, s.ping)
	return ctx, nil
}

// alreadyAnswered is an error of which the client knows.
type alreadyAnswered struct{ *StatusError }

func (s *webSocket) checkOrigin() error {
	origin := first(s.r.Header, "Origin")
	if origin == "" {
		return nil // not a browser
	}
	if u, err := url.Parse(origin); err == nil && strings.EqualFold(u.Host, s.r.Host) {
		return nil
	}
	if s.allowOrigin != nil && s.allowOrigin(origin) {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "a page of %s may not open a WebSocket here", clip(origin))
}

// chooseSubprotocol picks the one subprotocol to echo. A browser gives up where
// it offered some and none is echoed.
func chooseSubprotocol(h http.Header) string {
	var chosen string
	for _, line := range h["Sec-Websocket-Protocol"] {
		for item := range splitComma(line) {
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

// read takes the client's frames until the socket ends. It holds one at a time,
// so that a client cannot send more than the backend takes.
func (s *webSocket) read() {
	defer close(s.readerEnd)
	for {
		s.reading.Store(true)
		kind, data, err := s.conn.Read(context.Background()) // ends with the socket
		s.reading.Store(false)
		if err != nil {
			s.socketEnded(err)
			return
		}
		select {
		case s.frames <- webSocketFrame{kind: kind, data: data}:
		case <-s.unblocked:
			// The call is over, or needs no more: what comes is dropped, but the
			// socket is read on, for its close frame and pongs.
		}
	}
}

// socketEnded tells a waiting Recv, and cancels a call whose answer nobody can
// take any more.
func (s *webSocket) socketEnded(err error) {
	if websocket.CloseStatus(err) == websocket.StatusMessageTooBig || errors.Is(err, websocket.ErrMessageTooBig) {
		limit := s.binding.Method.Settings.MaxMessage
		err = &webSocketError{NewStatusError(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
			"frame %d is larger than %d bytes", s.frame+1, limit), int(websocket.StatusMessageTooBig)}
	} else if s.binding.Method.Shape.ClientStreams && websocket.CloseStatus(err) != -1 {
		time.AfterFunc(closeGrace, s.cancel)
		err = io.EOF
	} else {
		err = status.Error(codes.Canceled, "the client closed the WebSocket")
	}
	select {
	case s.frames <- webSocketFrame{err: err}:
	case <-s.unblocked:
		s.cancel()
	}
}

// webSocketError is a status error with a close code of its own.
type webSocketError struct {
	*StatusError
	code int
}

func (e *webSocketError) WebSocketClose() int { return e.code }

// ping looks after the client. It waits while the reader is held up, as pongs
// are not seen then.
func (s *webSocket) ping() {
	if s.reading.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		if s.conn.Ping(ctx) != nil {
			s.cancel()
			return
		}
	}
	s.pinger.Reset(pingInterval)
}

// Recv implements proxy.Downstream.
func (s *webSocket) Recv() (proxy.Frame, error) {
	streams := s.binding.Method.Shape.ClientStreams
	switch {
	case s.halfDone, s.started && !streams:
		return proxy.Frame{}, io.EOF
	case !streams && s.binding.body.kind == bodyNone:
		return s.fromPath()
	}
	s.started = true
	select {
	case f := <-s.frames:
		return s.message(f)
	case <-s.unblocked:
		return proxy.Frame{}, status.Error(codes.Canceled, "the call has ended")
	}
}

// fromPath makes the request of a rule without a body; the client need send
// nothing.
func (s *webSocket) fromPath() (proxy.Frame, error) {
	s.started = true
	s.wire = s.wire[:0]
	if err := s.appendPathAndQuery(); err != nil {
		return proxy.Frame{}, err
	}
	s.drop()
	return proxy.NewFrame(s.wire), nil
}

// message turns a frame into a message.
func (s *webSocket) message(f webSocketFrame) (proxy.Frame, error) {
	if f.err != nil {
		s.drop()
		return proxy.Frame{}, f.err
	}
	s.frame++
	text := f.kind == websocket.MessageText
	if s.frame == 1 && !s.fixed {
		s.binary.Store(!text)
	}
	streams := s.binding.Method.Shape.ClientStreams
	if text && len(f.data) == 0 && streams {
		s.halfDone = true
		s.drop()
		return proxy.Frame{}, io.EOF
	}
	if !streams {
		s.drop()
	}
	s.wire = s.wire[:0]
	if err := s.appendFrame(f.data, text); err != nil {
		st, httpStatus := statusOf(err, nil)
		return proxy.Frame{}, NewStatusError(httpStatus, st.Code(), "frame %d: %s", s.frame, st.Message())
	}
	return proxy.NewFrame(s.wire), nil
}

// drop lets the reader read on without anybody who takes the frames.
func (s *webSocket) drop() { s.unblock.Do(func() { close(s.unblocked) }) }

func (s *webSocket) appendFrame(data []byte, text bool) error {
	b := &s.binding.body
	var err error
	switch {
	case text && len(data) == 0, b.kind == bodyNone:
	case b.raw:
		contentType := contentTypeBinary
		if text {
			contentType = "text/plain; charset=utf-8"
		}
		s.raw = append(s.raw[:0], data...)
		err = s.appendRaw(contentType)
	case text:
		err = s.appendJSON(data)
	default:
		s.raw = append(s.raw[:0], data...)
		err = s.appendProto()
	}
	if err != nil {
		return err
	}
	return s.appendPathAndQuery()
}

// Header implements proxy.Downstream: after the upgrade there is no place for
// metadata.
func (s *webSocket) Header(metadata.MD) {}

// Send implements proxy.Downstream.
func (s *webSocket) Send(f proxy.Frame) error {
	defer f.Free()
	m := s.binding.Method
	kind, data := websocket.MessageBinary, f.Bytes()
	var err error
	switch {
	case s.binding.answer.raw:
		var b httpBody
		b, err = parseHTTPBody(s.rawPart(data))
		data = b.data
	case !s.binary.Load():
		kind = websocket.MessageText
		if field := s.binding.answer.field; field != nil {
			s.scratch, err = field.AppendJSON(s.scratch[:0], data, m.Settings.JSON)
		} else {
			s.scratch, err = m.output.AppendJSON(s.scratch[:0], data, m.Settings.JSON)
		}
		data = s.scratch
	}
	if err != nil {
		return status.Errorf(codes.Internal, "the backend's message is not a valid %s: %v", m.Descriptor.Output().FullName(), err)
	}
	return s.writeFrame(kind, data)
}

func (s *webSocket) writeFrame(kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, kind, data); err != nil {
		return status.Error(codes.Canceled, "the client went away or stopped reading")
	}
	return nil
}

// Flush implements proxy.Downstream; each frame leaves at once.
func (s *webSocket) Flush() {}

// Unblock implements proxy.Downstream.
func (s *webSocket) Unblock() { s.drop() }

// Finish implements proxy.Downstream.
func (s *webSocket) Finish(err error, _ metadata.MD) int {
	if s.conn == nil {
		var answered *alreadyAnswered
		if errors.As(err, &answered) {
			return answered.HTTP
		}
		return s.writeError(err)
	}
	s.pinger.Stop()
	s.drop()
	if err == nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "") // an error means that the client is gone
	} else {
		s.closeWith(err)
	}
	s.cancel()
	<-s.readerEnd
	return http.StatusSwitchingProtocols
}

// closeWith sends the status as the last text frame and as the close code.
func (s *webSocket) closeWith(err error) {
	st, _ := statusOf(err, s.binding.Method.Settings.Status)
	code := websocket.StatusCode(closeCodeBase + min(int(st.Code()), 999))
	var own interface{ WebSocketClose() int }
	if errors.As(err, &own) {
		code = websocket.StatusCode(own.WebSocketClose())
	}
	s.scratch = append(s.scratch[:0], `{"error":`...)
	s.scratch = append(appendStatus(s.scratch, s.binding.Method.errors, st), '}')
	if s.writeFrame(websocket.MessageText, s.scratch) != nil {
		_ = s.conn.CloseNow() // the client is gone
		return
	}
	_ = s.conn.Close(code, closeReason(st.Message())) // an error means that the client is gone
}

// closeReason cuts a message to what a close frame has room for, between
// characters.
func closeReason(s string) string {
	s = toValidUTF8(s)
	if len(s) <= maxCloseReason {
		return s
	}
	n := maxCloseReason
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
