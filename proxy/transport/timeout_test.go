package transport

import (
	"math"
	"strconv"
	"testing"
	"time"
)

// TestTimeoutText: at most eight digits, never less than the time there is, and
// not much more.
func TestTimeoutText(t *testing.T) {
	units := map[byte]time.Duration{'n': 1, 'u': time.Microsecond, 'm': time.Millisecond, 'S': time.Second, 'M': time.Minute, 'H': time.Hour}
	for _, d := range []time.Duration{
		1, 99999999, 100000000, 100000001, time.Second, 99999999 * time.Microsecond, 99999999*time.Microsecond + 1,
		24 * time.Hour, 30*24*time.Hour + 1, 100 * 365 * 24 * time.Hour, math.MaxInt64 - 1, math.MaxInt64,
	} {
		text := timeoutText(d)
		last := len(text) - 1
		n, err := strconv.ParseUint(text[:last], 10, 64)
		unit := units[text[last]]
		if err != nil || last > 8 || unit == 0 {
			t.Errorf("%d: %s", d, text)
			continue
		}
		got := float64(n) * float64(unit)
		if got < float64(d) || got-float64(d) > float64(unit) {
			t.Errorf("%d: %s", d, text)
		}
	}
}
