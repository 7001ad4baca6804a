package coalesce

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// readDeadline has few of the deadlines set that its user wants for reads. net/http wants up to
// seven for each request of HTTP/1, most of which are over before a read waits, and each would
// cost the runtime's poller a lock and two looks at the clock. So a deadline is set when there
// is a read for it to bound, and one that is set and earlier stays: a read that ends by it goes
// on until the wanted one.
type readDeadline struct {
	reading atomic.Bool // a read is under way, or was a moment ago

	mu          sync.Mutex
	wanted, set time.Time // zero for none
}

// hasPassed reports whether a deadline is over. One by which net/http breaks a read off, or we do,
// is at the beginning of 1970, for which nobody needs to look at the clock.
func hasPassed(t time.Time) bool { return t.Unix() <= 1 || !time.Now().Before(t) }

// earlier reports whether a deadline ends a read before another one does.
func earlier(a, b time.Time) bool { return !a.IsZero() && (b.IsZero() || a.Before(b)) }

// want takes a deadline.
func (d *readDeadline) want(c net.Conn, t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if !d.reading.Load() || !earlier(t, d.set) {
		return nil
	}
	d.set = t
	return c.SetReadDeadline(t)
}

// read reads until the wanted deadline.
func (d *readDeadline) read(c net.Conn, p []byte) (int, error) {
	for {
		if err := d.begin(c); err != nil {
			return 0, err
		}
		n, err := c.Read(p)
		d.reading.Store(false)
		if err == nil || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !d.again(c) {
			return n, err
		}
	}
}

// begin bounds a read.
func (d *readDeadline) begin(c net.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if earlier(d.wanted, d.set) {
		if hasPassed(d.wanted) {
			return os.ErrDeadlineExceeded
		}
		d.set = d.wanted
		_ = c.SetReadDeadline(d.set) // fails only on a closed connection, as the read does then
	}
	d.reading.Store(true)
	return nil
}

// again reports whether a read goes on whose time was over, as another deadline is wanted. That
// is set then, so that this happens once, also where the time was that of a connection beneath.
func (d *readDeadline) again(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set.Equal(d.wanted) {
		return false
	}
	d.set = d.wanted
	_ = c.SetReadDeadline(d.set) // as in begin
	return true
}
