package gateway

import "github.com/transom-gateway/transom/internal/limituse"

// limited is a part whose rate limits are told to operators.
type limited interface {
	ReportLimits(of string, r *limituse.Report)
}

// maxLimits is how many limits LimitsUse lists.
const maxLimits = 100

// LimitsUse lists the rate limits that callers have used most, and says how many there are.
func (g *Gateway) LimitsUse() (list []*limituse.Limit, total int) {
	s := g.acquire()
	if s == nil {
		return nil, 0
	}
	defer s.release()
	var report limituse.Report
	seen := map[*guard]bool{}
	for _, r := range s.routes {
		if seen[r.guard] {
			continue
		}
		seen[r.guard] = true
		for _, set := range r.guard.sets() {
			for _, part := range set.Parts() {
				if l, ok := part.(limited); ok {
					l.ReportLimits(r.guard.name, &report)
				}
			}
		}
	}
	return report.Fullest(maxLimits)
}
