package observe

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
)

// TestHistory: Surface 243: each point tells what was counted since the one before; a route
// that was quiet for a quarter of an hour is forgotten, and so is one that is gone.
func TestHistory(t *testing.T) {
	telemetry := quiet(t)
	route := routes(telemetry)
	set := policy.NewSet(nil, telemetry.Policies(route)...)
	call := func(o policy.Outcome) { play(t, set, request("/v1/shelves/1/books/2"), &o) }
	call(policy.Outcome{Code: codes.OK, HTTPStatus: 200}) // before the history
	h := NewHistory(telemetry.Metrics)
	now := time.Unix(1_800_000_000, 0)
	h.Sample(now)
	if all := h.All(); len(all) != 1 || all[0].Requests != 0 || all[0].P99 != -1 || len(h.Busiest()) != 0 {
		t.Errorf("before any call: %+v, %+v", all, h.Busiest())
	}
	call(policy.Outcome{Code: codes.OK, HTTPStatus: 200})
	call(policy.Outcome{Code: codes.NotFound, HTTPStatus: 404})
	call(policy.Outcome{Code: codes.Unavailable, HTTPStatus: 503})
	h.Sample(now.Add(HistoryStep))
	p := h.All()[1]
	if int64(p.At) != now.Unix()+5 || p.Requests != 3 || p.Refused != 1 || p.Failed != 1 || p.P50 < 0 || p.P99 < p.P50 {
		t.Errorf("three calls: %+v", p)
	}
	if of := h.Of(testRPC, testRoute); len(of) != 1 || of[0] != p || len(h.Of(testRPC, "/other")) != 0 {
		t.Errorf("of the route: %+v", of)
	}
	if r := h.Busiest(); len(r) != 1 || r[0].RPC != testRPC || r[0].Path != testRoute || r[0].Requests != 3 || r[0].Refused != 1 || r[0].Failed != 1 || r[0].P99 < 0 || r[0].Counts[44] != 3 {
		t.Errorf("the route: %+v", r)
	}
	for i := range 2 * historyPoints {
		h.Sample(now.Add(time.Duration(i+2) * HistoryStep))
		if i == historyPoints-2 {
			if r := h.Busiest(); len(r) != 1 || r[0].Counts[0] != 3 {
				t.Errorf("within a quarter of an hour: %+v", r)
			}
		}
	}
	if all := h.All(); len(all) != historyPoints || all[0].Requests != 0 || len(h.Busiest()) != 0 {
		t.Errorf("half an hour later there are %d points and %d routes", len(all), len(h.Busiest()))
	}
	call(policy.Outcome{Code: codes.OK})
	h.Sample(now)
	telemetry.Metrics.Retain(nil)
	h.Sample(now)
	if r := h.Busiest(); len(r) != 0 {
		t.Errorf("a route that is gone: %+v", r)
	}
}

// TestHistoryOfStreams: Surface 243: how long a stream was open counts in no latency; it counts among the requests.
func TestHistoryOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telemetry := quiet(t)
		set := policy.NewSet(nil, telemetry.Policies(routes(telemetry))...)
		h := NewHistory(telemetry.Metrics)
		call := func(stream bool, took time.Duration) {
			r := request("/v1/shelves/1/books/2")
			r.Stream = stream
			if _, err := set.Admit(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			time.Sleep(took)
			set.Done(r, &policy.Outcome{Code: codes.OK, HTTPStatus: 200})
		}
		call(true, time.Hour)
		h.Sample(time.Now())
		if p := h.All()[0]; p.Requests != 1 || p.Streams != 1 || p.P50 != -1 || p.P99 != -1 {
			t.Errorf("a stream alone: %+v", p)
		}
		call(true, 20*time.Second)
		call(false, 3*time.Millisecond)
		call(true, time.Nanosecond)
		h.Sample(time.Now())
		if p := h.All()[1]; p.Requests != 3 || p.Streams != 2 || p.P50 <= 2.5 || p.P99 > 5 {
			t.Errorf("a call of 3 ms among streams: %+v", p)
		}
		if r := h.Busiest(); len(r) != 1 || r[0].Requests != 4 || r[0].Streams != 3 || r[0].P99 > 5 {
			t.Errorf("the route: %+v", r)
		}
	})
}

// TestHistoryIsBounded: Surface 243: however many routes are called, the history has a bound.
func TestHistoryIsBounded(t *testing.T) {
	h := NewHistory(NewMetrics("test"))
	for i := range 2 * historyRoutes {
		h.addTo(routeKey{"", string(rune(i + 256))}, time.Unix(int64(i), 0), &totals{requests: 1})
	}
	bytes := 0
	for _, points := range h.routes {
		bytes += cap(points) * int(reflect.TypeFor[Point]().Size())
	}
	if len(h.routes) != historyRoutes || bytes > 2<<20 {
		t.Errorf("%d routes, %d bytes", len(h.routes), bytes)
	}
}

// TestHistoryOfManyRoutes: Surface 243: of 20,000 routes those that were called are remembered alone.
func TestHistoryOfManyRoutes(t *testing.T) {
	telemetry := quiet(t)
	method := Method{RPC: testRPC}
	for i := range 20_000 {
		method.Routes = append(method.Routes, telemetry.Metrics.Route(testRPC, fmt.Sprintf("/v1/%d", i)))
	}
	set := policy.NewSet(nil, telemetry.Policies(method)...)
	h := NewHistory(telemetry.Metrics)
	for i := range 500 {
		r := request("/v1/x")
		r.Route = fmt.Sprintf("/v1/%d", i)
		play(t, set, r, &policy.Outcome{Code: codes.OK, HTTPStatus: 200})
	}
	h.Sample(time.Unix(1_800_000_000, 0))
	bytes := len(h.before) * (int(reflect.TypeFor[totals]().Size()) + 2*int(reflect.TypeFor[routeKey]().Size()))
	for _, points := range h.routes {
		bytes += cap(points) * int(reflect.TypeFor[Point]().Size())
	}
	if len(h.before) != 500 || len(h.routes) != historyRoutes || h.All()[0].Requests != 500 || bytes > 2<<20 {
		t.Errorf("%d routes are remembered, %d with points, %d bytes, of %d calls", len(h.before), len(h.routes), bytes, h.All()[0].Requests)
	}
}

// TestQuantile: a quantile lies within the bucket in which its rank falls.
func TestQuantile(t *testing.T) {
	if len(durationBuckets) != numBuckets-1 {
		t.Fatalf("there are %d buckets", len(durationBuckets))
	}
	var all totals
	if got := all.quantile(0.5); got != -1 {
		t.Errorf("of nothing: %v", got)
	}
	all.requests = 100
	for i := range all.buckets { // 99 took up to 10 ms, one more than 60 s
		if i >= 4 {
			all.buckets[i] = 99
		}
	}
	all.buckets[numBuckets-1] = 100
	if got := all.quantile(0.5); got <= 5 || got > 10 {
		t.Errorf("the median is %v", got)
	}
	if got := all.quantile(0.999); got != 60000 {
		t.Errorf("99.9 %%: %v", got)
	}
}
