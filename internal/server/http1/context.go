package http1

import (
	"context"
	"sync/atomic"
)

// requestContext is the context of a request. It ends with the answer, and before where the client leaves, for
// which is watched from the first Done on: who asks for no Done waits for nothing.
type requestContext struct {
	context.Context // of the connection
	conn            *conn
	inner           atomic.Pointer[cancelable] // nil until there is a Done
	ended           atomic.Bool
}

var _ context.Context = (*requestContext)(nil)

type cancelable struct {
	context.Context
	cancel context.CancelFunc
}

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	if inner := c.inner.Load(); inner != nil {
		return inner.Done()
	}
	inner := new(cancelable)
	inner.Context, inner.cancel = context.WithCancel(c.Context)
	if !c.inner.CompareAndSwap(nil, inner) {
		inner.cancel()
		return c.inner.Load().Done()
	}
	if c.ended.Load() {
		inner.cancel()
	} else {
		c.conn.watch(c)
	}
	return inner.Done()
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	if inner := c.inner.Load(); inner != nil {
		return inner.Err()
	}
	if c.ended.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// Value implements context.Context. The inner context tells the contexts made of this one that it is one of
// package context's, so that they need no goroutines.
func (c *requestContext) Value(key any) any {
	if inner := c.inner.Load(); inner != nil {
		return inner.Value(key)
	}
	return c.Context.Value(key)
}

// end ends the context.
func (c *requestContext) end() {
	c.ended.Store(true)
	if inner := c.inner.Load(); inner != nil {
		inner.cancel()
	}
}
