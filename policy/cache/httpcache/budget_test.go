package httpcache

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

// newSmallPart is newPart with a memory of n bytes.
func newSmallPart(t *testing.T, n int64) *part {
	return newPart(t, func(p *part) {
		p.flights = newFlights(memory.New(n))
		p.group.flights = p.flights
	})
}

// outside is what takes memory and is not kept.
func (p *part) outside() int64 { return p.flights.memory.Usage().Outside }

// stuckClient is one that reads nothing until its channel is closed.
func stuckClient(path string) *client {
	c := newClient("GET", path)
	c.stuck = make(chan struct{})
	return c
}

// TestFlightsShareOneBudget: Traffic 120: what answers take that are on their way is bounded;
// one for which there is no room goes to the one who asked first as it comes, and the others
// ask for themselves. Once there is room, its like is kept.
func TestFlightsShareOneBudget(t *testing.T) {
	text := strings.Repeat("x", 700<<10)
	for name, length := range map[string][]string{"known length": {"Content-Length", strconv.Itoa(len(text))}, "unknown length": nil} {
		t.Run("Traffic 120: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newSmallPart(t, 4<<20) // so that 1 MiB may be on its way
				slow, steps := gated()
				all, done := askers(t.Context(), p, slow, 1)
				steps <- head(200, append([]string{"Cache-Control", "max-age=60"}, length...)...)
				steps <- body(text[:600<<10])
				synctest.Wait()

				other := answering(text, append([]string{"Cache-Control", "max-age=60"}, length...)...)
				get(p, other, "/other").expect(t, miss, 200, text)
				get(p, other, "/other").expect(t, miss, 200, text)
				small := answering("small", "Cache-Control", "max-age=60")
				get(p, small, "/small").expect(t, miss, 200, "small")
				get(p, small, "/small").expect(t, hit, 200, "small")

				steps <- body(text[600<<10:])
				steps <- nil
				done.Wait()
				all[0].expect(t, miss, 200, text)
				if n := p.outside(); n != 0 {
					t.Errorf("%d bytes are taken by what is over", n)
				}
				get(p, other, "/other").expect(t, miss, 200, text)
				get(p, other, "/other").expect(t, hit, 200, text)
			})
		})
	}
}

// TestNoRoomForMany: Traffic 120: where there is no room for an answer, those who wait for it
// are not held up by the one who asked first.
func TestNoRoomForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSmallPart(t, 4<<20)
		if !p.flights.memory.Reserve(memory.MaxEntry) {
			t.Fatal("the budget is smaller than one answer")
		}
		text := strings.Repeat("x", 100<<10)
		gate, o := make(chan struct{}), &origin{}
		o.serve = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			<-gate
			begin(w, 200, "Cache-Control", "max-age=60")
			_, err := w.Write([]byte(text))
			return err
		}
		first := stuckClient("/a")
		var led sync.WaitGroup
		led.Go(func() { first.ask(t.Context(), p, o) })
		synctest.Wait()
		all, done := askers(t.Context(), p, o, 3)
		close(gate)
		done.Wait()
		for _, c := range all {
			c.expect(t, bypass, 200, text)
		}
		close(first.stuck)
		led.Wait()
		first.expect(t, miss, 200, text)
		if said := first.Header().Get("Cache-Control"); said != "max-age=60" {
			t.Errorf("the header is %v", first.Header())
		}
		p.flights.memory.Release(memory.MaxEntry)
		if n := p.outside(); n != 0 {
			t.Errorf("%d bytes are taken by what is over", n)
		}
	})
}

// TestSlowReaders: Traffic 120: an answer that was dropped while clients read it counts until
// the last of them has gone, be it one that they wait for or one that was kept: what is kept
// and what is read are never more than cache.max_bytes together.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 4 << 20
		p := newSmallPart(t, most)
		text := strings.Repeat("x", 900<<10)
		o := answering(text, "Cache-Control", "max-age=60", "Content-Length", strconv.Itoa(len(text)))
		expect := func(what string) {
			t.Helper()
			if u := p.flights.memory.Usage(); u.Bytes+u.Outside > most {
				t.Errorf("%s: %d bytes are kept, and %d read", what, u.Bytes, u.Outside)
			}
		}
		var slow []*client
		var reading sync.WaitGroup
		for i := range 20 {
			path := "/" + strconv.Itoa(i)
			for range 2 { // the one who asks first, and one who has it of the memory
				c := stuckClient(path)
				slow = append(slow, c)
				reading.Go(func() { c.ask(t.Context(), p, o) })
				synctest.Wait()
				expect(path)
			}
		}
		if n := p.outside(); n < most/2 {
			t.Errorf("%d bytes are read of what was dropped", n)
		}
		get(p, o, "/fast").expect(t, miss, 200, text)
		p.flights.purge(memory.Purge{})
		expect("purged")
		for _, c := range slow {
			close(c.stuck)
		}
		reading.Wait()
		for _, c := range slow {
			if c.Code != 200 || c.Body.String() != text {
				t.Errorf("a slow client has %d and %d bytes", c.Code, c.Body.Len())
			}
		}
		if n := p.outside(); n != 0 {
			t.Errorf("%d bytes are taken by what is over", n)
		}
		get(p, o, "/fast").expect(t, miss, 200, text)
		get(p, o, "/fast").expect(t, hit, 200, text)
	})
}

// TestBudgetOfAllEnds: Traffic 120: however a request to the server ends, nothing stays of what
// was reserved for it.
func TestBudgetOfAllEnds(t *testing.T) {
	text := strings.Repeat("x", 20<<10)
	for name, test := range map[string]struct {
		header []string
		end    func(w http.ResponseWriter) error
	}{
		"whole":    {nil, func(http.ResponseWriter) error { return nil }},
		"broken":   {nil, func(http.ResponseWriter) error { return http.ErrAbortHandler }},
		"trailer":  {nil, func(w http.ResponseWriter) error { w.Header().Set(http.TrailerPrefix+"X", "y"); return nil }},
		"tooLarge": {nil, body(strings.Repeat("x", memory.MaxEntry))},
		"outdated": {nil, nil},
	} {
		t.Run("Traffic 120: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPart(t, nil)
				o := &origin{serve: func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
					begin(w, 200, append([]string{"Cache-Control", "max-age=60, stale-while-revalidate=60"}, test.header...)...)
					if _, err := w.Write([]byte(text)); err != nil {
						return err
					}
					if test.end == nil {
						p.flights.purge(memory.Purge{})
						return nil
					}
					return test.end(w)
				}}
				get(p, o, "/a")
				time.Sleep(61 * time.Second)
				get(p, o, "/a") // which has it asked for again by nobody
				synctest.Wait()
				if n := p.outside(); n != 0 {
					t.Errorf("%d bytes are taken by what is over", n)
				}
			})
		})
	}
}

// TestNamesOfVaryAreBounded: Traffic 131 and 117: an origin whose answers vary by ever other
// names takes no more memory for them than for so many.
func TestNamesOfVaryAreBounded(t *testing.T) {
	p, n := newPart(t, nil), 0
	o := &origin{serve: func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
		n++
		begin(w, 200, "Cache-Control", "max-age=60", "Vary", "X-"+strconv.Itoa(n))
		return nil
	}}
	for i := range 3 * sharing.MaxVary {
		get(p, o, "/a", "X-"+strconv.Itoa(i+1), "1")
		key := newRequest(p, newClient("GET", "/a")).appendKey(nil)
		if a := p.flights.peek(string(key)); a == nil || !a.marker || len(a.Vary) > sharing.MaxVary {
			t.Fatalf("after %d answers: %+v", i+1, a)
		}
	}
	if c := get(p, o, "/a", "X-"+strconv.Itoa(n), "1"); c.request.Cache.Result != hit {
		t.Errorf("the newest is a %s", c.request.Cache.Result)
	}
}
