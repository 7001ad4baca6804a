package bus

import (
	"testing"

	"github.com/transom-gateway/transom/events"
)

// TestRoom: Events 149: what a sink may be ahead of events that it does not take is bounded by their number, their bytes, and the way in the log.
func TestRoom(t *testing.T) {
	large := &events.Event{Data: make([]byte, maxBatchBytes)}
	for name, test := range map[string]struct {
		stored []*events.Event
		last   uint64
		given  int
		want   bool
	}{
		"one":              {[]*events.Event{{}}, maxAhead + 4, 0, true},
		"too far":          {[]*events.Event{{}}, maxAhead + 5, 0, false},
		"best effort":      {nil, maxAhead + 5, 1, true},
		"nearly too many":  {[]*events.Event{{}}, 5, maxBatch - 2, true},
		"too many":         {[]*events.Event{{}}, 5, maxBatch - 1, false},
		"too large":        {[]*events.Event{large}, 5, 0, false},
		"beside too large": {[]*events.Event{{}, large}, 5, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &work{}
			b := batch{events: test.stored, last: test.last}
			for i := range test.stored {
				b.offsets = append(b.offsets, uint64(5+i)) //nolint:gosec // it is small
			}
			w.store(b)
			for range test.given {
				w.give(&events.Event{})
			}
			if got := w.room(); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
