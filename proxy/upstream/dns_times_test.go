package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// told is a resolver.ClientConn that hears the times of its resolver's answers.
type told struct {
	began  time.Time
	states []time.Duration
	errors []time.Duration
}

var _ resolver.ClientConn = (*told)(nil)

func (c *told) UpdateState(resolver.State) error {
	c.states = append(c.states, time.Since(c.began))
	return nil
}
func (c *told) ReportError(error)                                  { c.errors = append(c.errors, time.Since(c.began)) }
func (*told) NewAddress([]resolver.Address)                        {}
func (*told) ParseServiceConfig(string) *serviceconfig.ParseResult { return nil }

// TestResolveTimes: Traffic 172 and 173 by the clock.
func TestResolveTimes(t *testing.T) {
	run := func(t *testing.T, lookup func() error, test func(d *dnsResolver, c *told)) {
		synctest.Test(t, func(t *testing.T) {
			c := &told{began: time.Now()}
			d := &dnsResolver{conn: c, ask: func(context.Context) (resolver.State, error) {
				return stateOf([]string{"192.0.2.1"}, "1"), lookup()
			}}
			d.start()
			defer d.Close()
			synctest.Wait()
			test(d, c)
		})
	}
	sound := func() error { return nil }
	t.Run("each 30 s, by and large", func(t *testing.T) {
		run(t, sound, func(_ *dnsResolver, c *told) {
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			differ := false
			for i := range len(c.states) - 1 {
				pause := c.states[i+1] - c.states[i]
				if pause < 24*time.Second || pause > 36*time.Second {
					t.Errorf("asked again after %s", pause)
				}
				differ = differ || pause != c.states[1]-c.states[0]
			}
			if n := len(c.states); n < 33 || n > 51 || !differ {
				t.Errorf("asked %d times in 20 minutes, at different intervals: %t", n, differ)
			}
		})
	})
	t.Run("at once when asked to, but once a second", func(t *testing.T) {
		run(t, sound, func(d *dnsResolver, c *told) {
			time.Sleep(10 * time.Second)
			for range 100 {
				d.ResolveNow(resolver.ResolveNowOptions{})
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			if want := []time.Duration{0, 10 * time.Second, 11 * time.Second, 12 * time.Second}; !slices.Equal(c.states[:min(len(c.states), 4)], want[:min(len(c.states), 4)]) || len(c.states) < 3 {
				t.Errorf("asked at %v, want %v", c.states, want)
			}
		})
	})
	t.Run("after failures from 1 s up to 30 s", func(t *testing.T) {
		run(t, func() error { return errors.New("no") }, func(_ *dnsResolver, c *told) {
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
				want *= time.Second
				if pause := c.errors[i+1] - c.errors[i]; pause < want*8/10 || pause > want*12/10 {
					t.Errorf("failure %d: asked again after %s, want %s", i+1, pause, want)
				}
			}
		})
	})
}

// TestSplitTarget takes targets as grpc-go does.
func TestSplitTarget(t *testing.T) {
	for _, test := range []struct{ target, host, port, failure string }{
		{"a:1", "a", "1", ""},
		{"a", "a", "443", ""},
		{":1", "localhost", "1", ""},
		{"[::1]:2", "::1", "2", ""},
		{"::1", "::1", "443", ""},
		{"[::1]", "::1", "443", ""},
		{"192.0.2.1", "192.0.2.1", "443", ""},
		{"", "", "", "missing address"},
		{"a:", "", "", "ends with a colon"},
		{"a:b:c", "", "", "no host:port"},
	} {
		host, port, err := splitTarget(test.target, defaultPort)
		if host != test.host || port != test.port || (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
			t.Errorf("%q: %q, %q, %v", test.target, host, port, err)
		}
	}
}

// TestNewPodByDNS: Traffic 172: an address that a name gets is known within 36 s, and within
// 35 s as a rule: it is asked for each 30 s, a fifth more or less. Nothing else has a clock
// in it: the address is used once it is connected.
func TestNewPodByDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pods := []string{"192.0.2.1"}
		var mu sync.Mutex
		known := make(chan int, 10_000)
		c := &hearing{known: known}
		d := &dnsResolver{conn: c, ask: func(context.Context) (resolver.State, error) {
			mu.Lock()
			defer mu.Unlock()
			return stateOf(pods, "1"), nil
		}}
		d.start()
		defer d.Close()
		<-known
		late := 0
		const all = 500
		for n := range all {
			time.Sleep(rand.N(time.Minute))
			mu.Lock()
			pods = append(pods[:1:1], fmt.Sprintf("192.0.2.%d", n%200+2))
			mu.Unlock()
			for len(known) > 0 {
				<-known // of before
			}
			since := time.Now()
			<-known
			switch took := time.Since(since); {
			case took > 36*time.Second:
				t.Errorf("known after %s", took)
			case took > 35*time.Second:
				late++
			}
		}
		if late > all/50 {
			t.Errorf("%d of %d are known after 35 to 36 s", late, all)
		}
	})
}

// hearing is a resolver.ClientConn that hears of each answer of its resolver.
type hearing struct {
	told
	known chan int
}

// UpdateState implements resolver.ClientConn.
func (c *hearing) UpdateState(s resolver.State) error {
	c.known <- len(s.Endpoints) + len(s.Addresses)
	return nil
}
