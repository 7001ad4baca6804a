package ratelimit

import (
	"time"

	"github.com/transom-gateway/transom/internal/limituse"
)

// ReportLimits adds the limits of a method or route to a report.
func (p *rateLimits) ReportLimits(of string, r *limituse.Report) { p.admission.report(of, r) }

// ReportLimits adds those that look at messages, too.
func (p *messageLimits) ReportLimits(of string, r *limituse.Report) {
	p.admission.report(of, r)
	p.first.report(of, r)
	p.each.report(of, r)
}

func (l *limiter) report(of string, r *limituse.Report) {
	if l == nil {
		return
	}
	for i := range l.limits {
		at := &l.limits[i]
		use := limituse.Limit{Of: of, Name: at.name, Text: at.text, By: at.by, Interval: at.interval, Window: at.window}
		if at.shared() {
			r.Shared(at.digest, use)
		} else {
			r.Local(l.buckets, at.number, use)
		}
	}
}

var _ limituse.Counter = (*buckets)(nil)

// CountUse implements limituse.Counter. It looks at all buckets, a shard at a time: calls wait for a
// shard's 15,625 at most.
func (b *buckets) CountUse(limits map[uint32]*limituse.Limit) {
	now := int64(b.now().Sub(b.start))
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for j := range s.entries {
			e := &s.entries[j]
			if l := limits[e.limit>>1]; l != nil && e.tat > now {
				l.Add(time.Duration(e.tat - now))
			}
		}
		s.mu.Unlock()
	}
}
