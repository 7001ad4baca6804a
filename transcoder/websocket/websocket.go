package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

const (
	// closeGrace is how long a stream goes on whose client has closed the socket:
	// the backend sees the half-close and then the cancellation.
	closeGrace = time.Second
	// closeWait is how long the client has for its half of the closing handshake.
	closeWait = 5 * time.Second
	// endingWait is closeWait for a gateway whose calls end: it has little left.
	endingWait = 200 * time.Millisecond
	// closeCodeBase plus the gRPC code is the close code of a failed call.
	closeCodeBase = 4000
	// maxCloseReason is what a close frame has room for, in bytes.
	maxCloseReason = 123
)

// webSocket is the edge of an RPC called over a WebSocket (Semantics 38): a text
// frame is one JSON message, a binary frame one protobuf message. What it reads
// is in read.go.
type webSocket struct {
	transcoder.Call

	conn   *websocket.Conn
	net    net.Conn    // below conn, for its deadlines
	guard  *frameGuard // between the two
	ctx    context.Context
	cancel context.CancelCauseFunc

	// The client's half.
	frames    chan webSocketFrame // what the reader read, one at a time
	unblocked chan struct{}
	unblock   sync.Once
	readerEnd chan struct{}
	reading   atomic.Bool                    // the reader waits for the client, and sees pongs
	readEnd   atomic.Bool                    // it has seen the socket's end
	broken    atomic.Pointer[webSocketError] // what the client did wrong last, nil for nothing
	stopGone  func() bool
	seen      atomic.Int64 // frames the reader has read
	started   bool         // the message that path and query make was returned
	frame     int          // counts the client's frames from 1
	halfDone  bool
	complete  atomic.Bool // it has sent all that the method takes
	over      atomic.Bool // the call is; nobody cares for what comes
	prefix    []byte      // what path and query set, in every message
	prefixed  bool        // prefix was made

	// The answer.
	binary   atomic.Bool         // answers are binary
	fixed    bool                // by subprotocol, not by the first frame
	watch    exchange.StallWatch // of the write under way
	timer    *time.Timer         // looks after the client
	ticks    int
	finished atomic.Bool
}

var _ proxy.Downstream = (*webSocket)(nil)

// Protocol is RFC 6455, over HTTP/2 by RFC 8441.
var Protocol = &transcoder.Protocol{Name: "websocket", Sent: opensWebSocket, Open: openWebSocket}

func openWebSocket(b *transcoder.Binding, x exchange.Exchange) proxy.Downstream {
	s := &webSocket{
		frames: make(chan webSocketFrame), unblocked: make(chan struct{}), readerEnd: make(chan struct{}),
	}
	s.Begin(b, x)
	s.Body = &b.Frame
	return s
}

// Open implements proxy.Downstream: it upgrades the connection.
func (s *webSocket) Open(ctx context.Context) (context.Context, error) {
	if err := s.checkHandshake(); err != nil {
		return ctx, err
	}
	chosen := chooseSubprotocol(s.X.R.Header)
	s.X.Announce()
	options := &websocket.AcceptOptions{
		InsecureSkipVerify:   true, // checked above, by the policy's list
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: compression.MinSize,
	}
	if chosen != "" {
		options.Subprotocols = []string{chosen}
	}
	s.fixed = chosen == subprotocolJSON || chosen == subprotocolProto
	s.binary.Store(chosen == subprotocolProto)
	r, window := offering(s.X.R)
	hijacker := &hijacker{ResponseWriter: s.X.W, s: s, window: window}
	if byExtendedConnect(&s.X) {
		hijacker.ResponseWriter, r = &streamHijacker{s.X.W, s.X}, asUpgrade(r)
	}
	conn, err := websocket.Accept(hijacker, r, options)
	if err != nil {
		// Accept has answered the client.
		return ctx, &alreadyAnswered{rpcerror.New(http.StatusInternalServerError, codes.Internal, "the connection cannot be upgraded: %v", err)}
	}
	conn.SetReadLimit(-1) // the reader has a limit of its own
	s.conn, s.net = conn, hijacker.conn
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.stopGone = context.AfterFunc(s.X.R.Context(), s.gone)
	go s.read()
	s.timer = time.AfterFunc(exchange.WriteTimeout, s.tick)
	s.timer.Reset(tickInterval) // now that tick sees the timer
	return s.ctx, nil
}

// hijacker keeps the connection that Accept takes over, and puts the guard
// before it.
type hijacker struct {
	http.ResponseWriter
	s      *webSocket
	window bool // the client wants to be told of the server's window
	conn   net.Conn
}

// alreadyAnswered is an error of which the client knows.
type alreadyAnswered struct{ *rpcerror.StatusError }

// Header implements proxy.Downstream: after the upgrade there is no place for
// metadata.
func (s *webSocket) Header(metadata.MD) {}

// Send implements proxy.Downstream.
func (s *webSocket) Send(f proxy.Frame) error {
	defer f.Free()
	kind, data := websocket.MessageBinary, f.Bytes()
	var long *jsonwire.Long
	var err error
	switch {
	case s.Binding.AnswersRaw():
		var b transcoder.HTTPBody
		b, err = transcoder.ParseHTTPBody(s.Binding.AnswerPart(data))
		data = b.Data
	case !s.binary.Load():
		kind = websocket.MessageText
		s.Scratch, long, err = s.Binding.Convert(s.Scratch[:0], data)
		data = s.Scratch
	}
	if err != nil {
		return transcoder.BrokenAnswer(s.Binding.Method, "the backend's message", err)
	}
	if long != nil {
		return s.writeLong(long)
	}
	return s.writeFrame(kind, data)
}

// writeFrame returns when the frame is written, or when tick gives up on the
// client.
func (s *webSocket) writeFrame(kind websocket.MessageType, data []byte) error {
	s.watch.Begin()
	defer s.watch.End()
	if err := s.conn.Write(context.Background(), kind, data); err != nil {
		return status.Error(codes.Canceled, "the client went away or stopped reading")
	}
	return nil
}

// writeLong writes a message in several frames.
func (s *webSocket) writeLong(long *jsonwire.Long) error {
	w, err := s.conn.Writer(context.Background(), websocket.MessageText)
	if err == nil {
		if _, err = long.WriteTo(framePieces{s, w}); err == nil {
			s.watch.Begin()
			err = w.Close()
			s.watch.End()
		}
	}
	if err != nil {
		_ = s.conn.CloseNow() // there is no way to end a message that is not whole
		return status.Error(codes.Canceled, "the client went away or stopped reading")
	}
	return nil
}

// framePieces writes the pieces of a message; tick looks how long each waits.
type framePieces struct {
	s *webSocket
	w io.Writer
}

// Write implements io.Writer.
func (p framePieces) Write(b []byte) (int, error) {
	p.s.watch.Begin()
	defer p.s.watch.End()
	return p.w.Write(b)
}

// Flush implements proxy.Downstream; each frame leaves at once.
func (s *webSocket) Flush() {}

// Unblock implements proxy.Downstream.
func (s *webSocket) Unblock() {
	s.over.Store(true)
	s.drop()
	if s.watch.Stalled(0) {
		// Send waits for a client that does not read: it gets a moment.
		time.AfterFunc(exchange.LastWriteGrace, func() { s.giveUpAfter(exchange.LastWriteGrace) })
	}
}

// Status implements proxy.Answer.
func (s *webSocket) Status(err error) int {
	if s.conn != nil {
		return s.upgraded()
	}
	var answered *alreadyAnswered
	if errors.As(err, &answered) {
		return answered.HTTP
	}
	return s.ErrorStatus(err)
}

// Whole implements proxy.Answer.
func (s *webSocket) Whole() bool { return false }

// Finish implements proxy.Downstream.
func (s *webSocket) Finish(err error, _ metadata.MD) int {
	if s.conn == nil {
		var answered *alreadyAnswered
		if errors.As(err, &answered) {
			return answered.HTTP
		}
		return s.WriteError(err)
	}
	s.finished.Store(true)
	s.over.Store(true)
	s.stopGone()
	s.timer.Stop()
	s.drop()
	// The library waits without end for the rest of a frame that it skips.
	_ = s.net.SetDeadline(time.Now().Add(closeWait)) // it fails only on a closed connection
	ending := context.AfterFunc(s.X.R.Context(), func() { _ = s.net.SetDeadline(time.Now().Add(endingWait)) })
	defer ending()
	if broken := s.broken.Load(); broken != nil && status.Code(err) == codes.Canceled {
		err = broken // the call was cancelled for it
	}
	if err == nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "") // an error means that the client is gone
	} else {
		s.closeWith(err)
	}
	s.stop()
	<-s.readerEnd
	_ = s.net.Close() // so that no ping still under way writes to what is net/http's again
	return s.upgraded()
}

// upgraded is the status of the answer that has opened it.
func (s *webSocket) upgraded() int {
	if byExtendedConnect(&s.X) {
		return http.StatusOK
	}
	return http.StatusSwitchingProtocols
}

// closeWith sends the status as the last text frame and as the close code.
func (s *webSocket) closeWith(err error) {
	st, _ := rpcerror.Of(err, s.Binding.Method.Settings.Status)
	code := websocket.StatusCode(closeCodeBase + min(int(st.Code()), 999))
	var own interface{ WebSocketClose() int }
	if errors.As(err, &own) {
		code = websocket.StatusCode(own.WebSocketClose())
	}
	s.Scratch = append(s.Scratch[:0], `{"error":`...)
	s.Scratch = append(rpcerror.AppendJSON(s.Scratch, s.Binding.Method.Errors, st), '}')
	if s.writeFrame(websocket.MessageText, s.Scratch) != nil {
		_ = s.conn.CloseNow() // the client is gone
		return
	}
	_ = s.conn.Close(code, closeReason(st.Message())) // an error means that the client is gone
}

// closeReason cuts a message to what a close frame has room for, between
// characters.
func closeReason(s string) string {
	s = rpcerror.ValidUTF8(s)
	if len(s) <= maxCloseReason {
		return s
	}
	n := maxCloseReason
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
