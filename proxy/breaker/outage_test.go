package breaker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/transom-gateway/transom/proxy/breaker"
)

// TestOutage: Traffic 103: in ten minutes without one good answer a Breaker never closes.
// How often it probes follows from OpenFor, as it is open for 1, 2, 4, 8, 10, 10, … times
// that long: 10 × 5 s fit 12 times into ten minutes, whatever else is done.
func TestOutage(t *testing.T) {
	for _, test := range []struct {
		openFor time.Duration
		// least and most are the probes, each time open for a fifth more or less.
		least, most int
	}{
		{5 * time.Second, 11, 18},
		{30 * time.Second, 3, 4},
		{time.Minute, 2, 3},
		{2 * time.Minute, 1, 2}, // at most five changes of the state in all
	} {
		t.Run(test.openFor.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := usual
				o.OpenFor = test.openFor
				var told changes
				b := breaker.New(o, told.add)
				calls(b, 20, breaker.Failure)
				arrived := 0
				for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(10 * time.Millisecond) {
					if call(b, breaker.Failure) {
						arrived++
					}
				}
				if arrived < test.least || arrived > test.most {
					t.Errorf("%d probes, want %d to %d", arrived, test.least, test.most)
				}
				opened := 0
				for _, s := range told.states() {
					switch s {
					case breaker.Open:
						opened++
					case breaker.HalfOpen:
					default:
						t.Errorf("it is %v", s)
					}
				}
				if opened != 1+arrived {
					t.Errorf("opened %d times with %d probes", opened, arrived)
				}
			})
		})
	}
}
