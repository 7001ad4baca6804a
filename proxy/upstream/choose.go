package upstream

import (
	"slices"
	"time"
)

// choiceInterval is how often there is a new choice of many endpoints at most: some
// policies need a table of them.
const choiceInterval = 100 * time.Millisecond

// chooseSoon has calls spread over the endpoints: at once, or soon where there are many
// and others have just been chosen. c.mu is held.
func (c *Conn) chooseSoon(endpoints []*Endpoint, trials ...*Endpoint) {
	wait := choiceInterval - time.Since(c.chosen)
	if len(endpoints) <= maxRendezvous || wait <= 0 {
		c.choose(endpoints, trials...)
		return
	}
	if c.choosing == nil {
		c.choosing = time.AfterFunc(wait, c.chooseAgain)
	}
}

// choose has calls spread over the endpoints, and trial calls go to those that are
// ejected. c.mu is held.
func (c *Conn) choose(endpoints []*Endpoint, trials ...*Endpoint) {
	if c.choosing != nil {
		c.choosing.Stop()
		c.choosing = nil
	}
	c.chosen = time.Now()
	next := c.choiceOf(endpoints)
	next.trials = trials
	c.choice.Store(next)
	if c.target.Plain {
		c.line.dissolve() // one of them may have room
	}
}

// chooseAgain has calls spread over the endpoints that there are now.
func (c *Conn) chooseAgain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.choosing == nil || c.ctx.Err() != nil {
		return
	}
	connected := c.connected()
	trials := trialsOf(connected)
	usable := c.usable(connected)
	c.weigh(usable)
	c.choose(usable, trials...)
}

// connected are the endpoints that calls can be made at. c.mu is held.
func (c *Conn) connected() []*Endpoint {
	if c.starts() {
		return nil // calls wait for it
	}
	return slices.DeleteFunc(slices.Concat(c.endpoints, c.vanished), func(e *Endpoint) bool { return !e.connected() })
}
