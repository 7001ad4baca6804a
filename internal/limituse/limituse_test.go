package limituse

import (
	"testing"
	"time"
)

// counted has one caller of each number, who has used as many seconds.
type counted struct{}

func (counted) CountUse(limits map[uint32]*Limit) {
	for n, l := range limits {
		l.Add(time.Duration(n) * time.Second)
		l.Add(0)
	}
}

// TestFullest: Surface 234: limits whose callers have used most come first; methods that share one are one.
func TestFullest(t *testing.T) {
	var r Report
	for n := range uint32(12) {
		r.Local(counted{}, n, Limit{Of: "a.B/C", Name: "n", Interval: time.Second, Window: 10 * time.Second})
	}
	r.Local(counted{}, 3, Limit{Of: "a.B/D", Name: "n"})
	r.Local(counted{}, 3, Limit{Of: "a.B/C", Name: "n"})
	r.Shared("x", Limit{Of: "a.B/C", Name: "shared"})
	r.Shared("y", Limit{Of: "a.B/D", Name: "shared"})
	list, total := r.Fullest(13)
	if total != 14 || len(list) != 13 {
		t.Fatalf("%d of %d", len(list), total)
	}
	if l := list[0]; l.Callers != 1 || l.Spent != 1 || l.Fullest != 1 {
		t.Errorf("the fullest: %+v", l)
	}
	if l := list[2]; l.Spent != 0 || l.Fullest != 0.9 {
		t.Errorf("one that has room for one more: %+v", l)
	}
	if l := list[8]; l.Others != 1 || l.Fullest != 0.3 {
		t.Errorf("one that two methods share: %+v", l)
	}
	if l := list[12]; l.Callers != 0 || !l.Shared {
		t.Errorf("the last: %+v", l)
	}
}
