package proxy

import "context"

// StateChanged waits until the state of the connection changes, however shortly,
// and tells whether it did before ctx ended. Of several connections the first
// speaks for all.
func (c *Conn) StateChanged(ctx context.Context) bool {
	return c.conns[0].WaitForStateChange(ctx, c.conns[0].GetState())
}
