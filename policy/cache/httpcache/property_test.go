package httpcache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
)

// noStaleRead has readers and writers of a few URIs run for a number of steps: no read that
// begins after a write was answered sees what was there before.
func noStaleRead(t *testing.T, seed uint64) {
	clock := policytest.NewClock()
	p := newPart(t, func(p *part) {
		p.now = clock.Now
		p.TTL, p.WhileRevalidate, p.IfError = time.Minute, time.Minute, time.Minute
	})
	var values, answered [3]atomic.Int64
	pause := func(random *rand.Rand) { // others get their turn
		for range random.IntN(20) {
			runtime.Gosched()
		}
	}
	o := &origin{}
	o.serve = func(_ context.Context, w http.ResponseWriter, r *http.Request) error {
		random := rand.New(rand.NewPCG(seed, uint64(o.asked.Load()))) //nolint:gosec // a count
		i := int(r.URL.Path[1] - '0')
		if r.Method != http.MethodGet {
			values[i].Add(1)
			begin(w, 200)
			return nil
		}
		pause(random)
		text := strconv.FormatInt(values[i].Load(), 10)
		pause(random)
		tag := `"` + text + `"`
		if random.IntN(8) == 0 {
			begin(w, 503)
			return nil
		}
		if r.Header.Get("If-None-Match") == tag {
			begin(w, 304, "Etag", tag)
			return nil
		}
		if random.IntN(2) == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		}
		if random.IntN(3) == 0 {
			w.Header().Set("Vary", "X-V")
		}
		begin(w, 200, "Etag", tag)
		pause(random)
		_, err := w.Write([]byte(text))
		return err
	}
	var all sync.WaitGroup
	for worker := range uint64(6) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1000+worker))
			for range 150 {
				i := random.IntN(3)
				switch n := random.IntN(10); {
				case n == 0 && worker < 3: // each URI has one writer
					i = int(worker)
					newClient("PUT", fmt.Sprintf("/%d", i)).ask(context.Background(), p, o)
					answered[i].Add(1)
				case n == 1:
					clock.Advance(30 * time.Second)
				default:
					least := answered[i].Load()
					c := get(p, o, fmt.Sprintf("/%d", i), "X-V", strconv.Itoa(random.IntN(2)))
					got, err := strconv.ParseInt(c.Body.String(), 10, 64)
					if c.Code == 200 && (err != nil || got < least) {
						t.Errorf("seed %d: a read of /%d saw %q after the write of %d was answered: %s", seed, i, c.Body, least, c.request.Cache.Result)
					}
				}
			}
		})
	}
	all.Wait()
}

// TestNoStaleRead: Traffic 131: no read after an unsafe method's answer sees what was there
// before it.
func TestNoStaleRead(t *testing.T) {
	for seed := range uint64(20) {
		noStaleRead(t, seed)
	}
}

// FuzzNoStaleRead is TestNoStaleRead with any seed.
func FuzzNoStaleRead(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { noStaleRead(t, seed) })
}

// as makes a request a principal's.
func (c *client) as(who string, roles ...string) *client {
	c.request.Identity = &policy.Identity{Principal: who, Roles: roles, Mechanism: "jwt"}
	c.request.Metadata.Set("x-transom-principal", who)
	return c
}

// FuzzPrincipals: Traffic 131 and 116: whatever callers are called and whatever they and the
// server say, nobody gets what another principal was answered.
func FuzzPrincipals(f *testing.F) {
	f.Add("ada", "eve", "a", "b", "", "", "max-age=60", "x-a", `"t"`)
	f.Add("a", "ab", "b", "", "r", "x", "public, max-age=60", "accept", "")
	f.Add("a\x01b", "a", "x", "x", "", "b", "s-maxage=5, stale-while-revalidate=9", "", `W/"u"`)
	f.Add("a", "b", "x", "?", "", "b", "max-age=0", "x-a, x-b", `"u"`)
	f.Add("a", "b", "x", "y", "", "b", "max-age=0, must-revalidate, must-understand, no-store", "*", `"u"`)
	f.Fuzz(func(t *testing.T, one, two, path, other, role, header, control, vary, etag string) {
		if one == two {
			two += "'"
		}
		clock := policytest.NewClock()
		p := newPart(t, func(p *part) {
			p.now, p.Principal, p.Auth = clock.Now, true, true
			p.TTL, p.IfError, p.Vary = time.Minute, time.Minute, []string{"X-B"}
		})
		serving := func(who string, random int) *origin {
			o := &origin{}
			o.serve = func(_ context.Context, w http.ResponseWriter, r *http.Request) error {
				if r.Header.Get("If-None-Match") != "" && random == 0 {
					begin(w, 304)
					return nil
				}
				begin(w, 200, "Cache-Control", control, "Vary", vary, "Etag", etag)
				_, err := w.Write([]byte(who))
				return err
			}
			return o
		}
		random := rand.New(rand.NewPCG(uint64(len(one)), uint64(len(two))))
		var all sync.WaitGroup
		for range 40 {
			who, what, text := []string{one, two}[random.IntN(2)], []string{path, other}[random.IntN(2)], []string{"", header}[random.IntN(2)]
			c := newClient([]string{"GET", "GET", "GET", "HEAD"}[random.IntN(4)], "/").as(who, []string{role}[:random.IntN(2)]...)
			c.x.Target = "/" + what
			c.x.R.Header["X-A"], c.x.R.Header["X-B"] = []string{text}, []string{text}
			if random.IntN(10) == 0 {
				clock.Advance(40 * time.Second)
			}
			o := serving(who, random.IntN(2))
			all.Go(func() {
				c.result = p.Serve(context.Background(), &c.request, "/"+what, &c.x, o)
				if got := c.Body.String(); c.x.R.Method == http.MethodGet && got != who {
					t.Errorf("%q got %q's answer", who, got)
				}
			})
		}
		all.Wait()
	})
}

// TestNoAnswerCrossesPrincipals: Traffic 131 and 116: FuzzPrincipals with many callers.
func TestNoAnswerCrossesPrincipals(t *testing.T) {
	p := newPart(t, func(p *part) { p.Principal, p.Auth = true, true })
	random := rand.New(rand.NewPCG(1, 31))
	for range 5000 {
		who := fmt.Sprint(random.IntN(50))
		o := answering(who, "Cache-Control", "public, max-age=60")
		c := newClient("GET", fmt.Sprintf("/%d", random.IntN(20))).as(who).ask(context.Background(), p, o)
		if got := c.Body.String(); got != who {
			t.Fatalf("%q got %q's answer", who, got)
		}
	}
}

// TestWhoShares: Traffic 116: without auth, requests with a credential pass by what is kept;
// with auth, each principal has answers of their own, of each set of rights.
func TestWhoShares(t *testing.T) {
	p := newPart(t, nil)
	o := answering("hello", "Cache-Control", "max-age=60")
	for _, header := range [][]string{{"Authorization", "Bearer a"}, {"Cookie", "a=b"}} {
		for range 2 {
			get(p, o, "/a", header...).expect(t, bypass, 200, "hello")
		}
	}
	p = newPart(t, func(p *part) { p.Explicit = true })
	get(p, o, "/a", "Authorization", "Bearer a").expect(t, miss, 200, "hello")
	get(p, o, "/a", "Authorization", "Bearer a").expect(t, bypass, 200, "hello")
	shared := answering("hello", "Cache-Control", "public, max-age=60")
	get(p, shared, "/b", "Authorization", "Bearer a").expect(t, miss, 200, "hello")
	get(p, shared, "/b", "Authorization", "Bearer b").expect(t, hit, 200, "hello")
	get(p, shared, "/b").expect(t, miss, 200, "hello")

	p = newPart(t, func(p *part) { p.Principal, p.Auth = true, true })
	private := answering("hello", "Cache-Control", "private, max-age=60")
	for _, want := range []string{miss, hit} {
		for _, c := range []*client{newClient("GET", "/a").as("ada"), newClient("GET", "/a").as("eve"), newClient("GET", "/a").as("ada", "admin")} {
			c.ask(t.Context(), p, private).expect(t, want, 200, "hello")
			if vary := c.Header().Get("Vary"); vary != "" {
				t.Errorf("Vary is %q", vary)
			}
		}
	}
	newClient("GET", "/a").ask(t.Context(), p, private).expect(t, bypass, 200, "hello")
	c := newClient("GET", "/a", "Authorization", "Bearer x").as("ada")
	c.request.Unverified = true
	c.ask(t.Context(), p, private).expect(t, bypass, 200, "hello")
}

// TestObeyClient: Traffic 118: with obey_client, what requests say of caches is heeded.
func TestObeyClient(t *testing.T) {
	clock := policytest.NewClock()
	p := newPart(t, func(p *part) { p.obeyClient, p.now = true, clock.Now })
	o := answering("hello", "Cache-Control", "max-age=60, stale-while-revalidate=60")
	for _, step := range []struct {
		control, result string
		later           time.Duration
	}{
		{"", miss, 0}, {"", hit, 0}, {"no-cache", miss, 0}, {"no-store", bypass, 0}, {"max-age=10", hit, 20 * time.Second},
		{"max-age=10", miss, 20 * time.Second}, {"min-fresh=30", hit, 20 * time.Second}, {"min-fresh=50", miss, 40 * time.Second},
		{"max-age=100", hit, 50 * time.Second}, {"max-age=100", miss, 0}, {"only-if-cached", hit, 0},
	} {
		var header []string
		if step.control != "" {
			header = []string{"Cache-Control", step.control}
		}
		get(p, o, "/a", header...).expect(t, step.result, 200, "hello")
		clock.Advance(step.later)
	}
}
