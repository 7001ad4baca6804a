package jsonwire

import (
	"testing"
	"time"
)

// TestCivil compares each day of the years 1 to 9999 with package time.
//
//transom:norace
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

// TestSemantics315Timestamps holds timestamps and durations to RFC 3339 and the
// JSON mapping, to the letter.
func TestSemantics315Timestamps(t *testing.T) {
	for _, text := range []string{
		"2020-02-29T12:34:56Z", "2020-02-29T12:34:56.5Z", "2020-02-29T12:34:56.123456789Z", "2020-02-29T12:34:56+23:59",
		"2020-02-29T12:34:56.5-00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "0000-12-31T23:30:00-01:00",
		"0001-01-01T01:00:00+01:00", "9999-12-31T22:59:59-01:00",
	} {
		want, err := time.Parse(time.RFC3339Nano, text)
		seconds, nanos, ok := parseTimestamp([]byte(text))
		if err != nil || !ok || seconds != want.Unix() || int(nanos) != want.Nanosecond() {
			t.Errorf("%s: got %d.%09d, %v, want %v, %v", text, seconds, nanos, ok, want, err)
		}
	}
	for _, text := range []string{
		"", "Z", "2020-02-29", "2020-02-29T12:34:56", "2020-02-29T12:34Z", "2020-02-29 12:34:56Z",
		"2020-02-29T12:34:56,5Z", "2020-02-29T1:34:56Z", "2020-02-29T12:3:56Z", "2020-02-29T12:34:5Z", "2020-2-29T12:34:56Z",
		"2020-02-29t12:34:56Z", "2020-02-29T12:34:56z", "2020-02-29T12:34:56.Z", "2020-02-29T12:34:56.1234567890Z",
		"2020-02-29T12:34:56+24:00", "2020-02-29T12:34:56-24:00", "2020-02-29T12:34:56+23:60", "2020-02-29T12:34:56+1:00",
		"2020-02-29T12:34:56+0100", "2020-02-29T12:34:56+01", "2020-02-29T12:34:56 01:00", "2020-02-29T12:34:56+01-00",
		"2020-02-29T24:00:00Z", "2020-02-29T12:60:00Z", "2016-12-31T23:59:60Z", "2021-02-29T12:34:56Z", "2020-00-10T00:00:00Z",
		"2020-04-31T00:00:00Z", "2020-04-00T00:00:00Z", "0000-01-01T00:00:00Z", "0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01",
		"9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "+2020-01-01T00:00:00Z",
		"2020-02-29T12:34:56ZZ", "2020-02-29T12:34:56Z+01:00", "2020-02-29T12:34:56Z ", " 2020-02-29T12:34:56Z",
	} {
		if seconds, nanos, ok := parseTimestamp([]byte(text)); ok {
			t.Errorf("%q was read as %d.%09d", text, seconds, nanos)
		}
	}
	for text, want := range map[string]time.Duration{
		"0s": 0, "-0s": 0, "1s": time.Second, "1.5s": 1500 * time.Millisecond, "-0.5s": -500 * time.Millisecond,
		"-1.000000001s": -time.Second - 1, "3600.1s": time.Hour + 100*time.Millisecond,
	} {
		seconds, nanos, ok := parseDuration([]byte(text))
		if got := time.Duration(seconds)*time.Second + time.Duration(nanos); !ok || got != want {
			t.Errorf("%s: got %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{
		"", "s", "-s", ".s", "1", "1.5", "+1s", ".5s", "-.5s", "1.s", "01s", "1,5s", "1.1234567890s", "1 s", " 1s", "1S", "1ms",
		"--1s", "1e3s", "315576000001s", "-315576000001s", "99999999999999999999s",
	} {
		if seconds, nanos, ok := parseDuration([]byte(text)); ok {
			t.Errorf("%q was read as %d.%09d", text, seconds, nanos)
		}
	}
}

// FuzzTimestamp compares with package time, which reads all that the JSON mapping
// has and more.
func FuzzTimestamp(f *testing.F) {
	for _, text := range []string{"2020-02-29T12:34:56Z", "2020-02-29T12:34:56.5-08:00", "0001-01-01T00:00:00.1+23:59", "2016-12-31T23:59:60Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seconds, nanos, ok := parseTimestamp([]byte(text))
		want, err := time.Parse(time.RFC3339Nano, text)
		if ok && (err != nil || seconds != want.Unix() || int(nanos) != want.Nanosecond()) {
			t.Errorf("%q was read as %d.%09d; package time reads %v, %v", text, seconds, nanos, want, err)
		}
		if ok {
			again := appendTimestamp(nil, seconds, nanos)
			if s, n, ok := parseTimestamp(again[1 : len(again)-1]); !ok || s != seconds || n != nanos {
				t.Errorf("%q is written %s, which is read as %d.%09d, %v", text, again, s, n, ok)
			}
		}
	})
}
