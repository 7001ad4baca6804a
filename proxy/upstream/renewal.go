package upstream

import (
	"math/rand/v2"
	"time"

	"github.com/transom-gateway/transom/proxy/transport"
)

// keep returns when the link's connection takes no calls any more, and the last one that
// it was: one that comes of age is replaced meanwhile. It reports false where the link
// has ended.
func (l *link) keep(conn *transport.Conn) (*transport.Conn, bool) {
	for {
		if !l.comesOfAge(conn) {
			return conn, l.ctx.Err() == nil
		}
		next := l.renew(conn)
		if next == nil {
			return conn, l.ctx.Err() == nil
		}
		conn = next
	}
}

// comesOfAge waits until the connection does, and reports false where it takes no calls
// before, or the link has ended.
func (l *link) comesOfAge(conn *transport.Conn) bool {
	var aged <-chan time.Time
	if age := l.owner.target.MaxConnectionAge; age > 0 {
		timer := time.NewTimer(byATenth(age))
		defer timer.Stop()
		aged = timer.C
	}
	select {
	case <-conn.Leaving():
	case <-l.ctx.Done():
	case <-aged:
		return true
	}
	return false
}

// renew connects anew and then leaves the connection before, whose calls may finish
// (Traffic 170). It returns nil where that one has ended first.
func (l *link) renew(before *transport.Conn) *transport.Conn {
	for {
		next, address, err := l.dial()
		if err == nil {
			if !l.use(next, address) {
				return nil
			}
			before.Leave()
			return next
		}
		timer := time.NewTimer(scattered(maxPause))
		select {
		case <-before.Leaving():
		case <-l.ctx.Done():
		case <-timer.C:
			continue
		}
		timer.Stop()
		return nil
	}
}

// byATenth is the time, longer or shorter by up to a tenth.
func byATenth(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // no secret
}
