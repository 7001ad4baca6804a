package observe

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
)

// branchMetrics are the counters of one of the upstreams that calls are spread over. They
// are found once, when the schema loads.
type branchMetrics struct {
	name  string
	vec   *prometheus.CounterVec
	rpc   string
	codes [numCodes]atomic.Pointer[prometheus.Counter]
	time  prometheus.Observer
	moved prometheus.Counter
}

// newBranchMetrics makes the vectors.
func newBranchMetrics() (calls *prometheus.CounterVec, took *prometheus.HistogramVec, moved *prometheus.CounterVec) {
	calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_branch_requests_total", Help: "Calls that ended, by the branch of the policy split and gRPC code.",
	}, []string{"rpc", "branch", "code"})
	took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "transom_branch_request_duration_seconds", Help: "Time of the calls of a branch of the policy split.", Buckets: durationBuckets,
	}, []string{"rpc", "branch"})
	moved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "transom_branch_not_ready_total", Help: "Calls meant for a branch of the policy split that had no server ready and that another one took.",
	}, []string{"rpc", "branch"})
	return calls, took, moved
}

// branch returns the counters of a branch.
func (m *Metrics) branch(rpc, name string) *branchMetrics {
	return &branchMetrics{
		name: name, rpc: rpc, vec: m.branches, time: m.branchTime.WithLabelValues(rpc, name), moved: m.branchMoved.WithLabelValues(rpc, name),
	}
}

// branched counts a call that went to a branch.
func (p *observer) branched(r *policy.Request, code codes.Code, took time.Duration) {
	for _, b := range p.branches {
		switch b.name {
		case r.Branch:
			b.code(code).Inc()
			b.time.Observe(took.Seconds())
		case r.BranchMeant:
			b.moved.Inc()
		}
	}
}

// code returns the counter of calls that ended so.
func (b *branchMetrics) code(code codes.Code) prometheus.Counter {
	i := codeIndex(code)
	if c := b.codes[i].Load(); c != nil {
		return *c
	}
	c := b.vec.WithLabelValues(b.rpc, b.name, codeNames[i])
	b.codes[i].Store(&c)
	return c
}
