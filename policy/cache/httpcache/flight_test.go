package httpcache

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy/cache/internal/memory"
)

// gated is an origin that goes on when it is told to.
func gated() (o *origin, steps chan func(w http.ResponseWriter) error) {
	steps = make(chan func(http.ResponseWriter) error)
	o = &origin{serve: func(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
		for {
			select {
			case step := <-steps:
				if step == nil {
					return nil
				}
				if err := step(w); err != nil {
					return err
				}
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			}
		}
	}}
	return o, steps
}

func head(code int, header ...string) func(http.ResponseWriter) error {
	return func(w http.ResponseWriter) error {
		begin(w, code, header...)
		return nil
	}
}

func body(text string) func(http.ResponseWriter) error {
	return func(w http.ResponseWriter) error {
		_, err := w.Write([]byte(text))
		return err
	}
}

// askers begins requests side by side, one after the other, and returns them with what waits
// for them.
func askers(ctx context.Context, p *part, o *origin, n int) ([]*client, *sync.WaitGroup) {
	all, done := make([]*client, n), &sync.WaitGroup{}
	for i := range all {
		all[i] = newClient("GET", "/a")
		done.Go(func() { all[i].ask(ctx, p, o) })
		synctest.Wait()
	}
	return all, done
}

// TestOneRequestForMany: Traffic 131 and 124: requests that are equal and miss at the same
// time are one to the server; what follows is a hit.
func TestOneRequestForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, steps := gated()
		all, done := askers(t.Context(), p, o, 1000)
		steps <- head(200, "Cache-Control", "max-age=60")
		steps <- body("hello")
		steps <- nil
		done.Wait()
		all[0].expect(t, miss, 200, "hello")
		for _, c := range all[1:] {
			c.expect(t, collapsed, 200, "hello")
		}
		time.Sleep(59 * time.Second)
		c := get(p, o, "/a")
		c.expect(t, hit, 200, "hello")
		if age := c.Header().Get("Age"); age != "59" || o.asked.Load() != 1 {
			t.Errorf("Age is %q, and the server was asked %d times", age, o.asked.Load())
		}
	})
}

// TestOneRequestForLateAskers: Traffic 131 and 124: one who found nothing, and asks when the
// request to the server has just ended, makes no other one.
func TestOneRequestForLateAskers(t *testing.T) {
	const paths = 300
	for name, header := range map[string][]string{"kept": {"Cache-Control", "max-age=60"}, "varies": {"Cache-Control", "max-age=60", "Vary", "X"}} {
		t.Run(name, func(t *testing.T) {
			o := &origin{serve: func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
				begin(w, 200, header...)
				return nil
			}}
			p := newPart(t, nil)
			for i := range paths {
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() { get(p, o, "/"+strconv.Itoa(i)) })
				}
				all.Wait()
			}
			if n := o.asked.Load(); n != paths {
				t.Errorf("%d requests for %d paths", n, paths)
			}
		})
	}
}

// TestNobodyWaitsForAnothersClient: Traffic 131: what is asked for goes into memory at the
// server's pace; one whose client does not read keeps nobody else.
func TestNobodyWaitsForAnothersClient(t *testing.T) {
	for name, length := range map[string][]string{"known length": {"Content-Length", "5"}, "unknown length": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPart(t, nil)
				o, steps := gated()
				slow := newClient("GET", "/a")
				slow.stuck = make(chan struct{})
				var done sync.WaitGroup
				done.Go(func() { slow.ask(t.Context(), p, o) })
				synctest.Wait()
				all, others := askers(t.Context(), p, o, 3)
				steps <- head(200, append([]string{"Cache-Control", "max-age=60"}, length...)...)
				steps <- body("hel")
				synctest.Wait()
				if got := all[0].Body.String(); length != nil && got != "hel" || length == nil && got != "" {
					t.Errorf("one who waits has %q", got)
				}
				steps <- body("lo")
				steps <- nil
				others.Wait()
				for _, c := range all {
					c.expect(t, collapsed, 200, "hello")
				}
				close(slow.stuck)
				done.Wait()
				slow.expect(t, miss, 200, "hello")
			})
		})
	}
}

// TestWhatIsMadeWhileItIsRead: who waits for a body without a known length and end asks on
// their own after a time.
func TestWhatIsMadeWhileItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, steps := gated()
		all, done := askers(t.Context(), p, o, 2)
		steps <- head(200, "Cache-Control", "max-age=60")
		steps <- body("hel")
		time.Sleep(patience + time.Second)
		synctest.Wait()
		if n := o.asked.Load(); n != 2 {
			t.Fatalf("the server was asked %d times, want twice", n)
		}
		for range 2 {
			steps <- nil
		}
		done.Wait()
		if all[1].request.Cache.Result != bypass || all[0].Body.String() != "hel" {
			t.Errorf("%s, and %q", all[1].request.Cache.Result, all[0].Body)
		}
	})
}

// TestTooLarge: Traffic 131 and 120: an answer above 1 MiB passes whole, and is not kept, be
// its length known or not; others ask on their own.
func TestTooLarge(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", memory.MaxEntry/16) + "x"
	for name, length := range map[string][]string{"known length": {"Content-Length", strconv.Itoa(len(large))}, "unknown length": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPart(t, nil)
				gate, o := make(chan struct{}), &origin{}
				o.serve = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
					if o.asked.Load() == 2 {
						return head(200)(w)
					}
					<-gate
					begin(w, 200, append([]string{"Cache-Control", "max-age=60"}, length...)...)
					_ = body(large[:1000])(w)
					<-gate
					return body(large[1000:])(w)
				}
				all, done := askers(t.Context(), p, o, 2)
				gate <- struct{}{}
				synctest.Wait()
				if got := all[0].Body.Len(); got != 1000 && length != nil {
					t.Errorf("the one who asked first has %d bytes", got)
				}
				gate <- struct{}{}
				done.Wait()
				if got := all[0].Body.String(); got != large || all[0].request.Cache.Result != miss {
					t.Errorf("%s, %d bytes", all[0].request.Cache.Result, len(got))
				}
				if all[1].request.Cache.Result != bypass {
					t.Errorf("the other one: %s", all[1].request.Cache.Result)
				}
				if a := p.flights.peek(string(newRequest(p, all[0]).appendKey(nil))); a == nil || !a.pass {
					t.Errorf("kept is %+v, want that it is not", a)
				}
			})
		})
	}
}

func newRequest(p *part, c *client) *request {
	return &request{part: p, r: &c.request, path: c.x.R.URL.RequestURI(), x: &c.x}
}

// TestWhoGoes: Traffic 124: a flight goes on while anybody waits, and ends with the last one.
func TestWhoGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, steps := gated()
		first, cancel := context.WithCancel(t.Context())
		leads, led := askers(first, p, o, 1)
		all, done := askers(t.Context(), p, o, 1)
		cancel()
		led.Wait()
		if code := status.Code(leads[0].result.Err); code != codes.Canceled || leads[0].result.Status != 0 {
			t.Errorf("%v", leads[0].result)
		}
		steps <- head(200, "Cache-Control", "max-age=60")
		steps <- body("hello")
		steps <- nil
		done.Wait()
		all[0].expect(t, collapsed, 200, "hello")

		last, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := newClient("GET", "/b").ask(last, p, o)
		if code := status.Code(c.result.Err); code != codes.DeadlineExceeded {
			t.Errorf("%v", c.result)
		}
		synctest.Wait()
		if p.flights.under["/b"] != nil || len(p.flights.all) != 0 {
			t.Errorf("%d flights are under way", len(p.flights.all))
		}
	})
}

// TestFailures: Traffic 124: after a server that did not answer, one of those who wait asks
// next; after an answer that breaks off, too, as far as they have nothing of it yet.
func TestFailures(t *testing.T) {
	refused := status.Error(codes.Unavailable, "refused")
	fail := func(http.ResponseWriter) error { return refused }
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPart(t, nil)
			o, steps := gated()
			all, done := askers(t.Context(), p, o, 5)
			steps <- fail
			synctest.Wait()
			if n := o.asked.Load(); n != 2 || !errors.Is(all[0].result.Err, refused) {
				t.Fatalf("the server was asked %d times, and %v", n, all[0].result.Err)
			}
			steps <- head(200, "Cache-Control", "max-age=60")
			steps <- body("hello")
			steps <- nil
			done.Wait()
			if n := o.asked.Load(); n != 2 {
				t.Errorf("the server was asked %d times, want twice", n)
			}
			for _, c := range all[1:] {
				if c.Body.String() != "hello" {
					t.Errorf("%+v: %q", c.result, c.Body)
				}
			}
		})
	})
	t.Run("broken off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newPart(t, nil)
			o, steps := gated()
			all, done := askers(t.Context(), p, o, 2)
			steps <- head(200, "Cache-Control", "max-age=60")
			steps <- body("hel")
			steps <- fail
			synctest.Wait()
			if !all[0].result.Aborted || all[0].result.Err == nil {
				t.Errorf("%+v", all[0].result)
			}
			steps <- head(200, "Cache-Control", "max-age=60", "Content-Length", "5")
			steps <- body("hello")
			steps <- nil
			done.Wait()
			all[1].expect(t, miss, 200, "hello")
		})
	})
}

// TestNotKept: Traffic 125: what turns out not to be kept lets those who wait go on their own,
// and for 10 seconds nobody waits for it.
func TestNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, steps := gated()
		all, done := askers(t.Context(), p, o, 3)
		steps <- head(200, "Cache-Control", "private")
		synctest.Wait()
		if n := o.asked.Load(); n != 3 {
			t.Fatalf("the server was asked %d times, want thrice", n)
		}
		for range 3 {
			steps <- nil
		}
		done.Wait()
		if all[0].request.Cache.Result != miss || all[1].request.Cache.Result != bypass {
			t.Errorf("%s, %s", all[0].request.Cache.Result, all[1].request.Cache.Result)
		}
		time.Sleep(9 * time.Second)
		_, done = askers(t.Context(), p, o, 2)
		if n := o.asked.Load(); n != 5 {
			t.Errorf("the server was asked %d times, want 5", n)
		}
		steps <- nil
		steps <- nil
		done.Wait()
		time.Sleep(time.Second)
		_, done = askers(t.Context(), p, o, 2)
		if n := o.asked.Load(); n != 6 {
			t.Errorf("after that, the server was asked %d times, want 6", n)
		}
		steps <- head(200, "Cache-Control", "max-age=60")
		steps <- nil
		done.Wait()
	})
}

// TestWrites: Traffic 131: what was asked for before a write was answered is not kept after
// it, nor does anybody join it.
func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, steps := gated()
		all, done := askers(t.Context(), p, o, 1)
		newClient("POST", "/a").ask(t.Context(), p, answering("done"))
		late, lateDone := askers(t.Context(), p, o, 1)
		if n := o.asked.Load(); n != 2 {
			t.Errorf("the server was asked %d times, want twice", n)
		}
		steps <- head(200, "Cache-Control", "max-age=60")
		steps <- head(200, "Cache-Control", "max-age=60")
		steps <- nil
		steps <- nil
		done.Wait()
		lateDone.Wait()
		if all[0].result.Status != 200 || late[0].result.Status != 200 || p.flights.memory.Len() != 1 {
			t.Errorf("%+v, %+v, %d kept", all[0].result, late[0].result, p.flights.memory.Len())
		}
		// One of which nobody knows what became may have been done.
		o.serve = func(context.Context, http.ResponseWriter, *http.Request) error {
			return status.Error(codes.DeadlineExceeded, "late")
		}
		newClient("POST", "/a").ask(t.Context(), p, o)
		if p.flights.memory.Len() != 0 {
			t.Errorf("%d are kept", p.flights.memory.Len())
		}
	})
}

// TestBesideTheAnswer: informational answers pass, and a trailer does, with which an answer is
// not kept.
func TestBesideTheAnswer(t *testing.T) {
	p := newPart(t, nil)
	o := &origin{}
	o.serve = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
		begin(w, 103, "Link", "</a.css>")
		begin(w, 200, "Cache-Control", "max-age=60")
		_, err := w.Write([]byte("hello"))
		w.Header().Set(http.TrailerPrefix+"X-T", "1")
		return err
	}
	for range 2 {
		c := get(p, o, "/a")
		c.expect(t, miss, 200, "hello")
		if len(c.infos) != 1 || c.Result().Trailer.Get("X-T") != "1" {
			t.Errorf("informed %v, trailer %v", c.infos, c.Result().Trailer)
		}
	}
}

// TestClose: what is under way ends with the process, and what comes then passes.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, _ := gated()
		asking, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		all, done := askers(asking, p, o, 2)
		if err := p.flights.Close(); err != nil {
			t.Error(err)
		}
		done.Wait()
		get := newClient("GET", "/a").ask(asking, p, o)
		for _, c := range append(all, get) {
			if c.result.Err == nil {
				t.Errorf("%+v", c.result)
			}
		}
		if n := o.asked.Load(); n != 3 || p.flights.memory.Len() != 0 {
			t.Errorf("the server was asked %d times, and %d are kept", n, p.flights.memory.Len())
		}
	})
}
