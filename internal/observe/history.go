package observe

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
)

// The history is a quarter of an hour, a point each five seconds (Surface 243). That of a route
// has 5.8 KB, so all of them have 2.0 MB at most.
const (
	HistoryStep   = 5 * time.Second
	historyPoints = 180
	historyRoutes = 340
)

// Point is what happened in one step.
type Point struct {
	// At is the end of the step, in Unix seconds.
	At uint32 `json:"t"`
	// Requests that ended, Refused those of them that the client was at fault for, and Failed
	// those that the gateway or the backend was.
	Requests uint32 `json:"n"`
	Refused  uint32 `json:"r"`
	Failed   uint32 `json:"f"`
	// Streams are those of the requests that were streams: how long they were open says nothing of
	// latency.
	Streams uint32 `json:"s"`
	// P50 and P99 are milliseconds that half of the other requests and 99 of 100 took at most; -1
	// where there were none.
	P50 float32 `json:"p50"`
	P99 float32 `json:"p99"`
}

// RouteHistory is what happened on a route in the quarter of an hour.
type RouteHistory struct {
	RPC      string `json:"rpc,omitempty"`
	Path     string `json:"path"`
	Requests uint64 `json:"n"`
	Refused  uint64 `json:"r"`
	Failed   uint64 `json:"f"`
	// Streams are those of the requests that were streams.
	Streams uint64 `json:"s"`
	// P99 is that of the slowest step; -1 where there was no request but streams.
	P99 float32 `json:"p99"`
	// Counts are the requests of four steps each, the oldest first.
	Counts []uint32 `json:"counts"`
}

// History remembers what the counters of calls said each few seconds. It costs a call nothing:
// it reads what is counted anyway. Safe for concurrent use.
type History struct {
	metrics *Metrics

	mu     sync.Mutex
	before map[routeKey]*totals
	all    []Point
	routes map[routeKey][]Point
}

// totals are what counters said, summed up over protocols and codes.
type totals struct {
	requests, refused, failed, streams uint64
	buckets                            [numBuckets]uint64 // without streams, each with all below it, as Prometheus counts
}

// numBuckets are those of durationBuckets, and one for what took longer.
const numBuckets = 17

// NewHistory begins with the counters as they are.
func NewHistory(m *Metrics) *History {
	h := &History{metrics: m, before: map[routeKey]*totals{}, routes: map[routeKey][]Point{}}
	for _, r := range m.called() {
		if t := r.totals(); t.requests > 0 {
			h.before[r.key] = &t
		}
	}
	return h
}

// called are the routes that have been called, of which something can be counted.
func (m *Metrics) called() (list []*RouteMetrics) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.routes {
		for i := range r.protocols {
			if r.protocols[i].Load() != nil {
				list = append(list, r)
				break
			}
		}
	}
	return list
}

// totals reads the counters of a route.
func (r *RouteMetrics) totals() (t totals) {
	streams := r.streams.Load().upTo() // first, since each is among all requests before it is among these
	for i := range r.protocols {
		p := r.protocols[i].Load()
		if p == nil {
			continue
		}
		for code := range p.codes {
			if c := p.codes[code].Load(); c != nil {
				t.add(codes.Code(code), c) //nolint:gosec // there are 18
			}
		}
	}
	t.streams = streams[numBuckets-1]
	for i := range t.buckets {
		t.buckets[i] -= streams[i]
	}
	return t
}

func (t *totals) add(code codes.Code, c *codeMetrics) {
	var m dto.Metric
	histogram, ok := c.duration.(prometheus.Metric)
	if !ok || histogram.Write(&m) != nil {
		return // client_golang's histograms can be written
	}
	n := m.GetHistogram().GetSampleCount()
	t.requests += n
	switch {
	case serverFault(code):
		t.failed += n
	case code != codes.OK:
		t.refused += n
	}
	for i, b := range m.GetHistogram().GetBucket() {
		t.buckets[i] += b.GetCumulativeCount()
	}
	t.buckets[numBuckets-1] += n
}

// Sample adds a point that ends now.
func (h *History) Sample(now time.Time) {
	routes := h.metrics.called()
	h.mu.Lock()
	defer h.mu.Unlock()
	var sum totals
	seen := make(map[routeKey]bool, len(routes))
	for _, r := range routes {
		seen[r.key] = true
		step := h.step(r)
		sum.plus(&step)
		h.addTo(r.key, now, &step)
	}
	for key := range h.before {
		if !seen[key] { // it went, and may have come back
			delete(h.before, key)
			delete(h.routes, key)
		}
	}
	h.all = appendPoint(h.all, sum.point(now))
}

// step is what was counted since the last one. Routes that were never called are not remembered:
// there may be many.
func (h *History) step(r *RouteMetrics) totals {
	t := r.totals()
	before := h.before[r.key]
	switch {
	case before == nil && t.requests == 0:
		return t
	case before == nil:
		h.before[r.key] = &t
		return t
	}
	step := t
	if t.requests >= before.requests { // else the route went, and came back
		step = t.since(before)
	}
	*before = t
	return step
}

// addTo adds a point to a route that had one, or that has something to tell.
func (h *History) addTo(key routeKey, now time.Time, step *totals) {
	points, known := h.routes[key]
	if !known && (step.requests == 0 || len(h.routes) >= historyRoutes) {
		return
	}
	points = appendPoint(points, step.point(now))
	if !slices.ContainsFunc(points, func(p Point) bool { return p.Requests > 0 }) {
		delete(h.routes, key) // its place is another's
		return
	}
	h.routes[key] = points
}

func appendPoint(points []Point, p Point) []Point {
	if points == nil {
		points = make([]Point, 0, historyPoints)
	}
	if len(points) == historyPoints {
		points = slices.Delete(points, 0, 1)
	}
	return append(points, p)
}

func (t *totals) since(before *totals) totals {
	d := totals{requests: t.requests - before.requests, refused: t.refused - before.refused, failed: t.failed - before.failed, streams: t.streams - before.streams}
	for i := range d.buckets {
		d.buckets[i] = max(t.buckets[i], before.buckets[i]) - before.buckets[i] // a stream may be found out as one a step late
	}
	return d
}

func (t *totals) plus(o *totals) {
	t.requests, t.refused, t.failed, t.streams = t.requests+o.requests, t.refused+o.refused, t.failed+o.failed, t.streams+o.streams
	for i := range t.buckets {
		t.buckets[i] += o.buckets[i]
	}
}

func (t *totals) point(now time.Time) Point {
	count := func(n uint64) uint32 { return uint32(min(n, math.MaxUint32)) } //nolint:gosec // it is not above
	return Point{
		At:       uint32(now.Unix()), //nolint:gosec // enough for 80 years
		Requests: count(t.requests), Refused: count(t.refused), Failed: count(t.failed), Streams: count(t.streams),
		P50: t.quantile(0.5), P99: t.quantile(0.99),
	}
}

// quantile is how many milliseconds that part of the requests that were no streams took at most, as
// far as the buckets tell; -1 where there were none.
func (t *totals) quantile(q float64) float32 {
	n := t.buckets[numBuckets-1]
	if n == 0 {
		return -1
	}
	rank, below, lower := q*float64(n), 0.0, 0.0
	for i, upper := range durationBuckets {
		upTo := float64(t.buckets[i])
		if upTo >= rank {
			inside := 1.0
			if upTo > below {
				inside = (rank - below) / (upTo - below)
			}
			return float32(math.Round(1e5*(lower+(upper-lower)*inside)) / 100)
		}
		below, lower = upTo, upper
	}
	return float32(1000 * lower) // it took longer than all buckets
}

// All are the points of all requests, the oldest first.
func (h *History) All() []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Point{}, h.all...)
}

// Of are the points of the calls of an RPC by a route, the oldest first. There are none of a route that
// was not called in the quarter of an hour.
func (h *History) Of(rpc, route string) []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Point{}, h.routes[routeKey{valid(rpc), valid(route)}]...)
}

// busiest is how many routes Busiest has.
const busiest = 10

// Busiest are the histories of the routes that were called most in the quarter of an hour, the
// most called first.
func (h *History) Busiest() []RouteHistory {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := []RouteHistory{}
	for key, points := range h.routes {
		list = append(list, key.history(points))
	}
	slices.SortFunc(list, func(a, b RouteHistory) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Path, b.Path), cmp.Compare(a.RPC, b.RPC))
	})
	return list[:min(len(list), busiest)]
}

// stepsOfCount is how many points one of Counts stands for.
const stepsOfCount = 4

// history sums the points of a route up.
func (k routeKey) history(points []Point) RouteHistory {
	r := RouteHistory{RPC: k.rpc, Path: k.route, P99: -1, Counts: make([]uint32, historyPoints/stepsOfCount)}
	for i, p := range points {
		r.Requests, r.Refused, r.Failed, r.Streams = r.Requests+uint64(p.Requests), r.Refused+uint64(p.Refused), r.Failed+uint64(p.Failed), r.Streams+uint64(p.Streams)
		r.P99 = max(r.P99, p.P99)
		r.Counts[(historyPoints-len(points)+i)/stepsOfCount] += p.Requests
	}
	return r
}
