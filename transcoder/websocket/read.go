package websocket

import (
	"compress/flate"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

const (
	// tickInterval is how often tick looks after the client; every third time it
	// pings. pingTimeout is the time for the pong.
	tickInterval = 10 * time.Second
	pingEvery    = 3
	pingTimeout  = 10 * time.Second
	// firstFrameWait is how long a unary call waits for its message.
	firstFrameWait = time.Minute
)

type webSocketFrame struct {
	text bool
	data []byte
	err  error
}

// read takes the client's frames until the socket ends. It holds one at a time,
// so that a client cannot send more than the backend takes.
func (s *webSocket) read() {
	defer close(s.readerEnd)
	for {
		s.reading.Store(true)
		f := s.readFrame()
		s.readEnd.Store(f.err != nil)
		s.reading.Store(false)
		if f.err != nil {
			s.socketEnded(f.err)
			return
		}
		s.seen.Add(1)
		select {
		case s.frames <- f:
		case <-s.unblocked:
			// The call is over, or needs no more: the socket is read on, for its close
			// frame and pongs.
			if len(f.data) > 0 {
				s.refuseExtra(s.seen.Load())
			}
		}
	}
}

// gone is called when the server knows that the client has gone, as it does over
// HTTP/2. The reader comes to know it too, unless the backend holds it up.
func (s *webSocket) gone() {
	if !s.reading.Load() && !s.readEnd.Load() {
		s.stop()
	}
}

// dropping reports whether nobody wants the client's messages any more.
func (s *webSocket) dropping() bool {
	select {
	case <-s.unblocked:
		return true
	default:
		return false
	}
}

// readFrame reads one message. One that is too large is left unread, so that
// the client can still be told.
func (s *webSocket) readFrame() webSocketFrame {
	kind, r, err := s.conn.Reader(context.Background()) // ends with the socket
	if err != nil {
		return webSocketFrame{err: err}
	}
	if s.dropping() {
		var first [1]byte
		n, err := io.ReadFull(r, first[:])
		if n > 0 {
			s.refuseExtra(s.seen.Load() + 1)
			_, err = io.Copy(io.Discard, r)
		} else if err == io.EOF {
			err = nil // an empty one
		}
		return webSocketFrame{err: err}
	}
	data, err := exchange.AppendAll(make([]byte, 0, exchange.SmallMessage), r, s.Binding.Method.Settings.MaxMessage, 0)
	return webSocketFrame{text: kind == websocket.MessageText, data: data, err: err}
}

// stop cancels the call.
func (s *webSocket) stop() { s.cancel(nil) }

// refuseExtra ends a call whose client sends on behind all that the method takes. An
// empty message is a half-close, and says nothing new (Semantics 313).
func (s *webSocket) refuseExtra(number int64) {
	if !s.complete.Load() || s.over.Load() || s.broken.Load() != nil {
		return // also where it has been: the flood goes on for a while
	}
	text := "the call takes one message of the client, and has it"
	switch {
	case s.Binding.Method.Shape.ClientStreams:
		text = "the empty message before it has ended the client's half"
	case s.Body.Kind == transcoder.BodyNone:
		text = "the call takes none of the client: path and query say it all"
	}
	extra := &webSocketError{rpcerror.New(http.StatusBadRequest, codes.InvalidArgument, "message %d: %s", number, text), websocket.StatusPolicyViolation}
	s.broken.CompareAndSwap(nil, extra)
	s.cancel(extra)
}

// socketEnded tells a waiting Recv, and cancels a call whose answer nobody can
// take any more.
func (s *webSocket) socketEnded(err error) {
	switch {
	case errors.Is(err, exchange.ErrTooLarge):
		err = &webSocketError{rpcerror.New(http.StatusRequestEntityTooLarge, codes.ResourceExhausted,
			"message %d is larger than %d bytes", s.seen.Load()+1, s.Binding.Method.Settings.MaxMessage), websocket.StatusMessageTooBig}
	case s.Binding.Method.Shape.ClientStreams && websocket.CloseStatus(err) != -1:
		time.AfterFunc(closeGrace, s.stop)
		err = io.EOF
	case s.guard.failed.Load() || errors.Is(err, net.ErrClosed) || websocket.CloseStatus(err) != -1:
		err = status.Error(codes.Canceled, "the client closed the WebSocket")
	default:
		broken := s.brokenFrame(err)
		s.broken.Store(broken)
		err = broken
	}
	select {
	case s.frames <- webSocketFrame{err: err}:
	case <-s.unblocked:
		s.cancel(err)
	}
}

// brokenFrame is the error of a frame that breaks RFC 6455, of which the library
// has told the client or not, or whose data cannot be inflated.
func (s *webSocket) brokenFrame(err error) *webSocketError {
	if errors.Is(err, errCloseReason) {
		return &webSocketError{rpcerror.New(http.StatusBadRequest, codes.InvalidArgument,
			"%v; expected UTF-8 behind the code", errCloseReason), websocket.StatusInvalidFramePayloadData}
	}
	code := websocket.StatusProtocolError
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, io.ErrUnexpectedEOF) {
		code = websocket.StatusInvalidFramePayloadData
	}
	return &webSocketError{rpcerror.New(http.StatusBadRequest, codes.InvalidArgument,
		"message %d cannot be read: %v", s.seen.Load()+1, err), code}
}

// webSocketError is a status error with a close code of its own.
type webSocketError struct {
	*rpcerror.StatusError
	code websocket.StatusCode
}

// WebSocketClose is the close code.
func (e *webSocketError) WebSocketClose() int { return int(e.code) }

// tick gives up on a client that does not read and on one that does not answer
// pings.
func (s *webSocket) tick() {
	s.giveUpAfter(exchange.WriteTimeout)
	if s.ticks++; s.ticks%pingEvery == 0 && !s.alive() {
		s.stop()
	}
	if !s.finished.Load() {
		s.timer.Reset(tickInterval)
	}
}

// giveUpAfter makes a write fail that has been waiting for so long.
func (s *webSocket) giveUpAfter(d time.Duration) {
	if s.watch.Stalled(d) {
		_ = s.net.SetWriteDeadline(time.Unix(1, 0)) // it fails only on a closed connection
	}
}

// alive pings the client. While the reader is held up by the backend no pong is
// seen, and while a write is waiting no ping leaves: then it is not for the ping
// to say.
func (s *webSocket) alive() bool {
	if !s.reading.Load() || s.watch.Stalled(0) {
		return true
	}
	seen := s.seen.Load()
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	return s.conn.Ping(ctx) == nil || !s.reading.Load() || s.seen.Load() != seen || s.watch.Stalled(0)
}

// Recv implements proxy.Downstream.
func (s *webSocket) Recv() (proxy.Frame, error) {
	streams := s.Binding.Method.Shape.ClientStreams
	switch {
	case s.halfDone, s.started && !streams:
		return proxy.Frame{}, io.EOF
	case s.Body.Kind == transcoder.BodyNone:
		return s.fromPath()
	}
	s.started = true
	var late <-chan time.Time
	if s.Binding.Method.Shape.Unary() {
		timer := time.NewTimer(firstFrameWait)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case f := <-s.frames:
		return s.message(f)
	case <-s.unblocked:
		return proxy.Frame{}, exchange.ErrUnblocked
	case <-s.ctx.Done():
		return proxy.Frame{}, status.FromContextError(s.ctx.Err()).Err()
	case <-late:
		return proxy.Frame{}, status.Errorf(codes.DeadlineExceeded, "no message came within %s", firstFrameWait)
	}
}

// fromPath makes the request of a rule without a body; the client need send
// nothing.
func (s *webSocket) fromPath() (proxy.Frame, error) {
	s.started = true
	s.Wire = s.Wire[:0]
	s.ClaimVariables()
	if err := s.AppendPathAndQuery(); err != nil {
		return proxy.Frame{}, err
	}
	s.complete.Store(true)
	s.drop()
	return proxy.NewFrame(s.Wire), nil
}

// message turns a frame into a message.
func (s *webSocket) message(f webSocketFrame) (proxy.Frame, error) {
	if f.err != nil {
		s.drop()
		return proxy.Frame{}, f.err
	}
	s.frame++
	if s.frame == 1 && !s.fixed {
		s.binary.Store(!f.text)
	}
	streams := s.Binding.Method.Shape.ClientStreams
	if f.text && len(f.data) == 0 && streams {
		s.halfDone = true
		s.complete.Store(true)
		s.drop()
		return proxy.Frame{}, io.EOF
	}
	if !streams {
		s.complete.Store(true)
		s.drop()
	}
	s.Wire = s.Wire[:0]
	if err := s.appendFrame(f); err != nil {
		var own *webSocketError
		if errors.As(err, &own) {
			return proxy.Frame{}, own
		}
		st, httpStatus := rpcerror.Of(err, nil)
		return proxy.Frame{}, rpcerror.New(httpStatus, st.Code(), "message %d: %s", s.frame, strings.TrimPrefix(st.Message(), "body: "))
	}
	return proxy.NewFrame(s.Wire), nil
}

// drop lets the reader read on without anybody who takes the frames.
func (s *webSocket) drop() { s.unblock.Do(func() { close(s.unblocked) }) }

func (s *webSocket) appendFrame(f webSocketFrame) error {
	b := s.Body
	var err error
	switch {
	case f.text && len(f.data) == 0:
	case b.Raw:
		contentType := transcoder.ContentTypeBinary
		if f.text {
			if !utf8.Valid(f.data) {
				return &webSocketError{rpcerror.New(http.StatusBadRequest, codes.InvalidArgument,
					"message %d: a text frame is UTF-8, and this one is not; bytes go into binary frames", s.frame), websocket.StatusInvalidFramePayloadData}
			}
			contentType = "text/plain; charset=utf-8"
		}
		s.Raw = f.data
		err = s.AppendRaw(contentType)
	case f.text:
		err = s.AppendJSON(f.data)
	default:
		s.Raw = f.data
		err = s.AppendProto()
	}
	if err != nil {
		return err
	}
	return s.appendPrefix()
}

// appendPrefix appends what path and query set to the frame's message. They are
// read once: a long query costs nothing at each of many small frames.
func (s *webSocket) appendPrefix() error {
	if !s.prefixed {
		message := s.Wire
		s.Wire = nil
		s.ClaimVariables()
		err := s.AppendPathAndQuery()
		s.prefix, s.Wire = s.Wire, message
		if err != nil {
			return err
		}
		s.prefixed = true
	}
	if err := s.CheckBody(s.Wire); err != nil {
		return err
	}
	s.Wire = append(s.Wire, s.prefix...)
	return nil
}
