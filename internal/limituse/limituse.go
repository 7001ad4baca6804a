// Package limituse is how full rate limits are, as operators see it. It knows no limit: those who count
// tell it.
//
//	var report limituse.Report
//	part.ReportLimits("a.v1.Service/Method", &report)
//	list, total := report.Fullest(100)
package limituse

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Limit is one rate limit.
type Limit struct {
	// Of is the method or route that it was first found at, Others how many more share it.
	Of     string `json:"of"`
	Others int    `json:"others,omitempty"`
	// Name is the one that clients are told, Text how often, By whom calls are counted by.
	Name string `json:"name"`
	Text string `json:"text"`
	By   string `json:"by"`
	// Shared reports whether Redis counts, so that nothing else is known here.
	Shared bool `json:"shared,omitempty"`
	// Callers are those that have used some of what they may, Spent those of them that would be refused now.
	Callers int `json:"callers"`
	Spent   int `json:"spent"`
	// Fullest is the part of what it may that the caller has used who has used most, from 0 to 1.
	Fullest float64 `json:"fullest"`

	// Interval is the time for one call, Window that for all that may come at once.
	Interval, Window time.Duration `json:"-"`
}

// Add counts a caller whose use ends after a time.
func (l *Limit) Add(left time.Duration) {
	if left <= 0 {
		return
	}
	l.Callers++
	if left+l.Interval > l.Window {
		l.Spent++
	}
	l.Fullest = max(l.Fullest, min(1, float64(left)/float64(l.Window)))
}

// Counter counts the callers of its limits, by their numbers.
type Counter interface {
	CountUse(limits map[uint32]*Limit)
}

// Report collects limits. The zero Report is empty.
type Report struct {
	local  map[Counter]map[uint32]*Limit
	shared map[string]*Limit // by what tells them apart
}

// Local adds a limit of this process, by its number.
func (r *Report) Local(c Counter, number uint32, l Limit) {
	if r.local == nil {
		r.local = map[Counter]map[uint32]*Limit{}
	}
	if r.local[c] == nil {
		r.local[c] = map[uint32]*Limit{}
	}
	add(r.local[c], number, l)
}

// Shared adds a limit that Redis counts.
func (r *Report) Shared(id string, l Limit) {
	if r.shared == nil {
		r.shared = map[string]*Limit{}
	}
	l.Shared = true
	add(r.shared, id, l)
}

func add[K comparable](to map[K]*Limit, key K, l Limit) {
	if known := to[key]; known != nil {
		if known.Of != l.Of {
			known.Others++
		}
		return
	}
	to[key] = &l
}

// Fullest counts, and lists as many limits as most, those first whose callers have used most; total is
// how many there are. It is called once.
func (r *Report) Fullest(most int) (list []*Limit, total int) {
	list = slices.Collect(maps.Values(r.shared))
	for c, limits := range r.local {
		c.CountUse(limits)
		list = slices.AppendSeq(list, maps.Values(limits))
	}
	slices.SortFunc(list, func(a, b *Limit) int {
		return cmp.Or(cmp.Compare(b.Spent, a.Spent), cmp.Compare(b.Fullest, a.Fullest), cmp.Compare(b.Callers, a.Callers), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), most)], len(list)
}
