package upstream

import "time"

const (
	// rarelyWindow and rarelyLines bound what the log hears of something that comes and
	// goes: so many lines in so long.
	rarelyWindow = 10 * time.Minute
	rarelyLines  = 10
)

// rarely bounds the lines of one kind in the log: a server that is well and ill by turns,
// or a name that resolves and does not, must not fill it (Traffic 173). The zero
// value is ready.
type rarely struct {
	began time.Time
	lines int
}

// allow reports whether one line more may be written, and whether it is the last one
// for a while.
func (r *rarely) allow(now time.Time) (ok, last bool) {
	if now.Sub(r.began) >= rarelyWindow {
		r.began, r.lines = now, 0
	}
	r.lines++
	return r.lines <= rarelyLines, r.lines == rarelyLines
}

// leftOut is what the last line says of those that come after it.
const leftOut = "more of these are left out for up to 10 minutes; /upstreams of the admin listener has what holds"
