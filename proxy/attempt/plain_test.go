package attempt_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/proxy/attempt"
	"github.com/transom-gateway/transom/proxy/breaker"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// plainServers are servers of plain HTTP, of which nothing is asked.
func plainServers(t testing.TB, addresses ...string) *upstream.Conn {
	t.Helper()
	c, err := upstream.NewPool(slog.New(slog.DiscardHandler)).Get(upstream.Target{Plain: true, Servers: upstream.Servers(addresses, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	return c
}

// play makes the attempts of a request, each of which ends as the next outcome says; those
// behind the last one are answered by 200. It returns how many there were, each with its
// server and what it was told, and the outcome of the request.
func play(t testing.TB, ctx context.Context, r *attempt.Request, outcomes ...attempt.Outcome) (at, told []string, last attempt.Outcome) {
	t.Helper()
	for {
		within, server, err := r.Begin(ctx)
		if err != nil {
			return at, told, attempt.Outcome{Err: err}
		}
		h := http.Header{"X-Transom-Attempt": {"99"}}
		r.Header(h)
		at, told = append(at, server.Address), append(told, h.Get("X-Transom-Attempt"))
		last = attempt.Outcome{Status: http.StatusOK}
		if len(outcomes) > 0 {
			last, outcomes = outcomes[0], outcomes[1:]
		}
		if last.Status == 0 && last.Err == nil { // it waits until its end
			<-within.Done()
			last.Err = status.FromContextError(within.Err()).Err()
		}
		if !r.Again(ctx, &last) {
			r.End()
			return at, told, last
		}
	}
}

var (
	answer = func(status int, retryAfter ...string) attempt.Outcome {
		return attempt.Outcome{Status: status, RetryAfter: retryAfter}
	}
	reset   = attempt.Outcome{Err: status.Error(codes.Unavailable, "reset"), Faulty: true}
	refused = attempt.Outcome{Err: status.Error(codes.Unavailable, "refused"), Faulty: true, Unsent: true}
	silence = attempt.Outcome{}
)

// TestPlain: Traffic 58, 59, 67, 71, 73, 74, 79: which attempts of a plain HTTP request are
// followed by another one: by the request's method, the moment of the failure, and the
// policy.
func TestPlain(t *testing.T) {
	route := func(edit func(*attempt.Retry)) *attempt.Plain {
		r := usual()
		r.Codes = nil
		if edit != nil {
			edit(&r)
		}
		return &attempt.Plain{Retry: &r}
	}
	plain := route(nil)
	any := route(func(r *attempt.Retry) { r.AnyMethod = true })
	for name, test := range map[string]struct {
		policy   *attempt.Plain
		method   string
		outcomes []attempt.Outcome
		made     int
		status   int // of the answer, 0 for none
		denied   string
	}{
		"an answer":                              {plain, "GET", nil, 1, 200, ""},
		"GET, reset":                             {plain, "GET", []attempt.Outcome{reset}, 2, 200, ""},
		"HEAD, 502 and 504":                      {plain, "HEAD", []attempt.Outcome{answer(502), answer(504)}, 3, 200, ""},
		"OPTIONS, 503":                           {plain, "OPTIONS", []attempt.Outcome{answer(503)}, 2, 200, ""},
		"PUT, reset":                             {plain, "PUT", []attempt.Outcome{reset}, 2, 200, ""},
		"DELETE, 503":                            {plain, "DELETE", []attempt.Outcome{answer(503)}, 2, 200, ""},
		"three in all":                           {plain, "GET", []attempt.Outcome{answer(503), reset, answer(503)}, 3, 503, ""},
		"POST, reset":                            {plain, "POST", []attempt.Outcome{reset}, 1, 0, ""},
		"PATCH, 503":                             {plain, "PATCH", []attempt.Outcome{answer(503)}, 1, 503, ""},
		"a method of its own":                    {plain, "PURGE", []attempt.Outcome{answer(503)}, 1, 503, ""},
		"POST, IDEMPOTENT by the policy":         {any, "POST", []attempt.Outcome{answer(503)}, 2, 200, ""},
		"no policy":                              {nil, "GET", []attempt.Outcome{reset}, 1, 0, ""},
		"500":                                    {plain, "GET", []attempt.Outcome{answer(500)}, 1, 500, ""},
		"404":                                    {plain, "GET", []attempt.Outcome{answer(404)}, 1, 404, ""},
		"500 and 429 by the policy":              {route(func(r *attempt.Retry) { r.Codes = []codes.Code{500, 429} }), "GET", []attempt.Outcome{answer(500), answer(429)}, 3, 200, ""},
		"the body is gone":                       {plain, "PUT", []attempt.Outcome{{Err: reset.Err, Faulty: true, Consumed: true}}, 1, 0, "buffer"},
		"the client's fault":                     {plain, "PUT", []attempt.Outcome{{Err: status.Error(codes.InvalidArgument, "no body")}}, 1, 0, ""},
		"refused, without a policy":              {nil, "POST", []attempt.Outcome{refused, refused}, 1, 200, ""},
		"all refuse, without a policy":           {nil, "POST", []attempt.Outcome{refused, refused, refused}, 1, 0, ""},
		"all refuse at first, POST":              {plain, "POST", []attempt.Outcome{refused, refused, refused}, 2, 200, ""},
		"refused, then reset, POST":              {plain, "POST", []attempt.Outcome{refused, reset}, 1, 0, ""},
		"Retry-After in seconds":                 {plain, "GET", []attempt.Outcome{answer(503, "5")}, 2, 200, ""},
		"Retry-After as a date":                  {plain, "GET", []attempt.Outcome{answer(503, "Sat, 01 Jan 2000 00:00:04 GMT")}, 2, 200, ""},
		"Retry-After in the past":                {plain, "GET", []attempt.Outcome{answer(503, "Fri, 31 Dec 1999 00:00:00 GMT")}, 2, 200, ""},
		"Retry-After too long":                   {plain, "GET", []attempt.Outcome{answer(503, "6")}, 1, 503, "pushback"},
		"Retry-After too far":                    {plain, "GET", []attempt.Outcome{answer(503, "Sat, 01 Jan 2000 01:00:00 GMT")}, 1, 503, "pushback"},
		"Retry-After beyond the deadline":        {plain, "GET", []attempt.Outcome{answer(503, "4"), answer(503, "4"), answer(503, "4")}, 3, 503, ""},
		"Retry-After that says nothing":          {plain, "GET", []attempt.Outcome{answer(503, "soon")}, 2, 200, ""},
		"Retry-After does not make it retryable": {plain, "GET", []attempt.Outcome{answer(500, "1")}, 1, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				servers := plainServers(t, "a:80", "b:80", "c:80")
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				var r attempt.Request
				r.Start(test.policy, servers, test.method, upstream.Place{})
				began := time.Now()
				at, told, last := play(t, ctx, &r, test.outcomes...)
				tries := r.Tries()
				if last.Status != test.status || tries.Attempts != test.made || tries.Denied != test.denied {
					t.Errorf("%+v of %+v at %v, want %d of %d, %q", last, tries, at, test.status, test.made, test.denied)
				}
				seen := map[string]bool{}
				for i, server := range at[:min(3, len(at))] {
					if seen[server] {
						t.Errorf("attempt %d is at %s again: %v", i+1, server, at)
					}
					seen[server] = true
				}
				if told[0] != "" || len(told) > 1 && test.denied == "" && tries.Attempts == len(at) && told[len(told)-1] != fmt.Sprint(len(told)) {
					t.Errorf("servers are told of attempts %q", told)
				}
				if strings.HasPrefix(name, "Retry-After in seconds") && time.Since(began) != 5*time.Second || strings.HasPrefix(name, "Retry-After as") && time.Since(began) != 4*time.Second {
					t.Errorf("it took %v", time.Since(began))
				}
				for _, e := range servers.Endpoints() {
					if e.InFlight != 0 {
						t.Errorf("%+v", e)
					}
				}
			})
		})
	}
}

// TestPlainDeadline: Traffic 67, 71: a pause that would end after the request's time is not
// begun.
func TestPlainDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := usual()
		servers := plainServers(t, "a:80", "b:80")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var r attempt.Request
		r.Start(&attempt.Plain{Retry: &policy}, servers, "GET", upstream.Place{})
		at, _, last := play(t, ctx, &r, answer(503, "3"))
		if len(at) != 1 || last.Status != 503 || r.Tries().Denied != "deadline" || ctx.Err() != nil {
			t.Errorf("%v, %+v, %+v", at, last, r.Tries())
		}
	})
}

// TestPlainPerTry: Traffic 68: per_try_timeout bounds each attempt until the header of its
// answer, and not what follows.
func TestPlainPerTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := usual()
		policy.PerTry = time.Second
		servers := plainServers(t, "a:80", "b:80")
		request := func() *attempt.Request {
			r := new(attempt.Request)
			r.Start(&attempt.Plain{Retry: &policy}, servers, "GET", upstream.Place{})
			return r
		}
		if at, _, last := play(t, t.Context(), request(), silence, silence); len(at) != 3 || last.Status != 200 {
			t.Errorf("%v, %+v", at, last)
		}
		at, _, last := play(t, t.Context(), request(), silence, silence, silence)
		if len(at) != 3 || status.Code(last.Err) != codes.DeadlineExceeded || !strings.Contains(last.Err.Error(), "per_try_timeout") {
			t.Errorf("%v, %+v", at, last)
		}
		r := request()
		within, _, err := r.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Again(t.Context(), &attempt.Outcome{Status: 200}) {
			t.Fatal("it is made again")
		}
		time.Sleep(time.Minute)
		if within.Err() != nil {
			t.Error("the body ends with the time of the header")
		}
		r.End()
		if within.Err() == nil {
			t.Error("nothing ends it")
		}
	})
}

// TestPlainBudget: Traffic 75: in a whole outage, attempts are at most the share beyond the
// requests that the budget allows.
func TestPlainBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := usual()
		policy.BudgetPercent = 20
		policy.InitialBackoff, policy.MaxBackoff = time.Nanosecond, time.Nanosecond
		servers := plainServers(t, "a:80", "b:80")
		attempts := 0
		for range 1000 {
			var r attempt.Request
			r.Start(&attempt.Plain{Retry: &policy}, servers, "GET", upstream.Place{})
			at, _, _ := play(t, t.Context(), &r, reset, reset, reset)
			attempts += len(at)
			time.Sleep(time.Millisecond)
		}
		if attempts > 1000+200+110 || attempts < 1200 {
			t.Errorf("%d attempts of 1000 requests", attempts)
		}
	})
}

// TestPlainCircuit: Traffic 99 to 105: the breaker counts attempts by the statuses of HTTP,
// is asked before each, and says nothing of clients that go away.
func TestPlainCircuit(t *testing.T) {
	refusal := status.Error(codes.Unavailable, "open")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		outcome attempt.Outcome
		opens   bool
	}{
		"200":                   {t.Context(), answer(200), false},
		"404":                   {t.Context(), answer(404), false},
		"500":                   {t.Context(), answer(500), true},
		"501, not among codes":  {t.Context(), answer(501), false},
		"502":                   {t.Context(), answer(502), true},
		"503":                   {t.Context(), answer(503), true},
		"reset":                 {t.Context(), reset, true},
		"refused":               {t.Context(), refused, true},
		"a body that is none":   {t.Context(), attempt.Outcome{Err: status.Error(codes.InvalidArgument, "no body")}, false},
		"the client has gone":   {gone, attempt.Outcome{Err: status.Error(codes.Canceled, "gone")}, false},
		"gone, and it answered": {gone, answer(500), true},
	} {
		t.Run(name, func(t *testing.T) {
			b := breaker.New(breaker.Options{Consecutive: 2, Window: time.Minute, OpenFor: time.Minute, Probes: 1}, nil)
			policy := &attempt.Plain{Circuit: &attempt.Circuit{Breaker: b, Codes: []codes.Code{500}, Refusal: func(time.Duration) error { return refusal }}}
			servers := plainServers(t, "a:80")
			for n := range 3 {
				var r attempt.Request
				r.Start(policy, servers, "POST", upstream.Place{})
				if err := r.Ask(); err != nil {
					if n != 2 || !test.opens || err != refusal {
						t.Errorf("request %d: %v", n, err)
					}
					return
				}
				play(t, test.ctx, &r, test.outcome)
			}
			if test.opens {
				t.Error("it does not open")
			}
		})
	}
	t.Run("an open one ends the attempts", func(t *testing.T) {
		b := breaker.New(breaker.Options{Consecutive: 2, Window: time.Minute, OpenFor: time.Minute, Probes: 1}, nil)
		retry := usual()
		retry.Attempts = 5
		policy := &attempt.Plain{Retry: &retry, Circuit: &attempt.Circuit{Breaker: b, Refusal: func(time.Duration) error { return refusal }}}
		var r attempt.Request
		r.Start(policy, plainServers(t, "a:80", "b:80"), "GET", upstream.Place{})
		if r.Ask() != nil {
			t.Fatal("it refuses")
		}
		at, _, last := play(t, t.Context(), &r, reset, answer(503), reset)
		if len(at) != 2 || last.Status != 503 || r.Tries().Denied != "circuit" {
			t.Errorf("%v, %+v, %+v", at, last, r.Tries())
		}
	})
}

// TestPlainFree: Traffic 57: a request whose attempt is answered takes no memory here.
func TestPlainFree(t *testing.T) {
	servers, policy, ctx := plainServers(t, "a:80", "b:80"), usual(), t.Context()
	p := &attempt.Plain{Retry: &policy, Circuit: &attempt.Circuit{Breaker: breaker.New(breaker.Options{Percent: 50, MinCalls: 20, Window: time.Second}, nil)}}
	var place upstream.Place
	r := new(attempt.Request)
	if n := testing.AllocsPerRun(1000, func() {
		*r = attempt.Request{}
		r.Start(p, servers, "GET", place)
		_ = r.Ask()
		_, _, _ = r.Begin(ctx)
		r.Again(ctx, &attempt.Outcome{Status: 200})
		r.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestKept: Traffic 66: what is kept is what was read, up to a limit for each request and for
// all.
func TestKept(t *testing.T) {
	before := attempt.KeptInAll()
	k := attempt.NewKept(100_000)
	var want strings.Builder
	for i := range 1000 {
		piece := strings.Repeat(fmt.Sprint(i%10), i%200)
		want.WriteString(piece)
		if !k.Add([]byte(piece)) {
			t.Fatal("there is no room")
		}
	}
	var got strings.Builder
	for got.Len() < k.Len() {
		got.Write(k.From(got.Len()))
	}
	if got.String() != want.String() || len(k.From(got.Len())) != 0 {
		t.Errorf("%d bytes are kept as %d", want.Len(), got.Len())
	}
	if k.Add(make([]byte, 1<<10)) || k.Len() != 0 || attempt.KeptInAll() != before {
		t.Errorf("beyond the limit %d bytes are kept, %d in all", k.Len(), attempt.KeptInAll()-before)
	}
	var all []*attempt.Kept
	for {
		k := attempt.NewKept(1 << 20)
		all = append(all, k)
		if !k.Add(make([]byte, 1<<20)) {
			break
		}
	}
	if n := len(all); n != 65 {
		t.Errorf("%d MiB are kept at once, want 64", n-1)
	}
	for _, k := range all {
		k.Free()
	}
	if attempt.KeptInAll() != before {
		t.Error("what was kept still counts")
	}
}
