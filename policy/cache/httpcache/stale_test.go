package httpcache

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
)

// TestStaleWhileRevalidate: Traffic 126: the stale answer at once, one request behind it.
func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, func(p *part) { p.TTL, p.WhileRevalidate = time.Minute, time.Minute })
		o, steps := gated()
		step := func(text string) {
			steps <- head(200, "Etag", `"`+text+`"`)
			steps <- body(text)
			steps <- nil
		}
		first, done := askers(t.Context(), p, o, 1)
		step("one")
		done.Wait()
		first[0].expect(t, miss, 200, "one")
		time.Sleep(90 * time.Second)
		for range 3 {
			get(p, o, "/a").expect(t, stale, 200, "one")
		}
		synctest.Wait()
		if n := o.asked.Load(); n != 2 {
			t.Errorf("the server was asked %d times, want twice", n)
		}
		step("two")
		synctest.Wait()
		get(p, o, "/a").expect(t, hit, 200, "two")
		time.Sleep(2 * time.Minute)
		again, done := askers(t.Context(), p, o, 1)
		steps <- func(w http.ResponseWriter) error { return head(304)(w) }
		steps <- nil
		done.Wait()
		again[0].expect(t, revalidated, 200, "two")
		get(p, o, "/a").expect(t, hit, 200, "two")
	})
}

// TestManyRefreshes: Traffic 126: clients do not wait for what refreshes a stale answer: there are
// so many at a time, and no more.
func TestManyRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = sharing.MaxRefreshes + 50
		p := newPart(t, func(p *part) { p.TTL, p.WhileRevalidate = time.Minute, time.Minute })
		var hangs atomic.Bool
		end := make(chan struct{})
		o := &origin{}
		o.serve = func(_ context.Context, w http.ResponseWriter, _ *http.Request) error {
			if hangs.Load() {
				<-end
			}
			begin(w, 200)
			_, err := w.Write([]byte("x"))
			return err
		}
		ask := func(result string) {
			for i := range all {
				get(p, o, fmt.Sprint("/", i)).expect(t, result, 200, "x")
			}
			synctest.Wait()
		}
		ask(miss)
		hangs.Store(true)
		time.Sleep(90 * time.Second)
		ask(stale)
		if n := o.asked.Load() - all; n != sharing.MaxRefreshes {
			t.Errorf("%d refreshes at a time, want %d", n, sharing.MaxRefreshes)
		}
		hangs.Store(false)
		close(end)
		synctest.Wait()
		if n := p.flights.refreshing; n != 0 {
			t.Errorf("%d refreshes are counted, want none", n)
		}
	})
}

// TestStaleIfError: Traffic 126: the stale answer stands in for an error, unless it was
// dropped meanwhile.
func TestStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, func(p *part) { p.TTL, p.IfError = time.Minute, time.Hour })
		o, steps := gated()
		_, done := askers(t.Context(), p, o, 1)
		steps <- head(200)
		steps <- body("one")
		steps <- nil
		done.Wait()
		time.Sleep(2 * time.Minute)
		for _, failure := range []func(http.ResponseWriter) error{
			head(503), head(500), func(http.ResponseWriter) error { return status.Error(codes.Unavailable, "refused") },
			func(http.ResponseWriter) error { return status.Error(codes.DeadlineExceeded, "late") },
		} {
			all, done := askers(t.Context(), p, o, 2)
			steps <- failure
			done.Wait()
			for _, c := range all {
				c.expect(t, stale, 200, "one")
			}
		}
		all, done := askers(t.Context(), p, o, 1)
		q := newRequest(p, all[0])
		p.flights.Invalidate([]string{tier.TagText(q.uri())})
		steps <- func(http.ResponseWriter) error { return status.Error(codes.Unavailable, "refused") }
		done.Wait()
		if all[0].result.Err == nil {
			t.Errorf("%s, %+v", all[0].request.Cache.Result, all[0].result)
		}
	})
}

// TestNeverFresh: nobody waits for an answer that is stale when it comes.
func TestNeverFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPart(t, nil)
		o, steps := gated()
		_, done := askers(t.Context(), p, o, 1)
		steps <- head(200, "Cache-Control", "max-age=0", "Etag", `"a"`)
		steps <- body("hello")
		steps <- nil
		done.Wait()
		all, done := askers(t.Context(), p, o, 3)
		if n := o.asked.Load(); n != 4 {
			t.Errorf("the server was asked %d times, want 4", n)
		}
		for range 3 {
			steps <- head(304, "Cache-Control", "max-age=0")
		}
		for range 3 {
			steps <- nil
		}
		done.Wait()
		for _, c := range all {
			c.expect(t, revalidated, 200, "hello")
		}
	})
}

// TestAnotherAnswers304: RFC 9111 4.3.4: a 304 that names another validator drops the answer,
// which is asked for anew.
func TestAnotherAnswers304(t *testing.T) {
	p := newPart(t, nil)
	o := &origin{}
	var seen []string
	o.serve = func(_ context.Context, w http.ResponseWriter, r *http.Request) error {
		seen = append(seen, r.Header.Get("If-None-Match"))
		if r.Header.Get("If-None-Match") != "" {
			begin(w, 304, "Etag", `"b"`)
			return nil
		}
		begin(w, 200, "Cache-Control", "max-age=0", "Etag", `"a"`)
		_, err := w.Write([]byte("hello"))
		return err
	}
	get(p, o, "/a").expect(t, miss, 200, "hello")
	get(p, o, "/a").expect(t, miss, 200, "hello")
	if want := []string{"", `"a"`, ""}; !slices.Equal(seen, want) {
		t.Errorf("the server saw %q, want %q", seen, want)
	}
}
