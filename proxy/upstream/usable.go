package upstream

// bar is why an endpoint gets no calls although it is connected.
type bar uint8

const (
	// barUnhealthy: its checks say that it is not well (Traffic 178, 179).
	barUnhealthy bar = 1 << iota
	// barEjected: too many of its calls failed (Traffic 108).
	barEjected
	// barOperator: an operator has taken it out (Traffic 106).
	barOperator
)

// setBar raises or lifts one reason to give an endpoint no calls.
func (c *Conn) setBar(e *Endpoint, b bar, raised bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := e.bars
	if raised {
		e.bars |= b
	} else {
		e.bars &^= b
	}
	if e.bars != before {
		c.publish()
	}
}

// usable returns the endpoints that calls are spread over, of those that are
// connected: the ones without a bar, and all where none is left (Traffic 110). c.mu
// is held.
func (c *Conn) usable(connected []*Endpoint) []*Endpoint {
	var usable []*Endpoint
	for _, e := range connected {
		if e.bars == 0 {
			usable = append(usable, e)
		}
	}
	if len(usable) == 0 {
		return connected
	}
	return usable
}
