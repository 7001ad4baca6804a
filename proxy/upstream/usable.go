package upstream

import "slices"

// bar is why an endpoint gets no calls although it is connected.
type bar uint8

const (
	// barUnhealthy: its checks say that it is not well.
	barUnhealthy bar = 1 << iota
	// barEjected: too many of its calls failed.
	barEjected
	// barOperator: an operator has taken it out.
	barOperator
)

// usable returns the endpoints that calls are spread over, of those that are
// connected: the ones without a bar, by their weights and priorities (Traffic 165). Where
// too few of all are left, which is none as a rule, it is a panic: all are used, or none of
// a backend that fails closed (Traffic 110). c.mu is held.
func (c *Conn) usable(connected []*Endpoint) []*Endpoint {
	least := uint64(levelBarred)
	for _, e := range connected {
		least = min(least, e.level())
	}
	switch {
	case !c.tooFew(connected):
	case c.target.FailClosed:
		return nil
	default:
		return connected
	}
	return slices.DeleteFunc(connected, func(e *Endpoint) bool { return e.level() != least })
}

// tooFew reports whether too few of all endpoints are connected and have no bar, while
// there are others that are connected. c.mu is held.
func (c *Conn) tooFew(connected []*Endpoint) bool {
	well := 0
	for _, e := range connected {
		if e.bars == 0 {
			well++
		}
	}
	all := max(len(connected), len(c.endpoints))
	return well < len(connected) && (well == 0 || well*100 < int(c.target.MinHealthyPercent)*all)
}

// level is that of its share, behind all others where there is a bar. The mu of the
// Conn is held.
func (e *Endpoint) level() uint64 {
	if e.bars != 0 {
		return levelBarred
	}
	return e.share.level()
}
