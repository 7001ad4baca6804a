package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestState: Traffic 179, 180: three failures in a row make a server ill, two successes
// well again; the first success and the server's own word count at once.
func TestState(t *testing.T) {
	for name, test := range map[string]struct {
		reports string // "+" success, "-" failure, "S" and "N" the server's own word
		want    string // "+" well, "." not
	}{
		"a new server":    {"+", "+"},
		"an ill one":      {"---+", "...+"},
		"down after 3":    {"+--+---", "++++++."},
		"up after 2":      {"+---+-++", "+++....+"},
		"its own word":    {"SNSN", "+.+."},
		"one says it all": {"+N+-++", "+....+"},
	} {
		t.Run(name, func(t *testing.T) {
			var s State
			before := s.Well
			for i, r := range test.reports {
				changed := s.Note(Check{}.WithDefaults(), Report{Well: r == '+' || r == 'S', Final: r == 'S' || r == 'N'})
				if s.Well != (test.want[i] == '+') || changed != (s.Well != before) || !s.Asked {
					t.Errorf("after %s: %t, changed %t", test.reports[:i+1], s.Well, changed)
				}
				before = s.Well
			}
		})
	}
}

// TestEach: Traffic 179: each 10 s, give or take a fifth.
func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		var asked []time.Time
		began := time.Now()
		Each(ctx, Check{}.WithDefaults().Interval, func(context.Context) { asked = append(asked, time.Now()) })
		if !asked[0].Equal(began) {
			t.Error("it was not asked at once")
		}
		differ := false
		for i := range len(asked) - 1 {
			pause := asked[i+1].Sub(asked[i])
			if pause < 8*time.Second || pause > 12*time.Second {
				t.Errorf("asked again after %s", pause)
			}
			differ = differ || pause != asked[1].Sub(asked[0])
		}
		if n := len(asked); n < 100 || n > 151 || !differ {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestParseExpect: Traffic 179.
func TestParseExpect(t *testing.T) {
	for text, has := range map[string]map[int]bool{
		"2xx": {200: true, 299: true, 300: false}, "200-399": {200: true, 399: true, 400: false},
		"200, 204": {200: true, 201: false, 204: true}, "3xx": {302: true, 200: false},
	} {
		all, err := ParseExpect(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for status, want := range has {
			if all.Has(status) != want {
				t.Errorf("%q has %d: %t", text, status, !want)
			}
		}
	}
	for _, text := range []string{"", "199", "400", "200-", "300-200", "2XX", "4xx", "200;204", "-200"} {
		if all, err := ParseExpect(text); err == nil {
			t.Errorf("%q: %v", text, all)
		}
	}
}
