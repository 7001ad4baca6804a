package upstream

import (
	"context"
	"errors"

	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/transport"
)

// Call makes a unary call on a connection that takes it. A call that was not sent
// goes to another one, any number of times, until ctx ends. t is the
// same for all attempts of a call.
func (c *Conn) Call(ctx context.Context, t *Turn, r *transport.Request) (transport.Reply, error) {
	c.heed(t, r.Method)
	for {
		conn, reserved, err := c.pick(ctx, t)
		if err != nil {
			c.line.end(&t.line, false)
			return transport.Reply{}, err
		}
		r.Reserved = reserved
		t.began = breaker.Now()
		reply, err := conn.Call(ctx, r)
		if err == nil || !c.unsent(conn, err) {
			c.line.end(&t.line, true)
			return reply, err
		}
	}
}

// Open begins a stream as Call makes a call.
func (c *Conn) Open(ctx context.Context, t *Turn, r *transport.Request) (*transport.Stream, error) {
	c.heed(t, r.Method)
	for {
		conn, reserved, err := c.pick(ctx, t)
		if err != nil {
			c.line.end(&t.line, false)
			return nil, err
		}
		r.Reserved = reserved
		t.began = breaker.Now()
		stream, err := conn.Open(ctx, r)
		if err == nil || !c.unsent(conn, err) {
			c.line.end(&t.line, true)
			return stream, err
		}
	}
}

// unsent reports whether a call was not sent, and can be on another connection.
func (c *Conn) unsent(conn *transport.Conn, err error) bool {
	if err == transport.ErrFull {
		return true // somebody was faster
	}
	if !errors.Is(err, transport.ErrUnsent) {
		return false
	}
	c.lost(conn)
	return true
}
