package webhook

import (
	"errors"
	"fmt"
	"time"

	"github.com/transom-gateway/transom/events"
)

// How long an event is sent again before it is rejected. What is due to the event itself must not
// hold up the others for long.
const (
	// patience holds where nothing says that it is due to the event.
	patience = 24 * time.Hour
	// patienceBesideOthers holds where the server took others in the meantime.
	patienceBesideOthers = 10 * time.Minute
	// patienceWithContent holds where the status says that the server does not understand it.
	patienceWithContent = time.Minute
)

// How long an event pauses that the server does not take while it takes others, which do not wait for it.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
)

// trouble is that of an event which was sent in vain.
type trouble struct {
	since time.Time
	// others reports whether others were taken when it was not.
	others   bool
	err      error  // of the last attempt
	document string // the webhook-id that it had
	pause    time.Duration
	due      time.Time // when the next one is made, where others were taken
}

// failed notes an attempt.
func (tr *trouble) failed(now time.Time, err error, others bool) {
	if tr.since.IsZero() {
		tr.since = now
	}
	tr.others = tr.others || others
	tr.err, tr.pause = err, min(max(2*tr.pause, firstPause), longestPause)
	tr.due = now.Add(tr.pause)
}

// limit is how long an event with that trouble is sent again.
func (tr trouble) limit(err error) time.Duration {
	var refused *statusError
	switch {
	case errors.As(err, &refused) && refused.ofLoad():
		return patience
	case errors.As(err, &refused) && refused.ofContent():
		return patienceWithContent
	case tr.others:
		return patienceBesideOthers
	}
	return patience
}

// age rejects what has been sent in vain for too long, and remembers since when the others are.
// What was not sent, as it waits for another of its key, grows no older.
func (d *delivery) age() {
	now, before, taken := d.sink.now(), d.sink.troubles, false
	for i := range d.batch {
		taken = taken || d.errs[i] == nil
	}
	d.sink.troubles = map[string]trouble{}
	for i, e := range d.batch {
		if d.errs[i] == nil || errors.Is(d.errs[i], events.ErrRejected) {
			continue
		}
		tr, ok := before[e.ID]
		if d.tried[i] != "" {
			tr.document = d.tried[i]
			tr.failed(now, d.errs[i], taken)
			if limit := tr.limit(tr.err); now.Sub(tr.since) >= limit {
				d.errs[i] = fmt.Errorf("%w: sent in vain for %v: %w", events.ErrRejected, limit, tr.err)
				continue
			}
		} else if !ok {
			continue
		}
		d.sink.troubles[e.ID] = tr
	}
}
