package cachecontrol

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const second = time.Second

func TestParse(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  Control
	}{
		{nil, Control{}},
		{[]string{""}, Control{}},
		{[]string{" , ,"}, Control{}},
		{[]string{"no-store"}, Control{Has: NoStore}},
		{[]string{"No-Store, PUBLIC"}, Control{Has: NoStore | Public}},
		{[]string{"no-store", "private"}, Control{Has: NoStore | Private}},
		{[]string{"no-cache, no-transform, must-revalidate, proxy-revalidate, must-understand, only-if-cached"},
			Control{Has: NoCache | NoTransform | MustRevalidate | ProxyRevalidate | MustUnderstand | OnlyIfCached}},
		{[]string{"max-age=10"}, Control{Has: MaxAge, MaxAge: 10 * second}},
		{[]string{"Max-AGE=010"}, Control{Has: MaxAge, MaxAge: 10 * second}},
		{[]string{`max-age="10"`}, Control{Has: MaxAge, MaxAge: 10 * second}},
		{[]string{"max-age=10, s-maxage=20"}, Control{Has: MaxAge | SharedMaxAge, MaxAge: 10 * second, SharedMaxAge: 20 * second}},
		{[]string{"max-age=10,max-age=10"}, Control{Has: MaxAge, MaxAge: 10 * second}},
		{[]string{"stale-while-revalidate=5, stale-if-error=6, min-fresh=7, max-stale=8"}, Control{
			Has:                  StaleWhileRevalidate | StaleIfError | MinFresh | MaxStale,
			StaleWhileRevalidate: 5 * second, StaleIfError: 6 * second, MinFresh: 7 * second, MaxStale: 8 * second,
		}},
		{[]string{"max-stale"}, Control{Has: MaxStale, MaxStale: Most}},
		// A field's name in a directive: the whole answer is meant.
		{[]string{`private="set-cookie, x", max-age=10`}, Control{Has: Private | MaxAge, MaxAge: 10 * second}},
		{[]string{`no-cache="max-age=10, s-maxage=3"`}, Control{Has: NoCache}},
		{[]string{`x="a\", no-store", public`}, Control{Has: Public}},
		// Values that are none, and several that differ, mean 0.
		{[]string{"max-age"}, Control{Has: MaxAge}},
		{[]string{"max-age="}, Control{Has: MaxAge}},
		{[]string{"max-age=-1"}, Control{Has: MaxAge}},
		{[]string{"max-age=+1"}, Control{Has: MaxAge}},
		{[]string{"max-age=1.5"}, Control{Has: MaxAge}},
		{[]string{"max-age=10s"}, Control{Has: MaxAge}},
		{[]string{"max-age='10'"}, Control{Has: MaxAge}},
		{[]string{"max-age = 10"}, Control{Has: MaxAge}},
		{[]string{`max-age="10`}, Control{Has: MaxAge}},
		{[]string{"max-age=10, max-age=20"}, Control{Has: MaxAge}},
		{[]string{"max-age=20", "max-age=10"}, Control{Has: MaxAge}},
		// What no integer holds is the longest time.
		{[]string{"max-age=2147483648"}, Control{Has: MaxAge, MaxAge: Most}},
		{[]string{"max-age=99999999999999999999999999"}, Control{Has: MaxAge, MaxAge: Most}},
		// What is no directive is passed over, but for what it forbids.
		{[]string{"max-ages=10, xmax-age=3, immutable, =, =1, max-age;public, public max-age=10, only-if-cached;"}, Control{}},
		{[]string{"no-store; max-age=60"}, Control{Has: NoStore}},
		{[]string{"max-age=60; no-store"}, Control{Has: NoStore | MaxAge}},
		{[]string{"public; NO-STORE"}, Control{Has: NoStore}},
		{[]string{"max-age=60 no-store"}, Control{Has: NoStore | MaxAge}},
		{[]string{`"no-store", no-store;private`}, Control{Has: NoStore | Private}},
		{[]string{"private;must-revalidate", "no-cache:x", "proxy-revalidate;"}, Control{Has: Private | MustRevalidate | NoCache | ProxyRevalidate}},
		{[]string{`max-age="60, no-store`}, Control{Has: NoStore | MaxAge}},
		{[]string{`x="a" no-store, public`}, Control{Has: NoStore | Public}},
		{[]string{`x="no-store", no-stores, x=no-store, my-no-store; public`}, Control{}},
		{[]string{"no-store=x"}, Control{Has: NoStore}},
		{[]string{"max-age=10, x=" + strings.Repeat("a", maxLine)}, Control{Has: NoStore}},
	} {
		if got := Parse(c.lines); got != c.want {
			t.Errorf("Parse(%.80q) = %+v, expected %+v", c.lines, got, c.want)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	lines := []string{`Max-Age=60, private="a, b"`, "s-maxage=10, stale-if-error=3", "no-store; max-age=1"}
	if n := testing.AllocsPerRun(100, func() { Parse(lines) }); n != 0 {
		t.Errorf("got %v allocations, expected none", n)
	}
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  time.Duration
	}{
		{nil, 0},
		{[]string{"7"}, 7 * second},
		{[]string{"7, 8"}, 7 * second},
		{[]string{"7", "8"}, 7 * second},
		{[]string{"-7"}, 0},
		{[]string{"7.0"}, 0},
		{[]string{"abc"}, 0},
		{[]string{"9999999999999"}, Most},
	} {
		if got := Age(c.lines); got != c.want {
			t.Errorf("Age(%q) = %s, expected %s", c.lines, got, c.want)
		}
	}
}

func TestLifetime(t *testing.T) {
	received := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return received.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		control string
		expires []string
		date    time.Time
		want    time.Duration
		ok      bool
	}{
		{"", nil, received, 0, false},
		{"public", nil, received, 0, false}, // nothing is guessed
		{"max-age=10", nil, received, 10 * second, true},
		{"max-age=10, s-maxage=20", nil, received, 20 * second, true},
		{"max-age=10, s-maxage=x", nil, received, 0, true},
		{"max-age=10", []string{in(time.Hour)}, received, 10 * second, true},
		{"", []string{in(time.Hour)}, received, time.Hour, true},
		{"", []string{in(time.Hour)}, received.Add(-time.Hour), 2 * time.Hour, true},
		{"", []string{in(time.Hour)}, time.Time{}, time.Hour, true},
		{"", []string{in(-time.Hour)}, received, 0, true},
		{"", []string{"0"}, received, 0, true},
		{"", []string{"-1"}, received, 0, true},
		{"", []string{in(time.Hour), in(time.Hour)}, received, 0, true},
	} {
		control := Parse([]string{c.control})
		if got, ok := Lifetime(&control, c.expires, c.date, received); got != c.want || ok != c.ok {
			t.Errorf("Lifetime(%q, %q, %s) = %s, %t; expected %s, %t", c.control, c.expires, c.date, got, ok, c.want, c.ok)
		}
	}
}

func TestCurrentAge(t *testing.T) {
	sent := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	received := sent.Add(2 * second)
	for _, c := range []struct {
		age  time.Duration
		date time.Time
		want time.Duration // five seconds after it was received
	}{
		{0, time.Time{}, 7 * second},
		{0, received, 7 * second}, // the time on the way counts
		{0, received.Add(-10 * second), 15 * second},
		{30 * second, received.Add(-10 * second), 37 * second},
		{0, received.Add(time.Hour), 7 * second}, // a clock that is ahead
		{Most, received, Most},
	} {
		initial := InitialAge(c.age, c.date, sent, received)
		if got := CurrentAge(initial, received, received.Add(5*second)); got != c.want {
			t.Errorf("age %s, date %s: got %s, expected %s", c.age, c.date, got, c.want)
		}
	}
	if got := CurrentAge(second, received, sent); got != second {
		t.Errorf("a clock that was set back: got %s, expected %s", got, second)
	}
}

func TestVary(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string
		none  bool
	}{
		{nil, nil, false},
		{[]string{"Accept-Language, accept"}, []string{"accept", "accept-language"}, false},
		{[]string{"B", " a ,,b"}, []string{"a", "b"}, false},
		{[]string{"*"}, nil, true},
		{[]string{"a, *"}, []string{"a"}, true},
		{[]string{"a b"}, nil, true},
		{[]string{strings.Repeat("a", maxLine+1)}, nil, true},
	} {
		got, none := Vary(nil, c.lines)
		if !slices.Equal(got, c.want) || none != c.none {
			t.Errorf("Vary(%.80q) = %q, %t; expected %q, %t", c.lines, got, none, c.want, c.none)
		}
	}
	var many []string
	for i := range maxVary + 1 {
		many = append(many, "x-"+strings.Repeat("a", i+1))
	}
	if _, none := Vary(nil, many); !none {
		t.Error("too many names: expected an answer that matches no request")
	}
}

func TestNormal(t *testing.T) {
	same := [][]string{{"a, b"}, {"a,b"}, {" a ,\tb "}, {"a", "b"}}
	for _, lines := range same {
		if got := string(Normal(nil, lines)); got != "a,b" {
			t.Errorf("Normal(%q) = %q, expected %q", lines, got, "a,b")
		}
	}
	different := [][]string{nil, {""}, {"a"}, {"a,"}, {"a,,b"}, {"A"}, {`"a, b"`}, {`"a,b"`}, {"a b"}}
	seen := map[string][]string{}
	for _, lines := range different {
		got := string(Normal(nil, lines))
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are the same: %q", lines, other, got)
		}
		seen[got] = lines
	}
}

// FuzzParse checks that what is read of a line stays within its bounds, that a repeated
// line says nothing new, and that a directive before it is not lost.
func FuzzParse(f *testing.F) {
	f.Add("max-age=10, s-maxage=\"20\"")
	f.Add("private=\"a, b\", no-cache")
	f.Add("max-age=1, max-age=2")
	f.Add("max-age=99999999999999999999")
	f.Add("x=\"\\")
	f.Fuzz(func(t *testing.T, line string) {
		got := Parse([]string{line})
		if got.Has&NoStore != 0 && !strings.Contains(strings.ToLower(line), "no-store") && len(line) <= maxLine {
			t.Errorf("%q: no-store, which does not stand there", line)
		}
		for _, d := range []time.Duration{got.MaxAge, got.SharedMaxAge, got.MaxStale, got.MinFresh, got.StaleWhileRevalidate, got.StaleIfError} {
			if d < 0 || d > Most || d%time.Second != 0 {
				t.Errorf("%q: a time of %s", line, d)
			}
		}
		if twice := Parse([]string{line, line}); twice != got {
			t.Errorf("%q: twice is %+v, once %+v", line, twice, got)
		}
		if with := Parse([]string{"no-store, " + line}); !with.Says(NoStore) {
			t.Errorf("no-store before %q is lost", line)
		}
		names, none := Vary(nil, []string{line})
		if !none && (!slices.IsSorted(names) || len(names) > maxVary) {
			t.Errorf("Vary(%q) = %q", line, names)
		}
		once := Normal(nil, []string{line})
		if again := Normal(nil, []string{string(once)}); string(again) != string(once) {
			t.Errorf("Normal(%q) = %q, and of that %q", line, once, again)
		}
	})
}
