package upstream

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// slowConn is a Conn whose endpoints the test connects.
func slowConn(t *testing.T, policy string) *Conn {
	t.Helper()
	c := &Conn{target: Target{SlowStart: 30 * time.Second, LoadBalancing: policy}, changed: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(t.Context())
	c.choice.Store(new(choice))
	c.balancer = balancers[policy](c)
	return c
}

// join adds an endpoint that is connected.
func (c *Conn) join(t *testing.T) *Endpoint {
	t.Helper()
	e := connectedEndpoint(t, 10)
	e.share = fullShare
	e.links = []*link{{conn: (*e.ready.Load())[0]}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints = append(c.endpoints, e)
	c.publish()
	return e
}

// TestSlowStart: Traffic 168: an endpoint begins with a tenth of its share and has all of
// it after slow_start, whoever else joins; endpoints that are all new share evenly.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowConn(t, "round_robin")
		defer c.cancel()
		shares := func(moment string, want ...float64) {
			t.Helper()
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			first := float64(c.endpoints[0].weight.Load())
			for i, e := range c.endpoints {
				if got := float64(e.weight.Load()) / first; math.Abs(got-want[i]) > 0.02 {
					t.Errorf("%s: the endpoint of index %d has %.3f of the first one's calls, want %.3f", moment, i, got, want[i])
				}
			}
		}
		c.join(t)
		c.join(t)
		shares("all are new", 1, 1)
		time.Sleep(15 * time.Second)
		c.join(t)
		shares("one is newer", 1, 1, 0.1/0.55)
		time.Sleep(5 * time.Second)
		c.join(t)
		shares("one more", 1, 1, 0.25/0.7, 0.1/0.7)
		time.Sleep(10 * time.Second)
		shares("the first are old", 1, 1, 0.55, 0.4)
		time.Sleep(15 * time.Second)
		shares("the third is, too", 1, 1, 1, 0.85)
		time.Sleep(5 * time.Second)
		time.Sleep(time.Second)
		shares("all are old", 1, 1, 1, 1)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.growing != nil {
			t.Error("the endpoints are weighed again though none is young")
		}
	})
}

// TestSlowStartAgain: Traffic 168: an endpoint that could not be used begins anew; one that
// is connected again at the first attempt does not.
func TestSlowStartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := slowConn(t, "")
		defer c.cancel()
		c.join(t)
		e := c.join(t)
		time.Sleep(time.Minute)
		for _, test := range []struct {
			name       string
			gone, back func()
			want       uint32
		}{
			{"connected again", func() { e.links[0].conn = nil }, func() {}, fullRamp},
			{"failed to connect", func() { e.links[0].conn, e.links[0].failure = nil, errors.New("refused") }, func() { e.links[0].failure = nil }, fullRamp / 10},
			{"had a bar", func() { e.bars = barUnhealthy }, func() { e.bars = 0 }, fullRamp / 10},
		} {
			c.mu.Lock()
			conn := e.links[0].conn
			test.gone()
			c.publish()
			test.back()
			e.links[0].conn = conn
			c.publish()
			if got := e.ramp.Load(); got != test.want {
				t.Errorf("%s: the endpoint has %d of %d", test.name, got, fullRamp)
			}
			c.mu.Unlock()
			time.Sleep(time.Minute)
		}
	})
}

// TestSlowStartShares: Traffic 168: each policy gives a young endpoint less.
func TestSlowStartShares(t *testing.T) {
	for _, policy := range []string{"least_request", "round_robin", "random", "hash"} {
		synctest.Test(t, func(t *testing.T) {
			c := slowConn(t, policy)
			defer c.cancel()
			old := c.join(t)
			time.Sleep(time.Minute)
			young := c.join(t)
			for i, e := range []*Endpoint{old, young} {
				e.id = mix(uint64(i + 1))
			}
			c.mu.Lock()
			c.choose(c.endpoints)
			c.mu.Unlock()
			got := map[*Endpoint]int{}
			for i := range 2000 {
				e := c.choice.Load().pick(Place{Key: CallKeyOf([]byte{byte(i), byte(i >> 8)})}, nil)
				got[e]++
			}
			if share := float64(got[young]) / 2000; share > 0.15 {
				t.Errorf("%s: a young endpoint has %.3f of the calls", policy, share)
			}
		})
	}
}
