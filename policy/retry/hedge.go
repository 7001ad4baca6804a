package retry

import (
	"fmt"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/attempt"
)

const (
	// defaultHedged is how many attempts there are where they are made side by side.
	defaultHedged = 2
	minPercentile = 50
	maxPercentile = 99
)

// latencyKey is that of what a method's attempts took.
type latencyKey struct{ rpc string }

// hedge has attempts made side by side where the policy says so and the method allows
// it (Traffic 77, 78).
func hedge(s *policy.Scope, rule *transomv1.Retry, level string, r *attempt.Retry) {
	percent := rule.GetHedgePercentile()
	field := "retry.hedge_after"
	if rule.GetHedgeAfter() == nil {
		if percent == 0 {
			return
		}
		field = "retry.hedge_percentile"
	}
	h := &attempt.Hedge{After: s.CheckDuration("retry.hedge_after", rule.GetHedgeAfter()), Percentile: percent}
	if percent != 0 && (percent < minPercentile || percent > maxPercentile) {
		s.Refuse("retry.hedge_percentile", "retry.hedge_percentile: found %d, expected %d to %d", percent, minPercentile, maxPercentile)
		return
	}
	if rule.MaxAttempts == nil {
		r.Attempts = defaultHedged
	}
	if r.Attempts < 2 {
		return
	}
	clientStreams := s.Method != nil && s.Method.IsStreamingClient()
	switch exact := s.Exact("retry"); {
	case exact && level == "IDEMPOTENT":
		s.Refuse(field, "%s: attempts side by side need a method without side effects, but %s is IDEMPOTENT: "+
			"remove it, or set idempotency_level to NO_SIDE_EFFECTS if that is what the method is", field, s.RPC)
	case exact && clientStreams:
		s.Refuse(field, "%s: attempts side by side need a method with one request, but the client of %s streams: remove it", field, s.RPC)
	case level != "NO_SIDE_EFFECTS" || clientStreams:
		if rule.MaxAttempts == nil {
			r.Attempts = defaultAttempts
		}
		return
	}
	if percent > 0 {
		latency, err := policy.Lease(s.Generation, latencyKey{s.RPC}, func() (*attempt.Latency, error) { return new(attempt.Latency), nil })
		if err != nil {
			s.Refuse(field, "%s: %v", field, err)
			return
		}
		h.Latency = latency
	}
	r.Hedge = h
}

// hedging says in words when attempts are made side by side.
func hedging(h *attempt.Hedge) string {
	switch {
	case h == nil:
		return ""
	case h.Percentile == 0:
		return fmt.Sprintf("; hedged: the next one at another endpoint after %s without an answer", span.Text(h.After))
	case h.After == 0:
		return fmt.Sprintf("; hedged: the next one at another endpoint after the time within which %d %% of its calls are answered", h.Percentile)
	}
	return fmt.Sprintf("; hedged: the next one at another endpoint after the time within which %d %% of its calls are answered, at least %s", h.Percentile, span.Text(h.After))
}
