package upstream

import "time"

// Connections is how many connections take calls.
func Connections(c *Conn) (n int) {
	for _, e := range c.choice.Load().endpoints {
		n += len(*e.ready.Load())
	}
	return n
}

// Narrow looks for connections that are not needed, as of a time to come.
func Narrow(c *Conn, after time.Duration) { c.narrow(time.Now().Add(after)) }
