package upstream

// Connections is how many connections take calls.
func Connections(c *Conn) (n int) {
	for _, e := range c.choice.Load().endpoints {
		n += len(*e.ready.Load())
	}
	return n
}
