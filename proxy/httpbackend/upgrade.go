package httpbackend

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transom-gateway/transom/internal/field"
)

// websocket is the token of Upgrade that always passes.
const websocket = "websocket"

// findUpgrade finds the protocols that the client asks to change to and may. A request
// with a body keeps its protocol, as what follows the body would be in doubt.
func (e *exchange) findUpgrade() {
	if e.isTunnel() {
		e.asked, e.tunnel = []string{websocket}, true
		return
	}
	lines := e.R.Header["Upgrade"]
	if len(lines) == 0 || e.R.ProtoMajor != 1 || e.R.ProtoMinor < 1 || e.R.ContentLength != 0 || !field.HasToken(e.R.Header["Connection"], "upgrade") {
		return
	}
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.Trim(token, " \t")
			if lower := strings.ToLower(token); lower == websocket || slices.Contains(e.Upgrades, lower) {
				e.asked = append(e.asked, token)
			}
		}
	}
}

// askUpgrade asks the server to change the protocol.
func (e *exchange) askUpgrade(h http.Header) {
	h["Connection"] = upgrades
	h["Upgrade"] = []string{strings.Join(e.asked, ", ")}
	if e.tunnel {
		e.askWebSocket(h)
	}
}

var upgrades = []string{"Upgrade"}

// changed reports whether the server changed to a protocol that was asked for.
func (e *exchange) changed(response *http.Response) bool {
	for _, line := range response.Header["Upgrade"] {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.Trim(token, " \t")
			if !slices.ContainsFunc(e.asked, func(asked string) bool { return strings.EqualFold(asked, token) }) {
				return false
			}
		}
	}
	return len(response.Header["Upgrade"]) > 0 && (!e.tunnel || e.accepted(response))
}

// upgrade passes bytes on between the client and a server that has changed the protocol.
func (e *exchange) upgrade(response *http.Response) {
	server, ok := response.Body.(io.ReadWriteCloser)
	if !ok || len(e.asked) == 0 || !e.changed(response) {
		e.result.Err = errUpgrade
		return
	}
	if own, ok := server.(*switched); ok {
		own.release()
	}
	client, err := e.takeOver(response)
	if err != nil {
		e.result.Err = &Error{code: 13, http: http.StatusInternalServerError, text: "the client's connection cannot change its protocol", cause: err}
		return
	}
	e.enter(toPass)
	e.result.Upgraded = true
	p := &passage{e: e, client: client, server: server}
	p.run()
	e.result.Sent, e.result.Received = p.sent.Load(), p.received.Load()
	if late := e.late.Load(); late != nil || e.ctx.Err() != nil {
		e.result.Err = e.explain(e.ctx.Err())
	}
	e.result.Aborted = e.tunnel && p.failed.Load()
}

// takeOver answers the client as the server did, and returns its end of what follows.
func (e *exchange) takeOver(response *http.Response) (io.ReadWriteCloser, error) {
	h := e.W.Header()
	copyAnswer(h, response.Header)
	delete(h, "Content-Length")
	if e.tunnel {
		return e.takeStream(h)
	}
	h["Connection"], h["Upgrade"] = upgrades, response.Header["Upgrade"]
	if e.Answer != nil {
		e.Answer(http.StatusSwitchingProtocols, e.authority(), h)
	}
	e.W.WriteHeader(http.StatusSwitchingProtocols)
	e.result.Status = http.StatusSwitchingProtocols
	c, rw, err := http.NewResponseController(e.W).Hijack()
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Time{}) // it fails on a closed connection only, which reading will show
	// What the client sent behind its request was read with it.
	early := make([]byte, rw.Reader.Buffered())
	n, _ := rw.Read(early) // it has as much
	return &hijacked{Conn: c, early: early[:n]}, nil
}

// hijacked is the connection of a client, once the server in front has let it go.
type hijacked struct {
	net.Conn
	early []byte
}

// Read implements io.Reader.
func (h *hijacked) Read(p []byte) (int, error) {
	if len(h.early) > 0 {
		n := copy(p, h.early)
		h.early = h.early[n:]
		return n, nil
	}
	return h.Conn.Read(p)
}

// CloseWrite ends our half of the connection.
func (h *hijacked) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return h.Close()
}

// passage passes bytes both ways until both ends have ended their half, or one of them
// fails.
type passage struct {
	e              *exchange
	client, server io.ReadWriteCloser
	sent, received atomic.Int64
	// over: the server has ended its half, and the client has no half of its own.
	over    atomic.Bool
	failed  atomic.Bool
	closing sync.Once
}

// run returns when nothing passes any more.
func (p *passage) run() {
	failed := make(chan struct{})
	stop := context.AfterFunc(p.e.ctx, func() {
		defer close(failed)
		p.fail()
	})
	defer func() {
		if !stop() {
			<-failed // it uses the client's stream, which is another's when Forward has returned
		}
	}()
	defer p.close()
	var up sync.WaitGroup
	up.Go(func() { p.pass(p.server, p.client, &p.sent) })
	p.pass(p.client, p.server, &p.received)
	up.Wait()
}

// pass passes bytes one way.
func (p *passage) pass(to io.Writer, from io.Reader, count *atomic.Int64) {
	buffer, ok := buffers.Get().(*[bufferSize]byte)
	if !ok {
		return // the pool holds nothing else
	}
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			p.e.move()
			if _, err := to.Write(buffer[:n]); err != nil {
				p.fail()
				return
			}
			p.e.move()
			count.Add(int64(n))
		}
		switch {
		case err == io.EOF:
			p.endHalf(to)
			return
		case err != nil:
			p.fail()
			return
		}
	}
}

// endHalf tells one end that the other has nothing more to say. The rest has less time.
func (p *passage) endHalf(of io.Writer) {
	p.e.enter(toAnswer)
	if _, whole := of.(*stream); whole {
		p.over.Store(true)
	}
	half, ok := of.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		p.fail()
	}
}

// fail ends both ends at once.
func (p *passage) fail() {
	if s, ok := p.client.(*stream); ok && !p.over.Load() {
		p.failed.Store(true)
		s.reset()
	}
	p.close()
}

// close closes both ends: whoever reads or writes hears of it.
func (p *passage) close() {
	p.closing.Do(func() {
		_ = p.client.Close() // they are of no use any more, whatever closing says
		_ = p.server.Close()
	})
}
