package upstream

// Connections is how many connections take calls.
func Connections(c *Conn) int { return len(*c.ready.Load()) }
