package upstream

import (
	"testing"
	"testing/synctest"
	"time"
)

// counting is a balancer that counts its pickers.
type counting struct {
	balancer
	made int
}

func (c *counting) picker(endpoints []*Endpoint) Picker {
	c.made++
	return c.balancer.picker(endpoints)
}

// TestChooseSoon: Traffic 163, 166: many endpoints that connect one after the other do not
// have a table made each time, and all of them get calls soon.
func TestChooseSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowConn(t, "hash")
		c.target.SlowStart = 0
		defer c.cancel()
		b := &counting{balancer: c.balancer}
		c.balancer = b
		const n = 500
		one := connectedEndpoint(t, 10)
		c.mu.Lock()
		for _, e := range endpointsOf(one, n) {
			e.share = fullShare
			e.links = []*link{{conn: (*one.ready.Load())[0]}}
			c.endpoints = append(c.endpoints, e)
			c.publish()
		}
		if b.made > maxRendezvous {
			t.Errorf("%d pickers were made at once", b.made)
		}
		c.mu.Unlock()
		time.Sleep(2 * choiceInterval)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if got := len(c.choice.Load().endpoints); got != n || b.made > maxRendezvous+1 {
			t.Errorf("%d endpoints of %d get calls, by %d pickers", got, n, b.made)
		}
		c.endpoints = nil
		if c.publish(); c.reached() {
			t.Error("there is no endpoint, and calls are spread over some")
		}
	})
}
