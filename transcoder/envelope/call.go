package envelope

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/compression"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// envelopeCall is what the edges share whose messages stand in envelopes: gRPC,
// gRPC-Web and Connect's streams. Its Recv may run beside the rest.
type envelopeCall struct {
	method *transcoder.Method
	x      exchange.Exchange

	in       envelopeReader
	received bool        // the only message of a client that does not stream
	ended    atomic.Bool // the body was read to its end
	due      time.Time   // the call's deadline; zero for none

	// json tells that the messages are JSON, not in wire format.
	json      bool
	count     int            // messages of the client that were JSON
	wire      []byte         // of the client's message; kept between calls
	converted []byte         // of the backend's; kept between calls
	long      *jsonwire.Long // in its place

	// What the answer's header says; what differs between the protocols is set with them.
	contentType    []string
	encodingHeader string // names the encoding of the messages
	bare           bool   // without what gRPC's clients have no use for and net/http would spend time on
	refused        int    // the HTTP status of a request that is not of the protocol; 0 for none

	out      envelopeWriter
	headed   bool      // the backend sent metadata ahead of its messages
	begun    bool      // the header is written
	deadline time.Time // of the writes
}

func (c *envelopeCall) start(m *transcoder.Method, x exchange.Exchange, malformed codes.Code) {
	c.method, c.x = m, x
	c.in.begin(x.R.Body, m.MaxRequestMessage(), malformed)
	c.out.begin(&c.x)
}

// release drops what belongs to the request and keeps the memory.
func (c *envelopeCall) release() {
	c.in.begin(nil, 0, 0)
	c.out.begin(nil)
	c.method, c.x = nil, exchange.Exchange{}
	c.contentType, c.encodingHeader, c.bare, c.refused = nil, "", false, 0
	c.received, c.headed, c.begun, c.deadline, c.due = false, false, false, time.Time{}, time.Time{}
	c.json, c.count, c.long = false, 0, nil
	c.wire, c.converted = exchange.Keep(c.wire), exchange.Keep(c.converted)
	c.ended.Store(false)
}

// fullDuplex lets an HTTP/1.1 answer begin before the request has ended.
func (c *envelopeCall) fullDuplex() {
	if c.x.HTTP1() && c.method.Shape.ClientStreams {
		c.x.FullDuplex()
	}
}

// Status implements proxy.Answer.
func (c *envelopeCall) Status(error) int {
	if c.refused != 0 {
		return c.refused
	}
	return http.StatusOK
}

// Whole implements proxy.Answer.
func (c *envelopeCall) Whole() bool { return false }

// Open implements proxy.Downstream where there is nothing to check.
func (c *envelopeCall) Open(ctx context.Context) (context.Context, error) { return ctx, nil }

// Recv implements proxy.Downstream.
func (c *envelopeCall) Recv() (proxy.Frame, error) {
	f, err := c.recvFrame()
	if err != nil || !c.json {
		return f, err
	}
	defer f.Free()
	if c.wire, err = c.method.Input.AppendWire(c.wire[:0], f.Bytes(), c.method.Settings.Input); err != nil {
		return proxy.Frame{}, rpcerror.BadRequest("message %d: %v", c.count, err)
	}
	c.count++
	return proxy.NewFrame(c.wire), nil
}

// recvFrame returns the next message as the client wrote it.
func (c *envelopeCall) recvFrame() (proxy.Frame, error) {
	if c.method.Shape.ClientStreams {
		f, err := c.in.next()
		if err == io.EOF {
			// Nothing else is the end: a read that Unblock broke off leaves the rest of
			// the body on the connection.
			c.ended.Store(true)
		}
		return f, err
	}
	if c.received {
		return proxy.Frame{}, io.EOF
	}
	c.received = true
	if !c.method.Shape.Unary() {
		return c.recvOnly() // the relay looks after streams
	}
	reading := exchange.Watch(&c.x, c.due)
	f, err := c.recvOnly()
	if late := reading.Done(); late != nil {
		f.Free()
		return proxy.Frame{}, late
	}
	return f, err
}

// recvOnly reads a message and sees to it that it is the only one.
func (c *envelopeCall) recvOnly() (proxy.Frame, error) {
	f, err := c.in.next()
	if err != nil {
		return proxy.Frame{}, err
	}
	if err := c.in.close(); err != nil {
		f.Free()
		return proxy.Frame{}, err
	}
	c.ended.Store(true)
	return f, nil
}

// convert makes JSON of a message of the backend where the client takes JSON.
func (c *envelopeCall) convert(f *proxy.Frame) error {
	if !c.json {
		return nil
	}
	var err error
	if c.converted, c.long, err = c.method.Output.Convert(c.converted[:0], f.Bytes(), c.method.Settings.ConnectJSON); err != nil {
		return transcoder.BrokenAnswer(c.method, "the backend's answer", err)
	}
	return nil
}

// Header implements proxy.Downstream. A stream's client may wait for it.
func (c *envelopeCall) Header(md metadata.MD) {
	c.headed = true
	transcoder.SetMetadata(c.x.Header(), "", md)
	if !c.method.Shape.Unary() {
		c.beginAnswer()
		c.Flush()
	}
}

// beginAnswer writes the header of an answer that is more than a status, once.
func (c *envelopeCall) beginAnswer() {
	if c.begun {
		return
	}
	h := c.x.Header()
	if c.out.zip != nil {
		h[c.encodingHeader] = c.out.zip.Header
	}
	h["Content-Type"] = c.contentType
	c.writeHeader(http.StatusOK)
}

// Send implements proxy.Downstream.
func (c *envelopeCall) Send(f proxy.Frame) error {
	defer f.Free()
	if err := c.convert(&f); err != nil {
		return err
	}
	c.beginAnswer()
	if err := c.write(&f); err != nil {
		return err
	}
	return c.out.end()
}

// write sends a message, which was converted before.
func (c *envelopeCall) write(f *proxy.Frame) error {
	if c.json {
		message := transcoder.Text{Short: c.converted, Long: c.long}
		c.extendDeadline(message.Size())
		if c.long != nil {
			c.out.each = c.extendDeadline
		}
		return c.out.text(&message)
	}
	c.extendDeadline(f.Len())
	return c.out.frame(f)
}

// Flush implements proxy.Downstream. The answer to a client that does not
// stream leaves whole, with its end.
func (c *envelopeCall) Flush() {
	if !c.begun {
		return
	}
	_ = c.x.Flush() // the next Send notices a client that is gone
	if !c.deadline.IsZero() && c.x.Multiplexed() {
		// HTTP/2 resets a stream whose deadline passes, also one on which nothing is
		// being written.
		c.deadline = time.Time{}
		_ = c.x.SetWriteDeadline(c.deadline) // as in extendDeadline
	}
}

// An HTTP/1.1 client that is still sending when its answer is complete may
// never read it: it fails on the closed connection first. So a Recv under way
// gets a moment, and what it leaves is read and dropped, within bounds.
const (
	lastRead   = 100 * time.Millisecond
	drainTime  = 500 * time.Millisecond
	drainBytes = 256 << 10
)

// Unblock implements proxy.Downstream.
func (c *envelopeCall) Unblock() {
	if c.ended.Load() {
		return
	}
	deadline := time.Unix(1, 0)
	if c.x.HTTP1() {
		deadline = time.Now().Add(lastRead)
	}
	_ = c.x.SetReadDeadline(deadline) // unsupported only by recorders, which do not block
}

// drain is called when the answer is written.
func (c *envelopeCall) drain() {
	if !c.x.HTTP1() || !c.method.Shape.ClientStreams || c.ended.Load() {
		return
	}
	if c.x.Flush() == nil && c.x.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.x.R.Body, drainBytes) // whatever comes, it is not for us
	}
}

// writeHeader writes the header of the answer, once.
func (c *envelopeCall) writeHeader(httpStatus int) {
	c.begun = true
	if c.x.HTTP1() && c.method.Shape.ClientStreams && !c.ended.Load() {
		// In full duplex net/http would take the rest of this request for the next one.
		c.x.CloseConnection()
	}
	if c.bare && c.refused == 0 {
		h := c.x.Header()
		h["Date"] = nil
		h["Content-Length"] = nil
	}
	c.x.Announce()
	c.x.WriteHeader(httpStatus)
}

// extendDeadline gives the next write of so many bytes its time. It is moved
// rarely, as it costs more than a small message.
func (c *envelopeCall) extendDeadline(size int) {
	if !c.method.Shape.ServerStreams && size < exchange.LongAnswer {
		return
	}
	now := time.Now()
	if c.deadline.Sub(now) > exchange.WriteTimeout/2 {
		return
	}
	c.deadline = now.Add(exchange.WriteTimeout)
	_ = c.x.SetWriteDeadline(c.deadline) // where it is not supported, the server's own holds
}

// leave bounds the time in which the server sends the rest of the answer; it
// takes the deadline off for the connection's next request.
func (c *envelopeCall) leave() {
	c.drain()
	if !c.deadline.IsZero() && c.x.HTTP1() {
		_ = c.x.SetWriteDeadline(time.Now().Add(exchange.WriteTimeout)) // as above
	}
}

// answerEncoding is what the messages of an answer are compressed with: what those
// of the request are, if the client takes that, or else the first of its list that
// is known here. Nil for nothing.
func (c *envelopeCall) answerEncoding(accepted []string) *compression.Encoding {
	if c.in.zip != nil && field.HasToken(accepted, c.in.zip.Name) {
		return c.in.zip
	}
	for _, line := range accepted {
		for item := range strings.SplitSeq(line, ",") {
			if e := compression.Named(strings.ToLower(strings.TrimSpace(item))); e != nil {
				return e
			}
		}
	}
	return nil
}

// setMessageEncoding reads how the client compresses its messages. The names of
// the headers differ; the rules are the same.
func (c *envelopeCall) setMessageEncoding(encodingHeader string) error {
	switch name := field.First(c.x.R.Header, encodingHeader); name {
	case "", "identity":
		return nil
	default:
		if c.in.zip = compression.Named(name); c.in.zip != nil {
			return nil
		}
		return status.Errorf(codes.Unimplemented, "the message encoding %q is not supported; expected %s", rpcerror.Clip(name), compression.Supported)
	}
}
