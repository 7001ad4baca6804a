package transport

import (
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// keepAlive pings a silent connection that has calls (the server counts pings
// on one without as abuse).
func (c *Conn) keepAlive() {
	const patience = 10 * time.Second
	timer := time.NewTimer(c.options.Keepalive)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-timer.C:
		}
		pinged, dead := c.ping()
		if dead {
			c.fail(status.Error(codes.Unavailable, "the backend does not answer"))
			return
		}
		if pinged {
			timer.Reset(patience)
		} else {
			timer.Reset(c.options.Keepalive)
		}
	}
}

// ping pings a silent connection that has calls. It is dead where the last ping was not
// answered.
func (c *Conn) ping() (pinged, dead bool) {
	turn := notOurs
	c.mu.Lock()
	switch {
	case c.heard.Swap(false):
		c.pinged = false
	case c.pinged:
		dead = true
	case len(c.table.streams) > 0 && c.err == nil:
		c.pinged, pinged = true, true
		c.writer.frame(http2.FramePing, 0, 0, 8)
		c.writer.append([]byte("transom.")...)
		turn = c.claim()
	}
	c.mu.Unlock()
	c.flush(turn)
	return pinged, dead
}
