package jsonwire

import (
	"testing"
	"time"
)

// TestCivil compares each day of the years 1 to 9999 with package time.
func TestCivil(t *testing.T) {
	at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	for days := uint32(0); at.Year() < 10000; days++ {
		year, month, day := civil(days)
		wantYear, wantMonth, wantDay := at.Date()
		if int(year) != wantYear || int(month) != int(wantMonth) || int(day) != wantDay {
			t.Fatalf("day %d: got %d-%d-%d, want %v", days, year, month, day, at)
		}
		if got := daysOf(int(year), int(month), int(day)); got != at.Unix()/86400 && at.Unix()%86400 == 0 {
			t.Fatalf("%v: got %d days", at, got)
		}
		at = at.AddDate(0, 0, 1)
	}
}

// TestKeySet adds more keys than are compared one by one.
func TestKeySet(t *testing.T) {
	var sets keySets
	set := sets.take()
	for round := range 3 {
		for i := range uint64(1000) {
			if set.add(i*0x9e3779b97f4a7c15) != (round == 0) {
				t.Fatalf("round %d, key %d", round, i)
			}
		}
	}
	if set.addIf(7, false) != true || set.addIf(7, true) != true || set.addIf(7, false) != false {
		t.Error("addIf")
	}
	sets.release()
	if again := sets.take(); again != set || !again.add(1) {
		t.Error("a set is not empty when it is taken again")
	}
}
